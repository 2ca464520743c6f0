"""A requestor's association over a byte stream: sends, receives, notices the end.

What is asked over it is in :mod:`router.net.requestor`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio

from router.dicom import statuses
from router.dicom.association import Association
from router.dicom.dimse import (
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
from router.domain.errors import AssociationLost, AssociationRejected, PeerTimeout
from router.net.operations import MAX_COLLECTED_BYTES
from router.net.stream import MAX_BUFFERS, ByteStream, after

RECEIVE_BYTES = 16 * 1024

Loss = AssociationLost | AssociationRejected
Reported = Callable[[NEventReportRQ, bytes], int]
"""Takes an event that the peer reports, with its data set; the status to answer."""


@dataclass(frozen=True, slots=True)
class RequestorTimeouts:
    """How long a requestor waits, in seconds."""

    connect_s: float = 10.0
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
    everything that waits.
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
        self._rest = b""  # received, but not to be consumed before an answer is sent
        self._unsent: list[Buffer] = []
        self._asked: deque[tuple[Message, AcceptedContext, bytes]] = deque()
        self._answers: deque[Answer] = deque()
        self._collected = bytearray()
        self._is_sending = False  # in the middle of a message
        self._is_open = False
        self._is_released = False
        self._loss: Loss | None = None

    @property
    def accepted(self) -> Mapping[int, AcceptedContext]:
        """The presentation contexts that the peer accepted, by id."""
        return self._association.contexts

    @property
    def is_open(self) -> bool:
        """Whether messages may still be sent."""
        return self._is_open and self._loss is None

    # -- from open to close -----------------------------------------------------------------------

    async def open(self) -> None:
        """Send the request and wait for its answer."""
        await self._send([])
        await self._until(lambda: self._is_open, self._timeouts.association_s, "association")

    async def release(self) -> None:
        """Release; a peer that breaks off instead of confirming has done its work all the same."""
        if not self.is_open:
            return
        self._is_open = False
        with suppress(AssociationLost):
            self._association.release(self._time())
            await self._send([])
            await self._until(lambda: self._is_released, self._timeouts.association_s, "release")

    def close(self) -> None:
        """Close the connection, after an A-ABORT if an association is still there. Never waits."""
        if not self._is_released:
            self._abort()
        self._is_open = False
        self._stream.close()

    # -- out --------------------------------------------------------------------------------------

    def begin(self, context_id: int, message: Message) -> None:
        """Queue a message; it leaves with what is sent next."""
        if self._loss is not None:
            raise self._loss
        self._association.send_message(context_id, message, self._time())
        self._is_sending = message.has_data_set

    async def send(self, context_id: int, chunk: memoryview, *, last: bool) -> None:
        """Send the next chunk of the message's data set, which must stay as it is meanwhile."""
        await self._send(self._association.data_buffers(context_id, chunk, last=last))
        self._is_sending = not last

    async def _send(self, buffers: Sequence[Buffer]) -> None:
        """Send what the association has queued, and these buffers after it."""
        queued = self._association.data_to_send()
        self._unsent = [queued, *buffers] if queued else list(buffers)
        stream, timeout_s = self._stream, self._timeouts.response_s
        while self._unsent:
            try:
                sent = stream.try_send(self._unsent[:MAX_BUFFERS])
            except OSError as error:
                raise self._broken(error) from error
            if sent:
                self._unsent = after(self._unsent, sent)
                continue
            try:
                with anyio.fail_after(timeout_s):
                    await stream.wait_readable_or_writable()
            except TimeoutError:
                text = f"{self.peer} took no bytes for {timeout_s:g} s"
                raise self._lost(PeerTimeout(text)) from None
            self._take_what_is_there()

    # -- in ---------------------------------------------------------------------------------------

    async def answer_to(self, request: Request) -> Answer:
        """Send what is queued, and wait for the next response to the request."""
        await self._send([])
        await self._until(lambda: bool(self._answers), self._timeouts.response_s, "response")
        answer = self._answers.popleft()
        if answer.message.message_id != request.message_id:
            text = f"{self.peer} answered another message than the one that was sent"
            raise self._lost(AssociationLost(text))
        return answer

    async def listen(self, timeout_s: float) -> None:
        """Take events that the peer reports, for so long; returns early if the peer is gone."""
        with suppress(AssociationLost), anyio.move_on_after(timeout_s):
            while self.is_open:
                await self._hear_more()

    async def _until(self, is_there: Callable[[], bool], timeout_s: float, what: str) -> None:
        try:
            with anyio.fail_after(timeout_s):
                while not is_there():
                    await self._hear_more()
        except TimeoutError:
            text = f"{self.peer} did not answer within {timeout_s:g} s ({what})"
            raise self._lost(PeerTimeout(text)) from None

    async def _hear_more(self) -> None:
        if self._asked:
            self._answer_what_was_asked()
            await self._send([])
        else:
            await self._stream.wait_readable()
        self._take_what_is_there()

    def _take_what_is_there(self) -> None:
        """Receive what has come; raises when that was the end."""
        try:
            while not self._rest:
                size = self._stream.try_receive_into(self._buffer)
                if size is None:
                    break
                self._take(self._buffer[:size])
                if not size or self._loss:
                    break
            else:
                rest, self._rest = self._rest, b""
                self._take(memoryview(rest))
        except OSError as error:
            raise self._broken(error) from error
        if self._loss is not None:
            raise self._loss

    def _take(self, view: memoryview) -> None:
        if not view:
            self._association.receive_eof(self._time())
            self._handle_events()
            if not self._is_released:
                self._lost(AssociationLost(f"{self.peer} closed the connection"))
            return
        position = 0
        while position < len(view):
            taken = self._association.receive(view[position:], self._time())
            self._handle_events()
            position += taken
            if not taken:
                self._rest = bytes(view[position:])
                return

    def _handle_events(self) -> None:
        for event in self._association.take_events():
            self._handle(event)

    def _handle(self, event: AssociationEvent) -> None:
        match event:
            case CommandReceived(message, context):
                self._receive(message, context, None)
            case DataFragments(fragments):
                self._collect(fragments)
            case MessageEnded(message, context):
                data, self._collected = bytes(self._collected), bytearray()
                self._receive(message, context, data)
            case Associated():
                self._is_open = True
            case Released():
                self._is_released = True
            case ReleaseRequested():
                self._association.confirm_release(self._time())
                if self._is_open:
                    self._lost(AssociationLost(f"{self.peer} released the association"))
            case Rejected(rejection):
                text = f"{self.peer} rejected the association: {describe_rejection(rejection)}"
                self._lost(AssociationRejected(text))
            case Aborted(source, reason):
                text = f"{self.peer} aborted the association (source {source}, reason {reason})"
                self._lost(AssociationLost(text))
            case PeerFault(text):
                self._lost(AssociationLost(f"{self.peer} broke the protocol: {text}"))
            case _:
                pass  # the end of the connection is seen where it is read

    def _collect(self, fragments: Sequence[memoryview]) -> None:
        for fragment in fragments:
            self._collected += fragment
        if len(self._collected) > MAX_COLLECTED_BYTES:
            self._lost(AssociationLost(f"{self.peer} sent a message of more than 16 MiB"))

    def _receive(self, message: Message, context: AcceptedContext, data: bytes | None) -> None:
        if isinstance(message, Response):
            self._answers.append(Answer(message, data))
            return
        self._asked.append((message, context, data or b""))
        if not self._is_sending:
            self._answer_what_was_asked()

    def _answer_what_was_asked(self) -> None:
        """Queue the answers to the peer's own requests, between two messages of ours."""
        while self._asked:
            message, context, data = self._asked.popleft()
            self._answer(message, context.context_id, data)

    def _answer(self, message: Message, context_id: int, data: bytes) -> None:
        now = self._time()
        if isinstance(message, NEventReportRQ) and self._reported is not None:
            answer = NEventReportRSP(
                message.message_id,
                message.sop_class_uid,
                message.sop_instance_uid,
                message.event_type_id,
                self._reported(message, data),
            )
            self._association.send_message(context_id, answer, now)
        elif isinstance(message, UnknownRequest | MalformedRequest):
            status = statuses.UNRECOGNISED_OPERATION
            self._association.send_failure(context_id, message, status, "", now)
        else:
            self._lost(AssociationLost(f"{self.peer} asked for an operation out of its role"))

    # -- ends -------------------------------------------------------------------------------------

    def _lost(self, loss: Loss) -> Loss:
        """Note that nothing more can come of the association; the first cause counts."""
        if self._loss is None:
            self._loss = loss
        return self._loss

    def _broken(self, error: OSError) -> Loss:
        """A read or a write failed; what the peer said before that counts more."""
        if self._loss is None:
            with suppress(OSError):
                while size := self._stream.try_receive_into(self._buffer):
                    self._take(self._buffer[:size])
        text = f"{self.peer} broke the connection: {error.strerror or error}"
        return self._lost(AssociationLost(text))

    def _abort(self) -> None:
        """Say that it is over, unless a PDU has been sent in part: then only the close tells."""
        if self._unsent:
            return
        self._association.abort(self._time())
        with suppress(OSError):
            self._stream.try_send([self._association.data_to_send()])
