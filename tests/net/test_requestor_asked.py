"""What a peer asks of us on our own association, and answers that come in several messages."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import anyio
import pytest

from router.dicom import commandset, dimse, pdata, statuses
from router.dicom.dimse import (
    CEchoRQ,
    CEchoRSP,
    CFindRSP,
    CStoreRQ,
    CStoreRSP,
    NEventReportRQ,
    NEventReportRSP,
    UnknownResponse,
)
from router.dicom.pdu import AssociateRQ, PDUType, UserInformation
from router.dicom.uids import VERIFICATION
from router.domain.errors import AssociationLost, PeerTimeout
from router.net.exchange import Exchange
from router.net.stream import TCPStream
from tests.net.calls import INSTANCE, LARGE, associated, store, store_answer
from tests.net.raw import ABORT, RELEASE_RP, RELEASE_RQ, RawPeer, listening, message_bytes
from tests.net.service import CONTEXTS, CT_CONTEXT, CT_IMAGE, ECHO_CONTEXT, NO_ANSWER, PATIENCE_S

COMMITMENT = "1.2.840.10008.1.20.1"
EVENT = NEventReportRQ(77, COMMITMENT, "1.2.840.10008.1.20.1.1", 1)
EVENT_BYTES = message_bytes(CT_CONTEXT, EVENT, b"what is committed")
TAKEN = NEventReportRSP(77, COMMITMENT, EVENT.sop_instance_uid, 1, statuses.SUCCESS)
REFUSED = NEventReportRSP(
    77, COMMITMENT, EVENT.sop_instance_uid, 1, statuses.UNRECOGNISED_OPERATION
)


class Events:
    """Takes what is reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[NEventReportRQ, bytes]] = []

    def __call__(self, request: NEventReportRQ, data: bytes) -> int:
        self.seen.append((request, data))
        return statuses.SUCCESS


async def test_an_event_in_the_middle_of_our_object_is_answered_after_it() -> None:
    heard: list[object] = []

    async def report_in_the_middle(peer: RawPeer) -> None:
        await peer.accept_association()
        command = await peer.receive_pdu()
        await peer.send(EVENT_BYTES)
        await anyio.sleep(0.05)  # our kernel is full by now: we have heard of the event
        heard.append(command[0])
        heard.append(await peer.receive_data_set())
        heard.append(await peer.receive_message())
        await peer.send(store_answer(statuses.SUCCESS))
        await peer.release()

    events = Events()
    async with associated(report_in_the_middle, reported=events) as association:
        assert (await store(association, LARGE)).status == statuses.SUCCESS

    assert heard == [PDUType.P_DATA, bytes(LARGE), (TAKEN, b"")]
    assert events.seen == [(EVENT, b"what is committed")]


async def test_an_event_while_we_await_an_answer_is_answered_at_once() -> None:
    heard = []

    async def report_before_answering(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(EVENT_BYTES)
        heard.append(await peer.receive_message())
        await peer.send(store_answer(statuses.SUCCESS))
        await peer.release()

    async with associated(report_before_answering, reported=Events()) as association:
        assert (await store(association)).status == statuses.SUCCESS

    assert heard == [(TAKEN, b"")]


async def test_events_are_answered_while_we_listen() -> None:
    heard = []

    async def report_twice(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.send(EVENT_BYTES + EVENT_BYTES)
        heard.append(await peer.receive_message())
        heard.append(await peer.receive_message())
        await peer.release()

    events = Events()
    async with associated(report_twice, reported=events) as association:
        await association.listen(0.2)
        assert association.is_open

    assert heard == [(TAKEN, b"")] * 2
    assert len(events.seen) == 2


async def test_listening_ends_with_the_association() -> None:
    async def abort(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.send(ABORT)
        await peer.receive_rest()

    async with associated(abort) as association:
        with anyio.fail_after(10):
            await association.listen(3600)
        assert not association.is_open


async def test_an_event_that_nobody_waits_for_is_refused_and_the_association_lives_on() -> None:
    heard = []

    async def report(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(EVENT_BYTES, store_answer(statuses.SUCCESS))
        heard.append(await peer.receive_message())
        await peer.receive_message()
        await peer.send(store_answer(statuses.SUCCESS, 2))
        await peer.release()

    async with associated(report) as association:
        await store(association)
        assert (await store(association)).status == statuses.SUCCESS

    assert heard == [(REFUSED, b"")]


ASKED = {
    "C-ECHO": (
        message_bytes(ECHO_CONTEXT, CEchoRQ(5, VERIFICATION)),
        CEchoRSP(5, VERIFICATION, statuses.SUCCESS),
    ),
    "C-STORE": (
        message_bytes(CT_CONTEXT, CStoreRQ(5, CT_IMAGE, INSTANCE), bytes(100)),
        CStoreRSP(5, CT_IMAGE, INSTANCE, statuses.UNRECOGNISED_OPERATION),
    ),
    "an operation without a name": (
        b"".join(
            pdata.command_fragments(
                ECHO_CONTEXT,
                commandset.encode(
                    {
                        commandset.COMMAND_FIELD: 0x0140,
                        commandset.MESSAGE_ID: 5,
                        commandset.COMMAND_DATA_SET_TYPE: commandset.NO_DATA_SET,
                    }
                ),
                16378,
            )
        ),
        UnknownResponse(5, 0x8140, statuses.UNRECOGNISED_OPERATION, has_data_set=False),
    ),
}


@pytest.mark.parametrize(("asked", "answer"), ASKED.values(), ids=ASKED.keys())
async def test_whatever_the_peer_asks_is_answered_and_the_association_lives_on(
    asked: bytes, answer: dimse.Response
) -> None:
    heard = []

    async def ask(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(asked)
        heard.append(await peer.receive_message())
        await peer.send(store_answer(statuses.SUCCESS))
        await peer.release()

    async with associated(ask) as association:
        assert (await store(association)).status == statuses.SUCCESS

    assert heard == [(answer, b"")]


async def test_a_request_that_crosses_our_release_is_left_to_another_association() -> None:
    heard = []

    async def report_late(peer: RawPeer) -> None:
        await peer.accept_association()
        assert await peer.receive_pdu() == RELEASE_RQ
        await peer.send(EVENT_BYTES + RELEASE_RP)
        heard.append(await peer.receive_rest())

    events = Events()
    async with associated(report_late, reported=events):
        pass

    assert heard == [ABORT]
    assert events.seen == []


class CountingStream(TCPStream):
    """Counts how often it was waited for."""

    waits = 0

    async def wait(
        self, *, readable: bool = False, writable: bool = False, until: float = inf
    ) -> None:
        self.waits += 1
        await super().wait(readable=readable, writable=writable, until=until)


async def test_requests_that_cannot_be_answered_yet_keep_nobody_busy() -> None:
    is_over = anyio.Event()

    async def ask_without_listening(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.send(EVENT_BYTES * 1000)
        await is_over.wait()

    async with listening(ask_without_listening) as port:
        stream = await CountingStream.connect("127.0.0.1", port, PATIENCE_S)
        request = AssociateRQ("A", "B", CONTEXTS, UserInformation(16384))
        exchange = Exchange(stream, request, "A", NO_ANSWER, Events())
        try:
            await exchange.open()
            exchange.begin(CT_CONTEXT, CStoreRQ(1, CT_IMAGE, INSTANCE))
            with pytest.raises(PeerTimeout, match="took no bytes"):
                await exchange.send(CT_CONTEXT, memoryview(bytes(LARGE)), last=True)
        finally:
            exchange.close()
            is_over.set()

    assert stream.waits < 50


# -- C-FIND ---------------------------------------------------------------------------------------


def found(number: int, identifier: bytes = b"") -> bytes:
    status = 0xFF00 if identifier else statuses.SUCCESS
    response = CFindRSP(number, CT_IMAGE, status, has_data_set=bool(identifier))
    return message_bytes(CT_CONTEXT, response, identifier)


async def answers_of(said: Sequence[bytes]) -> list[tuple[int, bytes | None]]:
    async def answer(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(*said)
        await peer.release()

    async with associated(answer) as association:
        return [
            (answer.message.status, answer.data)
            async for answer in association.find(CT_IMAGE, b"identifier")
        ]


async def test_each_identifier_that_is_found_is_given_out_whole() -> None:
    answers = await answers_of([found(1, b"one"), found(1, b"2" * 100_000), found(1)])

    assert answers == [(0xFF00, b"one"), (0xFF00, b"2" * 100_000), (0, None)]


async def test_identifiers_that_come_in_one_piece_are_told_apart() -> None:
    answers = await answers_of([found(1, b"identifier") * 5000 + found(1)])

    assert answers == [(0xFF00, b"identifier")] * 5000 + [(0, None)]


async def test_answers_that_nobody_takes_stay_with_the_peer() -> None:
    sent = 0
    is_over = anyio.Event()

    async def answer_without_end(peer: RawPeer) -> None:
        nonlocal sent
        await peer.accept_association()
        await peer.receive_message()
        answer = memoryview(found(1, b"identifier") * 1000)
        while not is_over.is_set():
            taken = peer.send_what_fits(bytes(answer[sent % len(answer) :]))
            sent += taken
            await anyio.sleep(0 if taken else 0.01)
        await peer.receive_rest()

    async with associated(answer_without_end) as association:
        answers = association.find(CT_IMAGE, b"identifier")
        await anext(answers)
        before = -1
        while sent != before:
            before = sent
            await anyio.sleep(0.1)
        is_over.set()
        await answers.aclose()
        assert not association.is_open


async def test_an_identifier_without_end_is_not_collected() -> None:
    async def answer(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(found(1, bytes(17 * 1024 * 1024))[: 16 * 1024 * 1024 + 100_000])
        await peer.receive_rest()

    async with associated(answer) as association:
        with pytest.raises(AssociationLost, match="more than 16 MiB"):
            [answer async for answer in association.find(CT_IMAGE, b"identifier")]


async def test_a_find_that_nobody_finishes_ends_the_association() -> None:
    heard = []

    async def answer(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        await peer.send(found(1, b"identifier"))
        heard.append(await peer.receive_rest())

    async with associated(answer) as association:
        answers = association.find(CT_IMAGE, b"identifier")
        await anext(answers)
        await answers.aclose()

    assert heard == [ABORT]
