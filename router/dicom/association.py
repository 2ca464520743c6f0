"""The association without I/O (PS3.8): bytes and wishes in, bytes and events out, both roles.

How to drive one::

    consumed = association.receive(view, now)     # or receive_eof(now), or expire(now)
    for event in association.take_events(): ...   # views are valid until the buffer is used again
    connection.write(association.data_to_send())  # after anything that was asked of it
    if association.is_closed: connection.close()

A peer's fault is an outcome, never an exception: the right A-ABORT is queued and an event says
what was wrong. :class:`LocalProtocolError` means that the caller asked for what the state does not
allow. The clock is the caller's; ``now`` is its monotonic time in seconds.

Flow control: an association answers as many requests at a time as its operations window allows
(one). While answers are owed, ``receive`` takes nothing beyond the message that they answer; the
caller keeps the rest, stops reading, and offers it again when it has sent an answer. A C-GET leaves
the window open, for the answers to its sub-operations and a C-CANCEL; another request before it has
been answered is a fault of the peer's.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.dicom import pdu
from router.dicom.dimse import (
    CCancelRQ,
    CGetRQ,
    CGetRSP,
    MalformedRequest,
    Message,
    Request,
    Response,
    UnknownRequest,
)
from router.dicom.dimse_codec import encode_failure, encode_message
from router.dicom.events import (
    Aborted,
    Associated,
    AssociateRequested,
    AssociationEvent,
    CommandReceived,
    ConnectionLost,
    MessageEnded,
    PeerFault,
    Rejected,
    Released,
    ReleaseRequested,
    RequestTimedOut,
)
from router.dicom.messages import MessageReader
from router.dicom.negotiation import AcceptedContext, accepted_contexts
from router.dicom.pdata import (
    Buffer,
    ControlBody,
    Fragments,
    PDUReader,
    command_fragments,
    data_fragments,
    payload_size,
)
from router.dicom.pdu import Abort, AssociateAC, AssociateRJ, AssociateRQ, ControlPDU
from router.dicom.state import (
    ARTIM_STARTS,
    ARTIM_STOPS,
    Action,
    Event,
    LocalProtocolError,
    Role,
    State,
    step,
)

SERVICE_USER, SERVICE_PROVIDER = 0, 2  # sources of A-ABORT (table 9-26)
UNEXPECTED_PDU = 2  # a reason of A-ABORT

DEFAULT_ARTIM_S = 30.0

_RECEIVED: Mapping[type[ControlPDU], Event] = {
    AssociateRQ: Event.ASSOCIATE_RQ_RECEIVED,
    AssociateAC: Event.ASSOCIATE_AC_RECEIVED,
    AssociateRJ: Event.ASSOCIATE_RJ_RECEIVED,
    pdu.ReleaseRQ: Event.RELEASE_RQ_RECEIVED,
    pdu.ReleaseRP: Event.RELEASE_RP_RECEIVED,
    Abort: Event.ABORT_RECEIVED,
}
_PENDING = (0xFF00, 0xFF01)  # statuses that more responses follow
_CARRYING_DATA_IN = frozenset({State.ESTABLISHED, State.AWAITING_RELEASE_ANSWER})
_CARRYING_DATA_OUT = frozenset({State.ESTABLISHED, State.AWAITING_LOCAL_RELEASE})
_OVER = frozenset({State.IDLE, State.AWAITING_CLOSE})
_ABORTABLE = frozenset(State) - _OVER - {State.AWAITING_REQUEST}


class Association:
    """One association, from connection to close."""

    def __init__(
        self,
        role: Role,
        *,
        artim_s: float = DEFAULT_ARTIM_S,
        max_outstanding: int = 1,
        strict: bool = False,
    ):
        self._role = role
        self._artim_s = artim_s
        self._window = max_outstanding
        self._strict = strict
        self._state = State.IDLE
        self._deadline: float | None = None
        self._begun = False
        self._pdus = PDUReader()
        self._messages = MessageReader({})
        self._request: AssociateRQ | None = None
        self._contexts: Mapping[int, AcceptedContext] = {}
        self._payload = 1
        self._owed = 0
        self._getting: CGetRQ | None = None  # is being carried out, beyond the window
        self._is_cancelled = False
        self._sending_data_of: int | None = None
        self._events: list[AssociationEvent] = []
        self._out = bytearray()

    @classmethod
    def accepting(
        cls, now: float, *, artim_s: float = DEFAULT_ARTIM_S, strict: bool = False
    ) -> Association:
        """Make the acceptor's end of a connection that a peer has just opened."""
        association = cls(Role.ACCEPTOR, artim_s=artim_s, strict=strict)
        association._step(Event.CONNECTION_INDICATED, now)
        return association

    @classmethod
    def requesting(
        cls,
        request: AssociateRQ,
        now: float,
        *,
        artim_s: float = DEFAULT_ARTIM_S,
        strict: bool = False,
    ) -> Association:
        """Make the requestor's end of a connection that we have just opened; queue the request."""
        association = cls(Role.REQUESTOR, artim_s=artim_s, strict=strict)
        association.associate(request, now)
        return association

    # -- what the owner may look at ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the state machine is."""
        return self._state

    @property
    def contexts(self) -> Mapping[int, AcceptedContext]:
        """The accepted presentation contexts, by id."""
        return self._contexts

    @property
    def payload(self) -> int:
        """Bytes of a message that one PDU carries to this peer."""
        return self._payload

    @property
    def can_send(self) -> bool:
        """Whether messages may be sent now."""
        return self._state in _CARRYING_DATA_OUT

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it, even if the connection is still open."""
        return self._begun and self._state in _OVER

    @property
    def is_closed(self) -> bool:
        """Whether the connection is to be closed, once ``data_to_send`` has been sent."""
        return self._begun and self._state is State.IDLE

    @property
    def is_receiving(self) -> bool:
        """Whether the peer is in the middle of a PDU or a message."""
        return not (self._pdus.is_between_pdus and self._messages.is_between_messages)

    @property
    def owed(self) -> int:
        """Requests that have been received whole, and not been answered."""
        return self._owed

    @property
    def is_getting(self) -> bool:
        """Whether the peer waits for the end of a C-GET."""
        return self._getting is not None

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer has cancelled the C-GET that is being carried out."""
        return self._is_cancelled

    @property
    def deadline(self) -> float | None:
        """When to call ``expire``, if nothing else happens; None: no timer runs."""
        return self._deadline

    def take_events(self) -> list[AssociationEvent]:
        """Take what has happened since the last call."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """Take the bytes to be sent, in order, before any ``data_buffers`` asked for later."""
        data = bytes(self._out)
        self._out.clear()
        return data

    # -- what comes from the connection -----------------------------------------------------------

    def receive(self, view: memoryview, now: float) -> int:
        """Take bytes from the peer; how many were consumed.

        Fewer than all means that answers are owed: offer the rest again after sending one.
        """
        position = 0
        read = self._pdus.read
        while self._owed < self._window:
            if self._state is State.IDLE:
                return len(view)
            part, position = read(view, position)
            if part is None:
                break
            if isinstance(part, Fragments):
                self._take_fragments(part, now)
            elif isinstance(part, ControlBody):
                self._take_control(part, now)
            else:
                self._fault(part.text, part.reason, now)
        return position

    def receive_eof(self, now: float) -> None:
        """Note that the connection has ended, for whatever cause."""
        if self._begun and self._state is not State.IDLE:
            action = self._step(Event.CONNECTION_CLOSED, now)
            if action is not Action.AR_5:
                self._events.append(ConnectionLost())

    def expire(self, now: float) -> None:
        """Let ARTIM expire if its time has come (PS3.8 section 9.1.5)."""
        if self._deadline is None or now < self._deadline:
            return
        if self._state is State.AWAITING_REQUEST:
            self._events.append(RequestTimedOut())
        self._step(Event.ARTIM_EXPIRED, now)

    # -- what the owner wishes --------------------------------------------------------------------

    def associate(self, request: AssociateRQ, now: float) -> None:
        """Request the association, over a connection that is already open."""
        self._step(Event.ASSOCIATE_REQUEST, now)
        self._step(Event.CONNECTION_CONFIRMED, now)
        self._request = request
        self._pdus.limit_to(request.user.max_length, strict=self._strict)
        self._queue(request)

    def accept(self, answer: AssociateAC, now: float) -> None:
        """Accept what was requested."""
        request = self._request
        self._step(Event.ACCEPT, now)
        assert request is not None
        self._pdus.limit_to(answer.user.max_length, strict=self._strict)
        self._establish(request, answer, peer_max_length=request.user.max_length)
        self._queue(answer)

    def reject(self, rejection: AssociateRJ, now: float) -> None:
        """Reject what was requested; the peer then closes the connection, or ARTIM does."""
        self._step(Event.REJECT, now)
        self._queue(rejection)

    def send_message(self, context_id: int, message: Message, now: float) -> None:
        """Queue a message; if it has a data set, ``data_buffers`` must follow."""
        answers = isinstance(message, Response)
        self._send_command(context_id, encode_message(message), now, answers=answers)
        if isinstance(message, Response) and message.status not in _PENDING:
            self._owed -= 1
            if self._getting is not None and isinstance(message, CGetRSP):
                self._getting = None
                self._window -= 1
        if message.has_data_set:
            self._sending_data_of = context_id

    def send_failure(
        self,
        context_id: int,
        request: UnknownRequest | MalformedRequest,
        status: int,
        comment: str,
        now: float,
    ) -> None:
        """Queue the answer to a request that cannot be carried out, whatever it was."""
        command = encode_failure(request, status, comment)
        self._send_command(context_id, command, now, answers=True)
        self._owed -= 1

    def data_buffers(self, context_id: int, chunk: memoryview, *, last: bool) -> list[Buffer]:
        """Headers and slices of ``chunk`` to be sent next, as they are, without copying.

        For the message that was last queued; ``last`` ends its data set.
        """
        if self._sending_data_of != context_id or not self.can_send:
            message = f"no message of context {context_id} waits for its data set"
            raise LocalProtocolError(message)
        if last:
            self._sending_data_of = None
        return data_fragments(context_id, chunk, self._payload, last=last)

    def release(self, now: float) -> None:
        """Ask for the end of the association; ``Released`` says that it has come."""
        self._step(Event.RELEASE_REQUEST, now)
        self._queue(pdu.ReleaseRQ())

    def confirm_release(self, now: float) -> None:
        """Answer ``ReleaseRequested``."""
        self._step(Event.RELEASE_RESPONSE, now)
        self._queue(pdu.ReleaseRP())

    def abort(self, now: float) -> None:
        """End the association at once; does nothing where there is none.

        The data set that is being sent, if any, must have been cut between two PDUs.
        """
        if self._state in _ABORTABLE:
            self._step(Event.ABORT_REQUEST, now)
            self._queue(Abort(SERVICE_USER, 0))

    # -- how it works -----------------------------------------------------------------------------

    def _step(self, event: Event, now: float) -> Action:
        action, self._state = step(self._state, event, self._role)
        self._begun = True
        if action in ARTIM_STARTS:
            self._deadline = now + self._artim_s
        elif action in ARTIM_STOPS:
            self._deadline = None
        if self._state in _OVER:
            self._owed = 0
            self._getting = None
            self._sending_data_of = None
        return action

    def _take_fragments(self, run: Fragments, now: float) -> None:
        if self._state not in _CARRYING_DATA_IN:
            text = f"data in {self._state}"
            self._act(self._step(Event.P_DATA_RECEIVED, now), text, UNEXPECTED_PDU)
            return
        events = self._events  # DT-2 and AR-6 leave the state as it is
        before = len(events)
        fault = self._messages.take(run, events)
        if fault is not None:
            self._fault(fault.text, fault.reason, now)
        elif len(events) > before and isinstance(end := events[-1], MessageEnded | CommandReceived):
            self._take_message(end.message, now)

    def _take_message(self, message: Message, now: float) -> None:
        """Note what is owed for it, and how much may be received before that is given.

        A request has a response of its own, unless it cancels another (PS3.7 section 9.3).
        """
        getting = self._getting
        if isinstance(message, CCancelRQ):
            if getting is not None and getting.message_id == message.message_id:
                self._is_cancelled = True
        elif not isinstance(message, Request):
            pass  # an answer
        elif getting is not None:
            self._events.pop()
            self._fault("a request while C-GET is carried out", UNEXPECTED_PDU, now)
        else:
            self._owed += 1
            if isinstance(message, CGetRQ):
                self._getting = message
                self._is_cancelled = False
                self._window += 1

    def _take_control(self, part: ControlBody, now: float) -> None:
        try:
            unit = pdu.decode(part.pdu_type, part.body)
        except pdu.PDUDecodeError as error:
            self._fault(str(error), error.reason, now)
            return
        before = self._state
        action = self._step(_RECEIVED[type(unit)], now)
        self._act(action, f"{type(unit).__name__} in {before}", UNEXPECTED_PDU)
        match unit:
            case AssociateRQ() if action is Action.AE_6:
                self._request = unit
                self._events.append(AssociateRequested(unit))
            case AssociateAC() if action is Action.AE_3 and self._request is not None:
                self._establish(self._request, unit, peer_max_length=unit.user.max_length)
                self._events.append(Associated(unit, self._contexts))
            case AssociateRJ() if action is Action.AE_4:
                self._events.append(Rejected(unit))
            case Abort(source, reason) if before is not State.AWAITING_CLOSE:
                self._events.append(Aborted(source, reason))

    def _fault(self, text: str, reason: int, now: float) -> None:
        self._act(self._step(Event.INVALID_PDU, now), text, reason)

    def _act(self, action: Action, text: str, reason: int) -> None:
        """Carry out what does not need the PDU itself.

        AA-1 on what a peer sent in Sta2 carries the provider's reason, as AA-8 does: there is no
        service user yet, and the peer learns what was wrong.
        """
        match action:
            case Action.AA_1 | Action.AA_8:
                self._queue(Abort(SERVICE_PROVIDER, reason))
                self._events.append(PeerFault(text))
            case Action.AA_7:
                self._queue(Abort(SERVICE_PROVIDER, reason))
            case Action.AR_2 | Action.AR_10:
                self._events.append(ReleaseRequested())
            case Action.AR_8 if self._role is Role.REQUESTOR:
                self._events.append(ReleaseRequested())
            case Action.AR_3:
                self._events.append(Released())
            case _:
                pass

    def _establish(
        self, request: AssociateRQ, answer: AssociateAC, *, peer_max_length: int
    ) -> None:
        self._contexts = accepted_contexts(request, answer)
        self._messages = MessageReader(self._contexts)
        self._payload = payload_size(peer_max_length)

    def _send_command(self, context_id: int, command: bytes, now: float, *, answers: bool) -> None:
        if context_id not in self._contexts:
            message = f"presentation context {context_id} was not accepted"
            raise LocalProtocolError(message)
        if self._sending_data_of is not None:
            message = "the data set of the message before is not complete"
            raise LocalProtocolError(message)
        if answers and not self._owed:
            message = "an answer to no request"
            raise LocalProtocolError(message)
        self._step(Event.SEND_DATA, now)
        for buffer in command_fragments(context_id, command, self._payload):
            self._out += buffer

    def _queue(self, unit: ControlPDU) -> None:
        self._out += pdu.encode(unit)
