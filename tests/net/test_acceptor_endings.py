"""However a connection to the acceptor ends, the service hears of it once and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from router.dicom import pdu
from router.dicom.dimse import CEchoRQ, CEchoRSP, CFindRQ, CStoreRQ, CStoreRSP, Message
from router.dicom.handlers import AssociationEnd
from router.dicom.uids import VERIFICATION
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
STORE = message_bytes(CT_CONTEXT, CStoreRQ(1, CT_IMAGE, "1.2.3"), bytes(100_000))
STORED = CStoreRSP(1, CT_IMAGE, "1.2.3", 0)
UNEXPECTED = pdu.encode(pdu.Abort(2, 2))

SHORT_S = 0.1
"""A time-out that is awaited."""


def by_abort(peer: RawPeer) -> None:
    assert peer.send_what_fits(ABORT) == len(ABORT)


ENDINGS = {
    "by A-ABORT": (by_abort, AssociationEnd.ABORTED),
    "by closing": (RawPeer.close, AssociationEnd.LOST),
    "by reset": (RawPeer.reset, AssociationEnd.LOST),
    "by half-closing": (RawPeer.finish_sending, AssociationEnd.LOST),
}
Ending = Callable[[RawPeer], None]
endings = pytest.mark.parametrize(("end", "how"), ENDINGS.values(), ids=ENDINGS.keys())


@endings
async def test_the_peer_leaves_between_messages(end: Ending, how: AssociationEnd) -> None:
    service = Service()
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        end(peer)
        await service.until(lambda: service.ends)
        assert await peer.receive_rest() == b""
        assert acceptor.associations == 0

    assert service.ends == [how]


@endings
async def test_the_peer_leaves_in_the_middle_of_an_object(end: Ending, how: AssociationEnd) -> None:
    service = Service()
    whole_pdus = len(STORE) - len(STORE) % 16384  # an A-ABORT must follow a whole PDU
    cut = STORE.rfind(b"\x04\x00\x00\x00", 0, whole_pdus)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(STORE[:cut])
        await service.until(lambda: service.stored)
        end(peer)
        await service.until(lambda: service.ends)

    assert service.ends == [how]
    assert service.stored[0].is_abandoned
    assert service.stored[0].answer is None


async def test_a_release_in_the_middle_of_an_object_says_not_that_all_was_sent() -> None:
    service = Service()
    cut = STORE.rfind(b"\x04\x00\x00\x00", 0, len(STORE) - len(STORE) % 16384)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(STORE[:cut] + RELEASE_RQ)
        assert await peer.receive_pdu() == RELEASE_RP
        await service.until(lambda: service.ends)

    assert service.ends == [AssociationEnd.LOST]
    assert service.stored[0].is_abandoned


@endings
async def test_the_peer_leaves_while_its_answer_is_owed(end: Ending, how: AssociationEnd) -> None:
    service = Service(answers_at_once=False)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(STORE)
        await service.until(lambda: service.unanswered)
        end(peer)
        await anyio.sleep(0.02)  # for the acceptor to notice, if it looks
        service.answer(0)
        await service.until(lambda: service.ends)

    assert not service.stored[0].is_abandoned
    assert service.ends in ([how], [AssociationEnd.LOST])


async def test_who_has_sent_all_and_half_closes_still_gets_the_answer() -> None:
    service = Service(answers_at_once=False)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(STORE)
        peer.finish_sending()
        await service.until(lambda: service.unanswered)
        await anyio.sleep(0.02)  # for the acceptor to notice that the peer sends no more
        assert service.ends == []
        service.answer(0)
        assert await peer.receive_message() == (STORED, b"")
        assert await peer.receive_rest() == b""

    assert service.ends == [AssociationEnd.LOST]


async def test_who_half_closes_behind_several_messages_gets_all_answers() -> None:
    async with serving(Service()) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(ECHO * 3 + STORE + RELEASE_RQ)
        peer.finish_sending()
        answers = [(await peer.receive_message())[0] for _ in range(4)]
        assert await peer.receive_pdu() == RELEASE_RP
        assert await peer.receive_rest() == b""

    assert answers == [CEchoRSP(1, VERIFICATION, 0)] * 3 + [STORED]


OVERTAKEN = {
    "data right behind the request": (association_request() + ECHO, UNEXPECTED),
    "a second request right behind the first": (association_request() * 2, UNEXPECTED),
    "an abort right behind the request": (association_request() + ABORT, b""),
}


@pytest.mark.parametrize(("sent", "heard"), OVERTAKEN.values(), ids=OVERTAKEN.keys())
async def test_a_request_that_its_sender_overtakes_is_not_answered(
    sent: bytes, heard: bytes
) -> None:
    service = Service()
    async with serving(service, artim_s=SHORT_S) as acceptor, calling(acceptor.port) as peer:
        await peer.send(sent)
        assert await peer.receive_rest() == heard
        async with calling(acceptor.port) as another:
            await another.associate()

    assert len(service.opened_ones) == 1


@pytest.mark.parametrize(("behind", "heard"), [(ABORT, b""), (ECHO, UNEXPECTED)])
async def test_a_release_that_its_sender_overtakes_is_not_confirmed(
    behind: bytes, heard: bytes
) -> None:
    service = Service()
    async with serving(service, artim_s=SHORT_S) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(RELEASE_RQ + behind)
        assert await peer.receive_rest() == heard

    assert service.ends == [AssociationEnd.ABORTED]


async def test_a_fault_of_our_own_ends_its_association_and_no_other(
    raised: list[dict[str, Any]],
) -> None:
    def fail(message: Message) -> None:
        raise RuntimeError("a bug")

    service = Service(respond=fail, answers_at_once=False)
    request = message_bytes(CT_CONTEXT, CFindRQ(2, CT_IMAGE), b"identifier")
    async with (
        serving(service) as acceptor,
        calling(acceptor.port) as another,
        calling(acceptor.port) as peer,
    ):
        await another.associate()
        await peer.associate()
        await peer.send(STORE + request)
        await service.until(lambda: service.unanswered)
        with pytest.raises(RuntimeError, match="a bug"):
            service.answer(0)  # so that the acceptor goes on with the request
        assert await peer.receive_message() == (STORED, b"")
        await peer.receive_rest()
        await peer_is_served(another)
        async with calling(acceptor.port) as third:
            await third.associate()
            await third.send(request)
            await third.receive_rest()

    assert service.ends[:2] == [AssociationEnd.ABORTED] * 2
    assert [type(context["exception"]) for context in raised] == [RuntimeError]
    raised.clear()


async def peer_is_served(peer: RawPeer) -> None:
    await peer.send(ECHO)
    assert await peer.receive_message() == (CEchoRSP(1, VERIFICATION, 0), b"")


# -- time -----------------------------------------------------------------------------------------


async def test_who_connects_and_says_nothing_is_cut() -> None:
    async with serving(Service(), artim_s=SHORT_S) as acceptor, calling(acceptor.port) as peer:
        assert await peer.receive_rest() == b""


async def test_who_spells_the_request_byte_by_byte_is_cut() -> None:
    service = Service()
    async with serving(service, artim_s=SHORT_S) as acceptor, calling(acceptor.port) as peer:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await peer.creep(association_request())

    assert service.opened_ones == []


async def test_who_does_not_close_behind_the_release_is_cut() -> None:
    async with serving(Service(), artim_s=SHORT_S) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(RELEASE_RQ)
        assert await peer.receive_pdu() == RELEASE_RP
        assert await peer.receive_rest() == b""


async def test_who_is_idle_for_too_long_is_aborted() -> None:
    service = Service()
    async with serving(service, idle_s=SHORT_S) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        assert await peer.receive_pdu() == ABORT

    assert service.ends == [AssociationEnd.ABORTED]


@pytest.mark.parametrize("size", [3, 50, 60_000])
async def test_whose_message_stands_still_is_aborted(size: int) -> None:
    service = Service()
    async with serving(service, message_s=SHORT_S) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(STORE[:size])
        assert await peer.receive_pdu() == ABORT

    assert service.ends == [AssociationEnd.ABORTED]
    assert all(stored.is_abandoned for stored in service.stored)


async def test_whose_message_creeps_is_aborted() -> None:
    service = Service()
    async with (
        serving(service, message_s=SHORT_S) as acceptor,
        calling(acceptor.port) as peer,
        anyio.create_task_group() as tasks,
    ):
        await peer.associate()
        await peer.send(STORE[:50_000])
        tasks.start_soon(peer.creep, STORE[50_000:])
        assert await peer.receive_pdu() == ABORT
        tasks.cancel_scope.cancel()

    assert service.ends == [AssociationEnd.ABORTED]


async def test_nobody_is_hurried_while_the_answer_is_owed() -> None:
    service = Service(answers_at_once=False)
    async with (
        serving(service, idle_s=SHORT_S, message_s=SHORT_S) as acceptor,
        calling(acceptor.port) as peer,
    ):
        await peer.associate()
        await peer.send(STORE)
        await service.until(lambda: service.unanswered)
        await anyio.sleep(5 * SHORT_S)
        service.answer(0)
        assert await peer.receive_message() == (STORED, b"")


async def test_who_does_not_read_its_answers_is_cut_in_the_end() -> None:
    service = Service()
    async with (
        serving(service, artim_s=SHORT_S, idle_s=SHORT_S, message_s=SHORT_S) as acceptor,
        calling(acceptor.port, receive_buffer=4096) as peer,
    ):
        await peer.associate()
        while not service.ends:
            peer.send_what_fits(ECHO * 1000)
            await anyio.sleep(0.001)
        with anyio.fail_after(20):
            assert await acceptor.drain(20)

    assert service.ends == [AssociationEnd.ABORTED]
