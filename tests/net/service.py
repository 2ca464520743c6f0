"""A service behind an acceptor that keeps all it gets in memory, and sources to send from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from router.dicom import uids
from router.dicom.dimse import CStoreRQ, Message
from router.dicom.handlers import (
    Answer,
    AssociationEnd,
    AssociationInfo,
    PeerAddress,
    Respond,
)
from router.dicom.negotiation import AcceptancePolicy, AcceptedContext, negotiate, propose
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ
from router.domain.errors import SpoolFailed
from router.net.acceptor import Acceptor, AcceptorLimits
from router.net.connection import ConnectionTimeouts
from router.net.exchange import RequestorTimeouts

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = uids.IMPLICIT_VR_LITTLE_ENDIAN
CONTEXTS = propose([(uids.VERIFICATION, IMPLICIT), (CT_IMAGE, IMPLICIT)])
ECHO_CONTEXT, CT_CONTEXT = 1, 3

PATIENCE_S = 20.0
"""How long tests wait for what must happen; nothing is measured by it."""
NO_CONNECTION = RequestorTimeouts(connect_s=0.2)
NO_ASSOCIATION = RequestorTimeouts(association_s=0.2)
NO_ANSWER = RequestorTimeouts(response_s=0.2)
"""For tests whose peer falls silent there, and only there: a busy machine is no silent peer."""


@dataclass(eq=False)
class Stored:
    """One instance as the service got it."""

    request: CStoreRQ
    context: AcceptedContext
    service: Service
    data: bytearray = field(default_factory=bytearray)
    answer: Answer | None = None
    is_abandoned: bool = False
    is_answered: bool = False

    def write(self, fragments: Sequence[memoryview]) -> None:
        for fragment in fragments:
            self.data += fragment
        self.service.note_change()

    def finish(self, answer: Answer) -> None:
        self.answer = answer
        if self.service.answers_at_once:
            self.is_answered = True
            answer(self.service.status, "")
        self.service.note_change()

    def abandon(self) -> None:
        self.is_abandoned = True
        self.service.note_change()


@dataclass(eq=False)
class Receiver:
    """One association as the service sees it."""

    service: Service
    info: AssociationInfo

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> Stored:
        stored = Stored(request, context, self.service)
        self.service.stored.append(stored)
        self.service.note_change()
        return stored

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        self.service.requests.append((message, data))
        response = self.service.respond(message)
        if response is not None:
            respond(response)
        return response is not None

    def closed(self, how: AssociationEnd) -> None:
        self.service.ends.append(how)
        self.service.note_change()


@dataclass(eq=False)
class Service:
    """Accepts by ``policy``; answers at once with ``status``, or when the test does."""

    policy: AcceptancePolicy = field(default_factory=AcceptancePolicy)
    status: int = 0
    answers_at_once: bool = True
    respond: Callable[[Message], Message | None] = lambda _: None
    stored: list[Stored] = field(default_factory=list)
    requests: list[tuple[Message, bytes | None]] = field(default_factory=list)
    opened_ones: list[AssociationInfo] = field(default_factory=list)
    ends: list[AssociationEnd] = field(default_factory=list)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def requested(self, request: AssociateRQ, peer: PeerAddress) -> AssociateAC | AssociateRJ:
        return negotiate(request, self.policy)

    def opened(self, info: AssociationInfo) -> Receiver:
        self.opened_ones.append(info)
        self.note_change()
        return Receiver(self, info)

    def note_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it is so."""
        with anyio.fail_after(PATIENCE_S):
            while not condition():
                await self._changed.wait()

    def answer(self, number: int, status: int = 0) -> None:
        """Answer one of the instances that have been received whole."""
        stored = self.stored[number]
        assert stored.answer is not None
        stored.is_answered = True
        stored.answer(status, "")

    @property
    def unanswered(self) -> bool:
        """Whether the last instance has come whole, and waits for its answer."""
        return (
            bool(self.stored)
            and self.stored[-1].answer is not None
            and not (self.stored[-1].is_answered)
        )


@asynccontextmanager
async def serving(
    service: Service,
    *,
    artim_s: float = 60.0,
    idle_s: float = 60.0,
    message_s: float = 60.0,
    max_associations: int = 100,
    per_source: int = 100,
) -> AsyncIterator[Acceptor]:
    """An acceptor on a free port of loopback."""
    limits = AcceptorLimits(
        max_associations, per_source, ConnectionTimeouts(artim_s, idle_s, message_s)
    )
    async with Acceptor(service, host="127.0.0.1", port=0, limits=limits) as acceptor:
        yield acceptor


class BytesSource:
    """A data set in memory; it may have to be waited for, fail, or end early."""

    def __init__(
        self,
        data: bytes,
        *,
        is_slow: bool = False,
        fails_at: int | None = None,
        announces: int | None = None,
    ):
        self.length = len(data) if announces is None else announces
        self.waits = 0
        self._data = data
        self._is_slow = is_slow
        self._fails_at = fails_at

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        return None if self._is_slow else self._read(buffer, offset)

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        self.waits += 1
        await anyio.lowlevel.checkpoint()
        return self._read(buffer[: 100 * 1024], offset)

    def _read(self, buffer: memoryview, offset: int) -> int:
        if self._fails_at is not None and offset >= self._fails_at:
            raise SpoolFailed("the disk is gone")
        piece = self._data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)
