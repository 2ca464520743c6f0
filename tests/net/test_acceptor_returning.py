"""Instances go back on the association that asks for them by C-GET, whatever becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from router.dicom import commandset, dimse_codec, pdata, uids
from router.dicom.dimse import CEchoRQ, CGetRQ, CGetRSP, CStoreRQ, CStoreRSP, Message
from router.dicom.handlers import AssociationEnd, AssociationInfo, Respond, Returner
from router.dicom.negotiation import AcceptedContext
from router.domain.errors import AssociationLost, PeerTimeout, RouterError, SpoolFailed
from router.net.acceptor import Acceptor
from router.net.pieces import CHUNK_BYTES
from tests.net.raw import ABORT, RELEASE_RP, RELEASE_RQ, RawPeer, calling, message_bytes
from tests.net.service import (
    CT_CONTEXT,
    CT_IMAGE,
    ECHO_CONTEXT,
    PATIENCE_S,
    BytesSource,
    Receiver,
    Service,
    serving,
)
from tests.net.test_acceptor_endings import Ending, endings

GET = message_bytes(CT_CONTEXT, CGetRQ(7, uids.STUDY_ROOT_GET), b"a study")
LAST = CGetRSP(7, uids.STUDY_ROOT_GET, 0)
ECHO = message_bytes(ECHO_CONTEXT, CEchoRQ(8, uids.VERIFICATION))
CANCEL = b"".join(
    pdata.command_fragments(
        CT_CONTEXT,
        commandset.encode(
            {
                commandset.COMMAND_FIELD: dimse_codec.C_CANCEL_RQ,
                commandset.MESSAGE_ID_BEING_RESPONDED_TO: 7,
                commandset.COMMAND_DATA_SET_TYPE: commandset.NO_DATA_SET,
            }
        ),
        16378,
    )
)
PIXELS = bytes(range(256)) * 4096  # 1 MiB
SHORT_S = 0.1
"""A time-out that is awaited."""


def stored(message_id: int, status: int = 0) -> bytes:
    response = CStoreRSP(message_id, CT_IMAGE, f"1.2.{message_id}", status)
    return message_bytes(CT_CONTEXT, response)


@dataclass(eq=False)
class Getting(Receiver):
    """Takes C-GET, to be answered by the test."""

    responds: list[Respond]

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        self.responds.append(respond)
        self.service.note_change()
        return True


@dataclass(eq=False)
class Archive(Service):
    """A service whose associations are asked by C-GET."""

    responds: list[Respond] = field(default_factory=list)

    def opened(self, info: AssociationInfo) -> Getting:
        self.opened_ones.append(info)
        return Getting(self, info, self.responds)

    @property
    def returner(self) -> Returner:
        return self.opened_ones[0].returner

    async def give(self, number: int, source: BytesSource) -> int:
        return await self.returner.store(CT_CONTEXT, CT_IMAGE, f"1.2.{number}", source)


@dataclass
class Asked:
    """A peer that waits for the end of a C-GET."""

    service: Archive
    acceptor: Acceptor
    peer: RawPeer
    answers: list[int] = field(default_factory=list)
    faults: list[RouterError] = field(default_factory=list)

    async def give(self, number: int, source: BytesSource | None = None) -> None:
        """Store one at the peer, and keep what comes of it."""
        try:
            with anyio.fail_after(PATIENCE_S):
                self.answers.append(await self.service.give(number, source or BytesSource(PIXELS)))
        except RouterError as fault:
            self.faults.append(fault)

    @property
    def fault(self) -> RouterError:
        """The only one that there was."""
        [fault] = self.faults
        return fault


@asynccontextmanager
async def asked(
    *, message_s: float = 60.0, receive_buffer: int | None = None
) -> AsyncIterator[Asked]:
    service = Archive()
    async with (
        serving(service, message_s=message_s) as acceptor,
        calling(acceptor.port, receive_buffer=receive_buffer) as peer,
    ):
        await peer.associate()
        await peer.send(GET)
        await service.until(lambda: service.responds)
        yield Asked(service, acceptor, peer)


@pytest.mark.parametrize("is_slow", [False, True], ids=["cached", "from the disk"])
async def test_instances_follow_one_another_and_each_is_answered(is_slow: bool) -> None:
    async with asked() as it:
        for number in (1, 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(it.give, number, BytesSource(PIXELS, is_slow=is_slow))
                request, data = await it.peer.receive_message()
                assert request == CStoreRQ(number, CT_IMAGE, f"1.2.{number}")
                assert data == PIXELS
                await it.peer.send(stored(number, 0xB000))
        it.service.responds[0](LAST)
        assert await it.peer.receive_message() == (LAST, b"")

    assert it.answers == [0xB000, 0xB000]


async def test_an_empty_data_set_is_returned_too() -> None:
    async with asked() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.give, 1, BytesSource(b""))
        assert await it.peer.receive_message() == (CStoreRQ(1, CT_IMAGE, "1.2.1"), b"")
        await it.peer.send(stored(1))

    assert it.answers == [0]


async def test_an_answer_to_something_else_is_passed_over() -> None:
    async with asked() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.give, 1)
        await it.peer.receive_message()
        await it.peer.send(stored(9, 0xA700), stored(1))

    assert it.answers == [0]


async def test_a_cancellation_is_heard_between_two_instances() -> None:
    async with asked() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.give, 1)
        await it.peer.receive_message()
        assert not it.service.returner.is_cancelled
        await it.peer.send(CANCEL, stored(1))

    assert it.answers == [0]
    assert it.service.returner.is_cancelled


@endings
async def test_whoever_leaves_is_sent_no_more(end: Ending, how: AssociationEnd) -> None:
    async with asked() as it:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.give, 1)
            await it.peer.receive_message()
            end(it.peer)
        await it.give(2)

        assert it.answers == []
        assert [type(fault) for fault in it.faults] == [AssociationLost] * 2
        assert it.service.ends == [how]


async def test_whoever_releases_in_the_middle_is_sent_no_more() -> None:
    async with asked() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.give, 1)
        await it.peer.receive_message()
        await it.peer.send(RELEASE_RQ)
        assert await it.peer.receive_pdu() == RELEASE_RP

    assert isinstance(it.fault, AssociationLost)


async def test_whoever_does_not_read_is_given_up() -> None:
    async with asked(message_s=SHORT_S, receive_buffer=4096) as it:
        await it.give(1, BytesSource(bytes(64 * CHUNK_BYTES)))

        assert isinstance(it.fault, PeerTimeout)
        assert it.service.ends == [AssociationEnd.ABORTED]


async def test_whoever_does_not_answer_is_given_up() -> None:
    async with asked(message_s=SHORT_S) as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.give, 1)
        await it.peer.receive_message()
        rest = await it.peer.receive_rest()

    assert isinstance(it.fault, PeerTimeout)
    assert rest == ABORT


async def test_a_data_set_that_cannot_be_read_to_its_end_never_looks_whole() -> None:
    async with asked() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.give, 1, BytesSource(PIXELS, fails_at=CHUNK_BYTES))
        rest = await it.peer.receive_rest()

    assert isinstance(it.fault, SpoolFailed)
    assert rest.endswith(ABORT)
    assert len(rest) < len(PIXELS)


async def test_another_request_meanwhile_ends_the_association() -> None:
    async with asked() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.give, 1)
        await it.peer.receive_message()
        await it.peer.send(ECHO)
        assert (await it.peer.receive_rest())[0] == 7  # A-ABORT

    assert isinstance(it.fault, AssociationLost)


async def test_a_stop_waits_until_all_is_returned() -> None:
    async with asked() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.acceptor.drain, PATIENCE_S)
        async with anyio.create_task_group() as returning:
            returning.start_soon(it.give, 1)
            await it.peer.receive_message()
            await it.peer.send(stored(1))
        it.service.responds[0](LAST)
        assert await it.peer.receive_message() == (LAST, b"")
        assert await it.peer.receive_rest() == ABORT

    assert it.answers == [0]
