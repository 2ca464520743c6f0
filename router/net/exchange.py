"""A requestor's association over a byte stream: sends, receives, notices the end.

What is asked over it is in :mod:`router.net.requestor`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import anyio

from router.dicom import statuses
from router.dicom.association import Association
from router.dicom.dimse import (
    CCancelRQ,
    CFindRQ,
    MalformedRequest,
    Message,
    NEventReportRQ,
    NEventReportRSP,
    Request,
    Response,
    UnknownRequest,
)
from router.dicom.events import (
    Aborted,
    Associated,
    AssociationEvent,
    CommandReceived,
    DataFragments,
    MessageEnded,
    PeerFault,
    Rejected,
    Released,
    ReleaseRequested,
)
from router.dicom.negotiation import AcceptedContext, describe_rejection
from router.dicom.pdata import Buffer
from router.dicom.pdu import AssociateRQ
from router.domain.errors import (
    AssociationAborted,
    AssociationLost,
    AssociationRejected,
    PeerTimeout,
)
from router.net.operations import MAX_COLLECTED_BYTES, refusal
from router.net.stream import MAX_BUFFERS, ByteStream, after

RECEIVE_BYTES = 16 * 1024

Loss = AssociationLost | AssociationRejected
Reported = Callable[[NEventReportRQ, bytes], int]
"""Takes an event that the peer reports, with its data set; the status to answer. Never raises."""


@dataclass(frozen=True, slots=True)
class RequestorTimeouts:
    """How long a requestor waits, in seconds."""

    connect_s: float = 10.0  # for the connection, and TLS on it
    association_s: float = 30.0  # for the answer to an association request or release
    response_s: float = 120.0  # for the answer to an operation, and for the next bytes to be taken


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and its whole data set, if it has one."""

    message: Response
    data: bytes | None


class Exchange:
    """Messages out, answers in, one at a time; the first cause of a loss is what all get to hear.

    Raises ``AssociationRejected`` from ``open``, and ``AssociationLost`` (``PeerTimeout``) from
    everything that waits. What the peer said before it left counts more than that it left: an
    answer that has come is given out even if the association ended right behind it.
    """

    def __init__(
        self,
        stream: ByteStream,
        request: AssociateRQ,
        peer: str,
        timeouts: RequestorTimeouts,
        reported: Reported | None,
    ):
        """``peer`` names the application entity in errors."""
        self.peer = peer
        self._stream = stream
        self._timeouts = timeouts
        self._reported = reported
        self._time = asyncio.get_running_loop().time
        self._association = Association.requesting(request, self._time())
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._rest = b""  # received, but not to be consumed before the peer's request is answered
        self._unsent: list[Buffer] = []
        self._asked: deque[tuple[Request, int, bytes]] = deque()  # by the peer, not yet answered
        self._outstanding: Request | None = None  # of ours
        self._answers: deque[Answer] = deque()
        self._collected = bytearray()
        self._is_open = False
        self._is_released = False
        self._is_closed = False
        self._loss: Loss | None = None

    @property
    def accepted(self) -> Mapping[int, AcceptedContext]:
        """The presentation contexts that the peer accepted, by id."""
        return self._association.contexts

    @property
    def payload(self) -> int:
        """Bytes of a data set that one PDU carries to this peer."""
        return self._association.payload

    @property
    def is_open(self) -> bool:
        """Whether messages may still be sent."""
        return self._is_open and self._loss is None

    # -- from open to close -----------------------------------------------------------------------

    async def open(self) -> None:
        """Send the request and wait for its answer."""
        await self._until(lambda: self._is_open, self._timeouts.association_s, "association")

    async def release(self) -> None:
        """Release; a peer that breaks off instead of confirming has done its work all the same."""
        if not self.is_open:
            return
        self._is_open = False
        with suppress(AssociationLost):
            self._answer_what_was_asked()
            self._association.release(self._time())
            await self._until(lambda: self._is_released, self._timeouts.association_s, "release")

    def close(self) -> None:
        """Close the connection, after an A-ABORT if an association is still there. Never waits."""
        if self._is_closed:
            return
        self._is_closed = True
        self._abort()
        self._lost(AssociationLost(f"the association with {self.peer} has been closed"))
        self._stream.close()

    # -- out --------------------------------------------------------------------------------------

    def begin(self, context_id: int, message: Request) -> None:
        """Queue a request; it leaves with what is sent next."""
        if self._loss is not None:
            raise self._loss
        self._answer_what_was_asked()
        self._association.send_message(context_id, message, self._time())
        self._outstanding = message

    async def send(self, context_id: int, chunk: memoryview, *, last: bool) -> None:
        """Send the next chunk of the request's data set, which must stay as it is meanwhile."""
        if self._loss is not None:
            raise self._loss
        await self._send(self._association.data_buffers(context_id, chunk, last=last))

    async def _send(self, buffers: Sequence[Buffer] = (), until: float = inf) -> None:
        """Send what the association has queued, and these buffers after it."""
        queued = self._association.data_to_send()
        self._unsent += [queued, *buffers] if queued else buffers
        while self._unsent:
            sent = self._try_send() or await self._wait_and_send(until)
            self._unsent = after(self._unsent, sent)

    def _try_send(self) -> int:
        try:
            return self._stream.try_send(self._unsent[:MAX_BUFFERS])
        except OSError as error:
            raise self._broken(error) from error

    async def _wait_and_send(self, until: float) -> int:
        """Send some; listens meanwhile, but only as far as what is heard can be acted on."""
        began = self._time()
        until = min(until, began + self._timeouts.response_s)
        while self._time() < until:
            listens = not (self._rest or self._answers)
            await self._stream.wait(readable=listens, writable=True, until=until)
            if listens:
                self._receive()
            if self._loss is not None:
                raise self._loss
            if sent := self._try_send():
                return sent
        waited_s = max(0.1, round(until - began, 1))
        raise self._lost(PeerTimeout(f"{self.peer} took no bytes for {waited_s:g} s"))

    # -- in ---------------------------------------------------------------------------------------

    @property
    def early_status(self) -> int | None:
        """The status of an answer that came before its request was complete; None: none came."""
        return self._answers[0].message.status if self._answers else None

    async def answer(self) -> Answer:
        """Send what is queued, and wait for the next answer to the request at hand."""
        await self._until(lambda: bool(self._answers), self._timeouts.response_s, "response")
        return self._answers.popleft()

    async def listen(self, timeout_s: float) -> None:
        """Take events that the peer reports, for so long; returns early if the peer is gone."""
        with suppress(AssociationLost), anyio.move_on_after(timeout_s):
            while self.is_open:
                await self._hear_more(inf)

    async def _until(self, is_there: Callable[[], bool], timeout_s: float, what: str) -> None:
        until = self._time() + timeout_s
        while not is_there():
            if self._loss is not None:
                raise self._loss
            if self._time() >= until:
                text = f"{self.peer} did not answer within {timeout_s:g} s ({what})"
                raise self._lost(PeerTimeout(text))
            await self._hear_more(until)

    async def _hear_more(self, until: float) -> None:
        """Say what there is to say, and take what comes next. Between two messages of ours."""
        self._answer_what_was_asked()
        await self._send(until=until)
        if self._rest:
            rest, self._rest = self._rest, b""
            self._take(memoryview(rest))
            return
        await self._stream.wait(readable=True, until=until)
        if self._loss is None:
            self._receive()

    def _receive(self) -> None:
        """Receive once: what comes faster than it is acted on stays where it is."""
        try:
            size = self._stream.try_receive_into(self._buffer)
        except OSError as error:
            self._broken(error)
            return
        if size:
            self._take(self._buffer[:size])
        elif size is not None:
            self._association.receive_eof(self._time())
            self._handle_events()
            if not self._is_released:
                self._lost(AssociationLost(f"{self.peer} closed the connection"))

    def _take(self, view: memoryview) -> None:
        position = 0
        while position < len(view):
            taken = self._association.receive(view[position:], self._time())
            self._handle_events()
            position += taken
            if not taken:
                self._rest = bytes(view[position:])
                return

    # -- events -----------------------------------------------------------------------------------

    def _handle_events(self) -> None:
        for event in self._association.take_events():
            self._handle(event)

    def _handle(self, event: AssociationEvent) -> None:
        match event:
            case CommandReceived(message, context):
                self._note(message, context, None)
            case DataFragments(fragments):
                self._collect(fragments)
            case MessageEnded(message, context):
                data, self._collected = bytes(self._collected), bytearray()
                self._note(message, context, data)
            case Associated():
                self._is_open = True
            case Released():
                self._is_released = True
            case ReleaseRequested() if not self._association.is_over:  # by what came behind it
                self._association.confirm_release(self._time())
                if self._is_open:
                    self._lost(AssociationLost(f"{self.peer} released the association"))
            case Rejected(rejection):
                text = f"{self.peer} rejected the association: {describe_rejection(rejection)}"
                self._lost(AssociationRejected(text))
            case Aborted(source, reason):
                text = f"{self.peer} aborted the association (source {source}, reason {reason})"
                self._lost(AssociationAborted(text))
            case PeerFault(text):
                self._lost(AssociationLost(f"{self.peer} broke the protocol: {text}"))
            case _:
                pass  # the end of the connection is seen where it is read

    def _collect(self, fragments: Sequence[memoryview]) -> None:
        for fragment in fragments:
            self._collected += fragment
        if len(self._collected) > MAX_COLLECTED_BYTES:
            self._lost(AssociationLost(f"{self.peer} sent a message of more than 16 MiB"))
            self._collected.clear()

    def _note(self, message: Message, context: AcceptedContext, data: bytes | None) -> None:
        if not isinstance(message, Response):
            self._asked.append((message, context.context_id, data or b""))
            return
        request = self._outstanding
        if request is None or message.message_id != request.message_id:
            self._lost(AssociationLost(f"{self.peer} answered a message that it was not sent"))
            return
        if statuses.category(message.status) is not statuses.StatusCategory.PENDING:
            self._outstanding = None
        elif not isinstance(request, CFindRQ):
            answered = statuses.describe(message.status)
            self._lost(AssociationLost(f"{self.peer} answered with a pending status: {answered}"))
            return
        self._answers.append(Answer(message, data))

    # -- what the peer asks -----------------------------------------------------------------------

    def _answer_what_was_asked(self) -> None:
        """Queue the answers to the peer's own requests, between two messages of ours."""
        while self._asked and self._loss is None:
            if not self._association.can_send:
                text = f"{self.peer} asked for an operation while the association was released"
                self._lost(AssociationLost(text))
                return
            self._answer(*self._asked.popleft())

    def _answer(self, request: Request, context_id: int, data: bytes) -> None:
        now, status = self._time(), statuses.UNRECOGNISED_OPERATION
        match request:
            case CCancelRQ():
                pass  # nothing to cancel
            case UnknownRequest() | MalformedRequest():
                self._association.send_failure(context_id, request, status, "", now)
            case NEventReportRQ(message_id, sop_class, instance, event) if self._reported:
                status = self._reported(request, data)
                response = NEventReportRSP(message_id, sop_class, instance, event, status)
                self._association.send_message(context_id, response, now)
            case _:
                self._association.send_message(context_id, refusal(request, status), now)

    # -- ends -------------------------------------------------------------------------------------

    def _lost(self, loss: Loss) -> Loss:
        """Note that nothing more can come of the association; the first cause counts."""
        if self._loss is None:
            self._loss = loss
        return self._loss

    def _broken(self, error: OSError) -> Loss:
        """A read or a write failed; what the peer said before that, TLS alerts too, counts more."""
        try:
            while self._loss is None and not self._rest:
                size = self._stream.try_receive_into(self._buffer)
                if not size:
                    break
                self._take(self._buffer[:size])
        except OSError as said:
            error = said
        text = f"{self.peer} broke the connection: {error.strerror or error}"
        return self._lost(AssociationLost(text))

    def _abort(self) -> None:
        """Say that it is over, unless a PDU has been sent in part: then only the close tells."""
        if self._unsent:
            return
        if not self._is_released:
            self._association.abort(self._time())
        data = self._association.data_to_send()
        if data:
            with suppress(OSError):
                self._stream.try_send([data])
