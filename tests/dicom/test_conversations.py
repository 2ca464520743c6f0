"""Any conversation that the standard allows, on both sides of it, with the bytes cut anywhere.

A peer says whatever it may say next; an owner answers whatever may be answered next; the connection
carries any part of what is under way at any time. Each association has a twin that hears the same
bytes in other pieces. What must come of it is worked out here from what was said, never read from
the association:

* every event, in order, and no other, however the bytes are cut;
* nothing after the end;
* what is sent can be decoded by pynetdicom, in full;
* nothing is raised.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.dicom import dimse_codec
from router.dicom.association import DEFAULT_ARTIM_S, Association
from router.dicom.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CStoreRQ,
    CStoreRSP,
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
    AssociateRequested,
    AssociationEvent,
    CommandReceived,
    ConnectionLost,
    DataFragments,
    MessageEnded,
    MessageStarted,
    Rejected,
    Released,
    ReleaseRequested,
    RequestTimedOut,
)
from router.dicom.negotiation import AcceptedContext
from router.dicom.pdu import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ReleaseRP,
    ReleaseRQ,
    encode,
)
from router.dicom.state import Role, State
from tests.dicom.judges import decoded_by_pynetdicom
from tests.dicom.pair import (
    CT_CONTEXT,
    CT_IMAGE,
    ECHO_CONTEXT,
    IMPLICIT,
    VERIFICATION,
    acceptance,
    association_request,
)
from tests.wire import encoding as wire

CT = AcceptedContext(CT_CONTEXT, CT_IMAGE, IMPLICIT)
VERIFYING = AcceptedContext(ECHO_CONTEXT, VERIFICATION, IMPLICIT)
TO_BE_CONFIRMED = frozenset(
    {
        State.AWAITING_LOCAL_RELEASE,
        State.COLLISION_REQUESTOR_TO_ANSWER,
        State.COLLISION_ACCEPTOR_TO_ANSWER,
    }
)
NOW = 0.0


@dataclass(frozen=True)
class Cuts:
    """How a message is cut: sizes of its fragments, over and over, and how many a PDU takes."""

    sizes: list[int]
    per_pdu: int
    ends_empty: bool


DATA = st.binary(max_size=200)
CUTS = st.builds(
    Cuts,
    st.lists(st.integers(1, 400), min_size=1, max_size=4),
    st.integers(1, 5),
    st.booleans(),
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return pieces


def p_data(context_id: int, command: bytes, data: bytes | None, cuts: Cuts) -> bytes:
    """A message; command and data set may meet in a PDU, the last fragment may be empty."""
    sizes, per_pdu = cuts.sizes, cuts.per_pdu
    fragments = [(wire.COMMAND, piece) for piece in cut(command, sizes)]
    fragments[-1] = (wire.COMMAND | wire.LAST, fragments[-1][1])
    if data is not None:
        fragments += [(0, piece) for piece in cut(data, sizes)]
        if data and not cuts.ends_empty:
            fragments[-1] = (wire.LAST, fragments[-1][1])
        else:
            fragments.append((wire.LAST, b""))
    values = [wire.pdv(context_id, control, value) for control, value in fragments]
    groups = (values[at : at + per_pdu] for at in range(0, len(values), per_pdu))
    return b"".join(wire.p_data(*group) for group in groups)


class Listener:
    """An association, what it was given and has not taken, what it reported and sent."""

    def __init__(self, association: Association):
        self.association = association
        self.sent = association.data_to_send()
        self._waiting = b""
        self._events: list[AssociationEvent] = []

    def hear(self, pieces: list[bytes]) -> None:
        """Offer the pieces, behind what is still waiting; views die after each of them."""
        pieces, self._waiting = [self._waiting, *pieces], b""
        for piece in pieces:
            buffer = bytearray(self._waiting + piece)
            taken = self.association.receive(memoryview(buffer), NOW)
            self._waiting = bytes(buffer[taken:])
            self._events += self._copied(self.association.take_events())
            buffer[:] = b"\xee" * len(buffer)
            assert not self._waiting or self.association.owed
        self.collect()

    def lose(self) -> None:
        """The connection ends."""
        self.association.receive_eof(NOW)
        self.collect()

    def send_data(self, chunk: bytes, *, last: bool) -> None:
        """Send the next chunk of a data set."""
        self.collect()
        buffers = self.association.data_buffers(CT_CONTEXT, memoryview(chunk), last=last)
        self.sent += b"".join(buffers)

    def collect(self) -> None:
        """Take what is to be sent, and what has happened."""
        self._events += self._copied(self.association.take_events())
        self.sent += self.association.data_to_send()

    @property
    def events(self) -> list[AssociationEvent]:
        """All events so far; consecutive fragments of a data set are one."""
        joined: list[AssociationEvent] = []
        for event in self._events:
            if joined and isinstance(event, DataFragments):
                before = joined[-1]
                if isinstance(before, DataFragments):
                    whole = b"".join((*before.fragments, *event.fragments))
                    joined[-1] = DataFragments([memoryview(whole)])
                    continue
            joined.append(event)
        return joined

    @staticmethod
    def _copied(events: list[AssociationEvent]) -> list[AssociationEvent]:
        return [
            DataFragments([memoryview(b"".join(event.fragments))])
            if isinstance(event, DataFragments)
            else event
            for event in events
        ]


LENGTHS = st.sampled_from([0, 1, 7, 40, 16384])
REQUEST = association_request()
ANSWERS = LENGTHS.map(lambda length: acceptance(REQUEST, length))


@dataclass
class Said:
    """Something that the peer put on the wire: what it means, and whether it wants an answer."""

    events: list[AssociationEvent]
    request: Message | None = None


def answer_to(request: Message, status: int) -> Response:
    match request:
        case CEchoRQ(message_id, sop_class):
            return CEchoRSP(message_id, sop_class, status)
        case CStoreRQ(message_id, sop_class, instance):
            return CStoreRSP(message_id, sop_class, instance, status)
        case CFindRQ(message_id, sop_class):
            return CFindRSP(message_id, sop_class, status)
        case CGetRQ(message_id, sop_class):
            return CGetRSP(message_id, sop_class, status)
        case NEventReportRQ(message_id, sop_class, instance, event):
            return NEventReportRSP(message_id, sop_class, instance, event, status)
    raise AssertionError(request)


class Ending(Enum):
    """How a conversation ends."""

    RELEASE = auto()
    COLLISION = auto()
    ABORT = auto()
    BREAK = auto()
    ANY = auto()


class Conversation(RuleBasedStateMachine):
    """What both roles have in common: ``ours`` hears bytes as they come, ``twin`` cut finely."""

    role: Role

    def __init__(self) -> None:
        super().__init__()
        self.wire = b""  # from the peer, under way
        self.said: deque[Said] = deque()  # not yet heard in full
        self.expected: list[AssociationEvent] = []
        self.unanswered: deque[tuple[AcceptedContext, Message]] = deque()  # by us
        self.outstanding: Message | None = None  # asked by us, not answered by the peer
        self.unsent: deque[bytes] = deque()  # chunks of the data set that is being sent
        self.established = False
        self.peer_released = self.we_released = self.we_confirmed = False
        self.peer_is_done = False  # it has said its last word
        self.over = False
        self.last_id = 0
        self.turns = self.patience = 0
        self.ending, self.is_quick = Ending.ANY, False
        self.ours, self.twin = self.listener(), self.listener()

    @abstractmethod
    def listener(self) -> Listener:
        """One of the two associations that are tried, before anything was said."""

    # -- helpers ----------------------------------------------------------------------------------

    def do(self, *wishes: Callable[[Listener], None]) -> None:
        """Let both owners ask for something; then what waited is heard."""
        for one in (self.ours, self.twin):
            for wish in wishes:
                wish(one)
            one.hear([])
        self.understand()

    def says(self, data: bytes, *events: AssociationEvent, request: Message | None = None) -> None:
        """Put something on the wire that will mean these events."""
        self.wire += data
        self.said.append(Said(list(events), request))
        if self.is_quick:
            self.carry_all()

    def carry_all(self) -> None:
        """Let everything that is under way arrive, one byte at a time for the twin."""
        carried, self.wire = self.wire, b""
        self.ours.hear([carried])
        self.twin.hear(cut(carried, [1]))
        self.understand()

    def peer_message(
        self, context: AcceptedContext, command: bytes, data: bytes | None, cuts: Cuts
    ) -> None:
        """Say a whole message."""
        message = dimse_codec.decode_message(command)
        octets = p_data(context.context_id, command, data, cuts)
        is_request = isinstance(message, Request) and not isinstance(message, CCancelRQ)
        request = message if is_request else None
        if data is None:
            self.says(octets, CommandReceived(message, context), request=request)
        else:
            events: list[AssociationEvent] = [MessageStarted(message, context)]
            events += [DataFragments([memoryview(data)])] if data else []
            self.says(octets, *events, MessageEnded(message, context), request=request)

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    @property
    def state(self) -> State:
        return self.ours.association.state

    @property
    def may_send(self) -> bool:
        """Whether the owner may begin a message."""
        return self.ours.association.can_send and not self.unsent

    @property
    def peer_is_talking(self) -> bool:
        return self.established and not (self.peer_released or self.peer_is_done or self.over)

    @property
    def is_stuck(self) -> bool:
        """Asked in the middle of our release: we cannot answer, so the peer's answer waits."""
        return self.we_released and bool(self.unanswered) and not self.may_send

    @property
    def peer_may_ask(self) -> bool:
        is_free = self.peer_is_talking and not self.peer_waits_for_instances
        return is_free and (self.ending is Ending.ANY or not self.is_winding_up)

    @property
    def peer_waits_for_instances(self) -> bool:
        """Whether it has asked by C-GET: it asks for nothing else until that is answered."""
        asked = [*(said.request for said in self.said), *(one for _, one in self.unanswered)]
        return any(isinstance(one, CGetRQ) for one in asked)

    def understand(self) -> None:
        """Note which of the peer's words have been heard in full."""
        while self.said and not self.over:
            said = self.said[0]
            if len(self.ours.events) < len(self.expected) + len(said.events):
                return
            self.said.popleft()
            self.expected += said.events
            last = said.events[-1] if said.events else None
            if isinstance(last, Aborted | Rejected | Released):
                self.end()
            if said.request is not None:
                assert isinstance(last, CommandReceived | MessageEnded)
                self.unanswered.append((last.context, said.request))

    def end(self) -> None:
        """Nothing may happen any more."""
        self.over = self.peer_is_done = True
        self.said.clear()
        self.unanswered.clear()
        self.unsent.clear()

    @initialize(
        patience=st.sampled_from([1, 5, 12, 20]),
        ending=st.sampled_from(Ending),
        quick=st.booleans(),
        introduced=st.booleans(),
    )
    def plan(self, patience: int, ending: Ending, quick: bool, introduced: bool) -> None:
        """Talk for so many turns, then end like this: chance alone hardly gets beyond hello."""
        self.patience, self.ending, self.is_quick = patience, ending, quick
        if introduced:
            self.shake_hands()
            self.carry_all()

    @abstractmethod
    def shake_hands(self) -> None:
        """Have the association established, in the way of the role."""

    def may_end(self, ending: Ending) -> bool:
        return self.ending is Ending.ANY or (self.is_winding_up and self.ending is ending)

    @property
    def is_winding_up(self) -> bool:
        """Whether nobody begins anything new."""
        return self.turns > self.patience

    # -- the connection and the clock -------------------------------------------------------------

    @precondition(lambda self: self.wire)
    @rule(
        count=st.integers(1, 300) | st.just(1 << 20),
        sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    )
    def carry(self, count: int, sizes: list[int]) -> None:
        carried, self.wire = self.wire[:count], self.wire[count:]
        self.ours.hear([carried])
        self.twin.hear(cut(carried, sizes))
        self.understand()

    @precondition(lambda self: self.over or self.is_stuck or self.may_end(Ending.BREAK))
    @rule()
    def connection_breaks(self) -> None:
        """In the middle of anything; what is under way is lost."""
        was_over = self.over or self.ours.association.is_over
        for one in (self.ours, self.twin):
            one.lose()
        if not was_over:
            self.expected = [*self.ours.events[:-1], ConnectionLost()]
        self.wire = b""
        self.end()
        assert self.ours.association.is_closed

    @precondition(
        lambda self: self.may_end(Ending.BREAK) and self.ours.association.deadline is not None
    )
    @rule()
    def artim_expires(self) -> None:
        if self.state is State.AWAITING_REQUEST:
            self.expected = [RequestTimedOut()]
        self.do(lambda one: one.association.expire(NOW + DEFAULT_ARTIM_S))
        self.end()
        assert self.ours.association.is_closed

    # -- the peer ---------------------------------------------------------------------------------

    @precondition(lambda self: self.may_end(Ending.ABORT) and not self.peer_is_done)
    @rule(source=st.sampled_from([0, 2]), reason=st.integers(0, 6))
    def peer_aborts(self, source: int, reason: int) -> None:
        self.says(encode(Abort(source, reason)), Aborted(source, reason))
        self.peer_is_done = True

    @precondition(lambda self: self.may_end(Ending.ABORT) and self.peer_is_talking)
    @rule(data=DATA.filter(bool), cuts=CUTS)
    def peer_aborts_in_mid_object(self, data: bytes, cuts: Cuts) -> None:
        message = CStoreRQ(self.next_id(), CT_IMAGE, "1.2.3")
        octets = p_data(CT_CONTEXT, dimse_codec.encode_message(message), None, cuts)
        octets += wire.p_data(wire.pdv(CT_CONTEXT, 0, data)) + encode(Abort(0, 0))
        fragments = DataFragments([memoryview(data)])
        self.says(octets, MessageStarted(message, CT), fragments, Aborted(0, 0))
        self.peer_is_done = True

    @precondition(lambda self: self.peer_may_ask)
    @rule(kind=st.sampled_from(["echo", "event", "unknown", "cancel"]), cuts=CUTS)
    def peer_asks(self, kind: str, cuts: Cuts) -> None:
        number = self.next_id()
        command = {
            "echo": dimse_codec.encode_message(CEchoRQ(number, VERIFICATION)),
            "event": dimse_codec.encode_message(
                NEventReportRQ(number, CT_IMAGE, "1.2.3", 1, has_data_set=False)
            ),
            "unknown": wire.command(wire.us(0x100, 0x0021), wire.us(0x110, number)),
            "cancel": wire.command(wire.us(0x100, wire.CANCEL_RQ), wire.us(0x120, number)),
        }[kind]
        self.peer_message(VERIFYING, command, None, cuts)

    @precondition(lambda self: self.peer_may_ask)
    @rule(kind=st.sampled_from(["store", "find", "get", "malformed"]), data=DATA, cuts=CUTS)
    def peer_asks_with_data(self, kind: str, data: bytes, cuts: Cuts) -> None:
        number = self.next_id()
        command = {
            "store": dimse_codec.encode_message(CStoreRQ(number, CT_IMAGE, "1.2.3")),
            "find": dimse_codec.encode_message(CFindRQ(number, CT_IMAGE)),
            "get": dimse_codec.encode_message(CGetRQ(number, CT_IMAGE)),
            "malformed": wire.command(
                wire.us(0x100, wire.STORE_RQ), wire.us(0x110, number), wire.us(0x800, 0)
            ),
        }[kind]
        self.peer_message(CT, command, data, cuts)

    @precondition(lambda self: self.peer_is_talking and self.peer_waits_for_instances)
    @rule(number=st.integers(0, 3), cuts=CUTS)
    def peer_cancels(self, number: int, cuts: Cuts) -> None:
        command = wire.command(wire.us(0x100, wire.CANCEL_RQ), wire.us(0x120, number))
        self.peer_message(CT, command, None, cuts)

    @precondition(lambda self: self.peer_is_talking and self.outstanding and not self.unsent)
    @rule(cuts=CUTS)
    def peer_answers(self, cuts: Cuts) -> None:
        assert self.outstanding is not None
        answer = answer_to(self.outstanding, 0)
        self.outstanding = None
        self.peer_message(CT, dimse_codec.encode_message(answer), None, cuts)

    @precondition(lambda self: self.peer_is_talking and isinstance(self.outstanding, CFindRQ))
    @rule(data=DATA, cuts=CUTS)
    def peer_answers_for_now(self, data: bytes, cuts: Cuts) -> None:
        assert self.outstanding is not None
        pending = replace(answer_to(self.outstanding, 0xFF00), has_data_set=True)
        self.peer_message(CT, dimse_codec.encode_message(pending), data, cuts)

    @precondition(lambda self: self.may_end(Ending.RELEASE) and self.peer_is_talking)
    @rule()
    def peer_releases(self) -> None:
        """An acceptor that has asked for release, too, first waits for the requestor's answer."""
        silent = self.we_released and self.role is Role.ACCEPTOR
        self.says(encode(ReleaseRQ()), *([] if silent else [ReleaseRequested()]))
        self.peer_released = True

    @precondition(lambda self: self.we_released and not self.peer_is_done)
    @precondition(
        lambda self: self.role is Role.ACCEPTOR or self.we_confirmed or not self.peer_released
    )
    @rule()
    def peer_confirms_release(self) -> None:
        collision = self.peer_released and self.role is Role.ACCEPTOR
        self.says(encode(ReleaseRP()), ReleaseRequested() if collision else Released())
        self.peer_is_done = True

    # -- the owner --------------------------------------------------------------------------------

    @precondition(lambda self: self.may_end(Ending.ABORT) and self.established and not self.over)
    @rule()
    def owner_aborts(self) -> None:
        for one in (self.ours, self.twin):
            one.association.abort(NOW)
        self.do(Listener.collect)
        self.expected = self.ours.events
        self.end()

    @precondition(lambda self: self.unanswered and self.may_send)
    @rule(status=st.sampled_from([0x0000, 0x0110, 0xA700, 0xB000]))
    def owner_answers(self, status: int) -> None:
        context, request = self.unanswered.popleft()
        number = context.context_id

        def answer(one: Listener) -> None:
            if isinstance(request, UnknownRequest | MalformedRequest):
                one.association.send_failure(number, request, 0x0211, "cannot", NOW)
            else:
                one.association.send_message(number, answer_to(request, status), NOW)

        self.do(answer)

    @precondition(
        lambda self: self.outstanding is None and self.may_send and not self.is_winding_up
    )
    @rule(
        kind=st.sampled_from([CEchoRQ, CStoreRQ, CFindRQ, NEventReportRQ]),
        chunks=st.lists(DATA, min_size=1, max_size=3),
    )
    def owner_asks(self, kind: type[Message], chunks: list[bytes]) -> None:
        number = self.next_id()
        request: Message
        if kind is CEchoRQ:
            request = CEchoRQ(number, VERIFICATION)
        elif kind is CStoreRQ:
            request = CStoreRQ(number, CT_IMAGE, "1.2.3")
        elif kind is CFindRQ:
            request = CFindRQ(number, CT_IMAGE)
        else:
            request = NEventReportRQ(number, CT_IMAGE, "1.2.3", 1)
        self.outstanding = request
        self.unsent.extend(chunks if request.has_data_set else ())
        self.do(lambda one: one.association.send_message(CT_CONTEXT, request, NOW))

    @precondition(lambda self: self.unsent and self.ours.association.can_send)
    @rule()
    def owner_sends_more(self) -> None:
        chunk = self.unsent.popleft()
        is_last = not self.unsent
        self.do(lambda one: one.send_data(chunk, last=is_last))

    @precondition(lambda self: self.may_end(Ending.RELEASE) and self.state is State.ESTABLISHED)
    @precondition(lambda self: not (self.unanswered or self.unsent))
    @rule()
    def owner_releases(self) -> None:
        self.we_released = True
        if self.role is Role.ACCEPTOR:  # what is under way collides
            for said in self.said:
                said.events = [one for one in said.events if not isinstance(one, ReleaseRequested)]
        self.do(lambda one: one.association.release(NOW))

    @precondition(lambda self: self.may_end(Ending.COLLISION) and self.peer_is_talking)
    @precondition(lambda self: self.state is State.ESTABLISHED)
    @precondition(lambda self: not (self.unanswered or self.unsent))
    @rule()
    def both_release(self) -> None:
        quick, self.is_quick = self.is_quick, False
        self.peer_releases()
        self.owner_releases()
        self.is_quick = quick

    @precondition(lambda self: self.state in TO_BE_CONFIRMED and not self.unsent)
    @rule()
    def owner_confirms_release(self) -> None:
        self.we_confirmed = True
        self.do(lambda one: one.association.confirm_release(NOW))
        if self.state is State.AWAITING_CLOSE:
            self.end()

    # -- what always holds ------------------------------------------------------------------------

    @invariant()
    def time_passes(self) -> None:
        self.turns += 1

    @invariant()
    def what_is_reported_is_what_was_said(self) -> None:
        events = self.ours.events
        assert events[: len(self.expected)] == self.expected
        begun = events[len(self.expected) :]
        meant = self.said[0].events if self.said else []
        assert len(begun) <= len(meant)
        for got, whole in zip(begun, meant, strict=False):
            if isinstance(got, DataFragments) and isinstance(whole, DataFragments):
                assert bytes(whole.fragments[0]).startswith(bytes(got.fragments[0]))
            else:
                assert got == whole

    @invariant()
    def cuts_make_no_difference(self) -> None:
        assert self.twin.events == self.ours.events
        assert self.twin.sent == self.ours.sent
        assert self.twin.association.state is self.state
        assert self.twin.association.owed == self.ours.association.owed == len(self.unanswered)

    @invariant()
    def all_that_was_carried_is_heard_unless_an_answer_is_owed(self) -> None:
        """What belongs to a C-GET is heard before its answer."""
        waits = any(not isinstance(request, CGetRQ) for _, request in self.unanswered)
        assert self.wire or waits or not self.said

    @invariant()
    def the_end_is_known(self) -> None:
        if self.over:
            assert self.ours.association.is_over
            assert not self.ours.association.can_send

    def teardown(self) -> None:
        decoded_by_pynetdicom(self.ours.sent)


class AcceptorConversation(Conversation):
    """Ours is the acceptor."""

    role = Role.ACCEPTOR
    request: AssociateRQ | None = None

    def listener(self) -> Listener:
        return Listener(Association.accepting(NOW))

    def shake_hands(self) -> None:
        self.peer_requests()
        self.carry_all()
        self.owner_accepts(acceptance(REQUEST))

    @precondition(lambda self: self.request is None and not self.over)
    @rule()
    def peer_requests(self) -> None:
        self.request = REQUEST
        self.says(encode(self.request), AssociateRequested(self.request))

    @precondition(lambda self: self.state is State.AWAITING_LOCAL_ANSWER)
    @rule(answer=ANSWERS)
    def owner_accepts(self, answer: AssociateAC) -> None:
        self.established = True
        self.do(lambda one: one.association.accept(answer, NOW))

    @precondition(
        lambda self: self.may_end(Ending.RELEASE) and self.state is State.AWAITING_LOCAL_ANSWER
    )
    @rule()
    def owner_rejects(self) -> None:
        self.do(lambda one: one.association.reject(AssociateRJ(1, 1, 7), NOW))
        self.end()


class RequestorConversation(Conversation):
    """Ours is the requestor."""

    role = Role.REQUESTOR

    def listener(self) -> Listener:
        return Listener(Association.requesting(REQUEST, NOW))

    def shake_hands(self) -> None:
        self.peer_accepts(acceptance(REQUEST))

    @precondition(lambda self: not (self.established or self.peer_is_done))
    @rule(answer=ANSWERS)
    def peer_accepts(self, answer: AssociateAC) -> None:
        self.says(encode(answer), Associated(answer, {ECHO_CONTEXT: VERIFYING, CT_CONTEXT: CT}))
        self.established = True

    @precondition(
        lambda self: self.may_end(Ending.RELEASE) and not (self.established or self.peer_is_done)
    )
    @rule(rejection=st.builds(AssociateRJ, st.integers(1, 2), st.integers(1, 3), st.integers(1, 7)))
    def peer_rejects(self, rejection: AssociateRJ) -> None:
        self.says(encode(rejection), Rejected(rejection))
        self.peer_is_done = True


STEPS = settings(max_examples=100, stateful_step_count=50)

TestAcceptorConversations = AcceptorConversation.TestCase
TestAcceptorConversations.settings = STEPS
TestRequestorConversations = RequestorConversation.TestCase
TestRequestorConversations.settings = STEPS
