"""The acceptor with peers that speak bytes: back-pressure, limits, draining, and the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from structlog.testing import capture_logs

from router.dicom import commandset, dimse, dimse_codec, pdata, pdu, statuses
from router.dicom.dimse import CEchoRQ, CEchoRSP, CFindRQ, CFindRSP, CStoreRQ, CStoreRSP, Message
from router.dicom.handlers import AssociationEnd
from router.dicom.negotiation import LOCAL_LIMIT_EXCEEDED, AcceptancePolicy
from router.dicom.uids import VERIFICATION
from router.net import acceptor as acceptor_module
from router.net.operations import MAX_COLLECTED_BYTES
from tests.net.raw import (
    ABORT,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    association_request,
    calling,
    message_bytes,
)
from tests.net.service import CT_CONTEXT, CT_IMAGE, ECHO_CONTEXT, Service, serving

ECHO = message_bytes(ECHO_CONTEXT, CEchoRQ(1, VERIFICATION))
ECHO_ANSWER = CEchoRSP(1, VERIFICATION, statuses.SUCCESS)
REJECTED = pdu.encode(LOCAL_LIMIT_EXCEEDED)


def store_request(number: int = 1, data: bytes = bytes(1000)) -> bytes:
    return message_bytes(CT_CONTEXT, CStoreRQ(number, CT_IMAGE, f"1.2.3.{number}"), data)


def store_answer(number: int = 1, status: int = 0) -> CStoreRSP:
    return CStoreRSP(number, CT_IMAGE, f"1.2.3.{number}", status)


def in_pieces(data: bytes, size: int) -> Sequence[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


# -- bytes in, answers out ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 7, 1000])
async def test_bytes_may_come_in_pieces_of_any_size(size: int) -> None:
    service = Service()
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.send(*in_pieces(association_request(), size))
        assert (await peer.receive_pdu())[0] == pdu.PDUType.ASSOCIATE_AC
        await peer.send(*in_pieces(ECHO + store_request(), size))
        assert await peer.receive_message() == (ECHO_ANSWER, b"")
        assert await peer.receive_message() == (store_answer(), b"")
        await peer.send(*in_pieces(RELEASE_RQ, size))
        assert await peer.receive_pdu() == RELEASE_RP

    assert service.stored[0].data == bytes(1000)
    assert service.ends == [AssociationEnd.RELEASED]


async def test_the_service_learns_who_calls() -> None:
    service = Service()
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()

    [info] = service.opened_ones
    assert (info.calling_ae_title, info.called_ae_title) == ("MODALITY", "ROUTER")
    assert info.peer.host == "127.0.0.1"
    assert info.implementation_class_uid == "1.2.3"
    assert info.contexts[CT_CONTEXT].abstract_syntax == CT_IMAGE


async def test_while_an_answer_is_owed_nothing_more_is_taken() -> None:
    service = Service(answers_at_once=False)
    stores = [store_request(number, bytes(300_000)) for number in range(1, 6)]
    async with (
        serving(service) as acceptor,
        calling(acceptor.port) as peer,
        anyio.create_task_group() as tasks,
    ):
        await peer.associate()
        tasks.start_soon(peer.send, b"".join(stores))
        for count in range(1, 6):
            await service.until(lambda: service.unanswered)
            await anyio.sleep(0.02)  # nothing happens, although more has come
            assert len(service.stored) == count
            service.answer(count - 1, status=0xB000 + count)
        answers = [await peer.receive_message() for _ in range(5)]

    assert answers == [(store_answer(number, 0xB000 + number), b"") for number in range(1, 6)]
    assert all(stored.data == bytes(300_000) for stored in service.stored)


async def test_a_peer_that_reads_no_answers_is_asked_for_no_more() -> None:
    requests = ECHO * 1000
    answer = message_bytes(ECHO_CONTEXT, ECHO_ANSWER)
    async with serving(Service()) as acceptor, calling(acceptor.port, receive_buffer=4096) as peer:
        await peer.associate()
        sent, stalls = 0, 0
        while stalls < 10:
            taken = peer.send_what_fits(requests[sent % len(requests) :])
            sent += taken
            stalls = 0 if taken else stalls + 1
            await anyio.sleep(0.01)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(peer.send, requests[sent % len(requests) :])
            count = (sent + -sent % len(requests)) // len(ECHO)
            answers = await peer.receive_exactly(len(answer) * count)

    assert answers == answer * count


async def test_a_request_of_the_service_is_collected_whole() -> None:
    def respond(message: Message) -> Message:
        return CFindRSP(message.message_id, CT_IMAGE, statuses.SUCCESS)

    service = Service(respond=respond)
    request = CFindRQ(9, CT_IMAGE)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(message_bytes(CT_CONTEXT, request, b"i" * 500_000))
        assert await peer.receive_message() == (CFindRSP(9, CT_IMAGE, 0), b"")

    assert service.requests == [(request, b"i" * 500_000)]


async def test_a_request_that_is_too_long_is_refused_and_the_association_lives_on() -> None:
    service = Service()
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(
            message_bytes(CT_CONTEXT, CFindRQ(9, CT_IMAGE), bytes(MAX_COLLECTED_BYTES + 1))
        )
        refused = CFindRSP(9, CT_IMAGE, statuses.RESOURCE_LIMITATION)
        assert await peer.receive_message() == (refused, b"")
        await peer.send(ECHO)
        assert await peer.receive_message() == (ECHO_ANSWER, b"")

    assert service.requests == []


COMMAND = {commandset.MESSAGE_ID: 4, commandset.COMMAND_DATA_SET_TYPE: commandset.NO_DATA_SET}
UNUSUAL = {
    "an operation without a name": ({**COMMAND, commandset.COMMAND_FIELD: 0x0140}, 0x0211),
    "a store of nothing": ({**COMMAND, commandset.COMMAND_FIELD: dimse_codec.C_STORE_RQ}, 0x0120),
    "an operation not offered": (
        {
            **COMMAND,
            commandset.COMMAND_FIELD: dimse_codec.C_FIND_RQ,
            commandset.AFFECTED_SOP_CLASS_UID: CT_IMAGE,
        },
        0x0211,
    ),
    "a store where nothing is stored": (
        {
            **COMMAND,
            commandset.COMMAND_FIELD: dimse_codec.C_STORE_RQ,
            commandset.AFFECTED_SOP_CLASS_UID: CT_IMAGE,
            commandset.AFFECTED_SOP_INSTANCE_UID: "1.2.3",
        },
        0x0122,
    ),
}


@pytest.mark.parametrize(("command", "status"), UNUSUAL.values(), ids=UNUSUAL.keys())
async def test_what_cannot_be_done_is_refused_and_the_association_lives_on(
    command: dict[int, int | str], status: int
) -> None:
    request = pdata.command_fragments(ECHO_CONTEXT, commandset.encode(command), 1000)
    async with serving(Service()) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(b"".join(request) + ECHO)
        refused, _ = await peer.receive_message()
        assert await peer.receive_message() == (ECHO_ANSWER, b"")

    assert isinstance(refused, dimse.UnknownResponse | CStoreRSP | CFindRSP)
    assert (refused.message_id, refused.status) == (4, status)


async def test_a_cancel_is_taken_without_a_word() -> None:
    cancel = {
        commandset.COMMAND_FIELD: dimse_codec.C_CANCEL_RQ,
        commandset.MESSAGE_ID_BEING_RESPONDED_TO: 1,
        commandset.COMMAND_DATA_SET_TYPE: commandset.NO_DATA_SET,
    }
    request = pdata.command_fragments(ECHO_CONTEXT, commandset.encode(cancel), 1000)
    async with serving(Service()) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(b"".join(request) + ECHO)
        assert await peer.receive_message() == (ECHO_ANSWER, b"")


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("in_all", "per_source"), [(2, 100), (100, 2)])
async def test_over_a_limit_an_association_is_rejected_for_now(
    in_all: int, per_source: int
) -> None:
    async with (
        serving(Service(), max_associations=in_all, per_source=per_source) as acceptor,
        calling(acceptor.port) as first,
        calling(acceptor.port) as second,
    ):
        await first.associate()
        await second.associate()
        async with calling(acceptor.port) as third:
            await third.send(association_request())
            assert await third.receive_pdu() == REJECTED
        await first.send(RELEASE_RQ)
        await first.receive_pdu()
        async with calling(acceptor.port) as third:
            await third.associate()
            assert acceptor.associations == 2


async def test_connections_over_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor_module, "SPARE_CONNECTIONS", 0)
    async with (
        serving(Service(), max_associations=1) as acceptor,
        calling(acceptor.port) as first,
    ):
        await first.associate()
        async with calling(acceptor.port) as second:
            assert await second.receive_rest() == b""
        await first.send(ECHO)
        assert await first.receive_message() == (ECHO_ANSWER, b"")


# -- draining and stopping ------------------------------------------------------------------------


async def test_draining_ends_associations_without_a_message_and_those_who_have_none() -> None:
    service = Service()
    async with (
        serving(service) as acceptor,
        calling(acceptor.port) as idle,
        calling(acceptor.port) as silent,
        calling(acceptor.port) as released,
    ):
        await idle.associate()
        await released.associate()
        await released.send(RELEASE_RQ)
        await released.receive_pdu()

        assert await acceptor.drain(3600)

        assert await idle.receive_rest() == ABORT
        assert await silent.receive_rest() == b""
        assert await released.receive_rest() == b""


async def test_draining_lets_messages_be_finished_and_answered() -> None:
    service = Service(answers_at_once=False)
    request = store_request(1, bytes(100_000))
    async with (
        serving(service) as acceptor,
        calling(acceptor.port) as receiving,
        calling(acceptor.port) as syncing,
        anyio.create_task_group() as tasks,
    ):
        await receiving.associate()
        await receiving.send(request[:50_000])
        await service.until(lambda: service.stored)
        await syncing.associate()
        await syncing.send(request)
        await service.until(lambda: len(service.stored) == 2 and service.stored[1].answer)

        tasks.start_soon(acceptor.drain, 3600)
        await anyio.lowlevel.checkpoint()
        service.answer(1)
        assert await syncing.receive_message() == (store_answer(), b"")
        assert await syncing.receive_rest() == ABORT
        await receiving.send(request[50_000:])
        await service.until(lambda: service.stored[0].answer)
        service.answer(0)
        assert await receiving.receive_message() == (store_answer(), b"")
        assert await receiving.receive_rest() == ABORT

    assert service.ends == [AssociationEnd.ABORTED] * 2


async def test_draining_does_not_wait_for_ever() -> None:
    service = Service()
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(store_request()[:500])
        await service.until(lambda: service.stored)

        assert not await acceptor.drain(0.1)

    assert service.stored[0].is_abandoned
    assert service.ends == [AssociationEnd.ABORTED]


async def test_who_calls_while_the_acceptor_drains_finds_nobody() -> None:
    async with serving(Service()) as acceptor:
        await acceptor.drain(1)
        with pytest.raises(ConnectionRefusedError):
            async with calling(acceptor.port):
                pass


async def test_leaving_the_block_aborts_what_is_open() -> None:
    service = Service(answers_at_once=False)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(store_request())
        await service.until(lambda: service.stored and service.stored[0].answer)

    assert service.ends == [AssociationEnd.ABORTED]
    service.answer(0)  # goes nowhere


# -- the log --------------------------------------------------------------------------------------


async def released(peer: RawPeer) -> None:
    await peer.associate()
    await peer.send(store_request() + RELEASE_RQ)
    await peer.receive_message()
    await peer.receive_pdu()


async def aborted(peer: RawPeer) -> None:
    await peer.associate()
    await peer.send(ABORT)
    await peer.receive_rest()


async def vanished(peer: RawPeer) -> None:
    await peer.associate()
    peer.close()


async def reset(peer: RawPeer) -> None:
    await peer.associate()
    peer.reset()


async def faulty(peer: RawPeer) -> None:
    await peer.associate()
    await peer.send(association_request())
    await peer.receive_rest()


async def http(peer: RawPeer) -> None:
    await peer.send(b"GET / HTTP/1.1\r\n\r\n")
    await peer.receive_rest()


async def looked_in(peer: RawPeer) -> None:
    peer.close()


ENDINGS = {
    "released": (released, "info", "association released", ""),
    "aborted": (aborted, "warning", "association aborted", "the peer aborted"),
    "vanished": (vanished, "warning", "association lost", "closed by the peer"),
    "reset": (reset, "warning", "association lost", "reset by peer"),
    "faulty": (faulty, "warning", "association aborted", "the peer broke the protocol"),
    "HTTP": (http, "warning", "connection without association", "PDU type 0x47 is not known"),
    "a port scan": (looked_in, "info", "connection without association", "closed by the peer"),
}


@pytest.mark.parametrize(
    ("behave", "level", "event", "reason"), ENDINGS.values(), ids=ENDINGS.keys()
)
async def test_the_end_of_a_connection_is_one_line_that_says_who_and_why(
    behave: Callable[[RawPeer], Awaitable[None]], level: str, event: str, reason: str
) -> None:
    async with serving(Service(AcceptancePolicy()), artim_s=0.1) as acceptor:
        with capture_logs() as logs:
            async with calling(acceptor.port) as peer:
                await behave(peer)
            with anyio.fail_after(10):
                while not logs:
                    await anyio.sleep(0.01)
            assert await acceptor.drain(10)

    [line] = logs
    assert (line["log_level"], line["event"]) == (level, event)
    assert reason in line["reason"]
    assert line["address"].startswith("127.0.0.1:")


async def test_the_line_counts_what_came() -> None:
    async with serving(Service()) as acceptor:
        with capture_logs() as logs:
            async with calling(acceptor.port) as peer:
                await released(peer)
            await acceptor.drain(10)

    size = len(association_request() + store_request() + RELEASE_RQ)
    assert (logs[0]["stores"], logs[0]["received_bytes"]) == (1, size)
    assert logs[0]["calling_ae_title"] == "MODALITY"
