"""What the router asks on an association that a peer requested: between its answers, one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from router.dicom import commandset, dimse_codec, pdata
from router.dicom.dimse import CStoreRQ, CStoreRSP, NEventReportRQ, NEventReportRSP
from router.net.invocations import MAX_WAITING
from tests.net.raw import RELEASE_RP, RELEASE_RQ, RawPeer, calling, message_bytes
from tests.net.service import CT_CONTEXT, CT_IMAGE, Service, serving

COMMITMENT = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
EVENT = NEventReportRQ(0, COMMITMENT, WELL_KNOWN, 1)
STORE = message_bytes(CT_CONTEXT, CStoreRQ(1, CT_IMAGE, "1.2.3"), bytes(1000))
STORED = CStoreRSP(1, CT_IMAGE, "1.2.3", 0)


def event(message_id: int) -> NEventReportRQ:
    return NEventReportRQ(message_id, COMMITMENT, WELL_KNOWN, 1)


def answer_to(message_id: int, status: int = 0) -> bytes:
    response = NEventReportRSP(message_id, COMMITMENT, WELL_KNOWN, 1, status)
    return message_bytes(CT_CONTEXT, response)


class Asker:
    """Asks through the first association of a service, and keeps what it is answered."""

    def __init__(self, service: Service):
        self._service = service
        self._more = anyio.Event()
        self.answers: list[int | None] = []

    def ask(self, data: bytes = b"list") -> None:
        self._service.opened_ones[0].invoker.invoke(CT_CONTEXT, EVENT, data, self._answered)

    def _answered(self, status: int | None) -> None:
        self.answers.append(status)
        self._more.set()
        self._more = anyio.Event()

    async def until_answered(self, count: int) -> None:
        with anyio.fail_after(20):
            while len(self.answers) < count:
                await self._more.wait()


async def test_a_request_is_sent_at_once_and_its_answer_comes_back() -> None:
    service = Service()
    asker = Asker(service)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        asker.ask(b"x" * 100_000)
        assert await peer.receive_message() == (event(1), b"x" * 100_000)
        await peer.send(answer_to(1, 0x0110))
        await asker.until_answered(1)

    assert asker.answers == [0x0110]


async def test_requests_follow_one_another() -> None:
    service = Service()
    asker = Asker(service)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        asker.ask(b"one")
        asker.ask(b"two")
        assert await peer.receive_message() == (event(1), b"one")
        await peer.send(STORE)
        assert await peer.receive_message() == (STORED, b"")  # not yet "two"
        await peer.send(answer_to(1))
        assert await peer.receive_message() == (event(2), b"two")
        await peer.send(answer_to(2))
        await asker.until_answered(2)

    assert asker.answers == [0, 0]


async def test_an_answer_that_is_owed_goes_first() -> None:
    service = Service(answers_at_once=False)
    asker = Asker(service)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(STORE)
        await service.until(lambda: service.unanswered)
        asker.ask()
        service.answer(0)
        assert await peer.receive_message() == (STORED, b"")
        assert await peer.receive_message() == (event(1), b"list")


async def test_an_answer_may_bring_a_reply_of_its_own() -> None:
    service = Service()
    asker = Asker(service)
    response = commandset.encode(
        {
            commandset.COMMAND_FIELD: dimse_codec.N_EVENT_REPORT_RSP,
            commandset.MESSAGE_ID_BEING_RESPONDED_TO: 1,
            commandset.COMMAND_DATA_SET_TYPE: dimse_codec.HAS_DATA_SET,
            commandset.STATUS: 0,
        }
    )
    reply = pdata.data_fragments(CT_CONTEXT, memoryview(b"reply"), 100, last=True)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        asker.ask()
        await peer.receive_message()
        await peer.send(b"".join(pdata.command_fragments(CT_CONTEXT, response, 100) + reply))
        await asker.until_answered(1)

    assert asker.answers == [0]


async def release(peer: RawPeer) -> None:
    await peer.send(RELEASE_RQ)
    assert await peer.receive_pdu() == RELEASE_RP


async def reset(peer: RawPeer) -> None:
    peer.reset()


@pytest.mark.parametrize("end", [release, reset])
async def test_the_end_of_the_association_is_the_answer_to_all_that_was_asked(
    end: Callable[[RawPeer], Awaitable[None]],
) -> None:
    service = Service()
    asker = Asker(service)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        asker.ask()
        asker.ask()
        await peer.receive_message()
        await end(peer)
        await asker.until_answered(2)
        asker.ask()

    assert asker.answers == [None, None, None]


async def test_no_more_is_kept_than_may_wait() -> None:
    service = Service()
    asker = Asker(service)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        for _ in range(1 + MAX_WAITING):
            asker.ask()
        assert asker.answers == []
        asker.ask()
        assert asker.answers == [None]


async def test_an_answer_to_nothing_is_passed_over() -> None:
    service = Service()
    asker = Asker(service)
    async with serving(service) as acceptor, calling(acceptor.port) as peer:
        await peer.associate()
        await peer.send(answer_to(9) + STORE)
        assert await peer.receive_message() == (STORED, b"")

    assert asker.answers == []
