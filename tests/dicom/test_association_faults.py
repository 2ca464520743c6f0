"""What an association makes of peers that break the protocol, in every state."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.association import Association
from router.dicom.dimse import CEchoRQ, CStoreRQ
from router.dicom.dimse_codec import encode_message
from router.dicom.events import (
    Aborted,
    Associated,
    AssociateRequested,
    ConnectionLost,
    MessageStarted,
    PeerFault,
    Rejected,
    Released,
    ReleaseRequested,
)
from router.dicom.pdata import Buffer, command_fragments, data_fragments
from router.dicom.pdu import Abort, AssociateRJ, ReleaseRP, ReleaseRQ, encode
from router.dicom.state import TABLE, Action, Event, State
from tests.dicom.pair import (
    CT_CONTEXT,
    CT_IMAGE,
    ECHO_CONTEXT,
    VERIFICATION,
    ConnectionPair,
    acceptance,
    association_request,
    receive,
)

ECHO = CEchoRQ(1, VERIFICATION)
ECHO_PDU = b"".join(command_fragments(ECHO_CONTEXT, encode_message(ECHO), 1000))
REQUEST = association_request()
ACCEPT = encode(acceptance(REQUEST))

FROM_PEER: dict[Event, bytes] = {
    Event.ASSOCIATE_AC_RECEIVED: ACCEPT,
    Event.ASSOCIATE_RJ_RECEIVED: encode(AssociateRJ(1, 1, 1)),
    Event.ASSOCIATE_RQ_RECEIVED: encode(REQUEST),
    Event.P_DATA_RECEIVED: ECHO_PDU,
    Event.RELEASE_RQ_RECEIVED: encode(ReleaseRQ()),
    Event.RELEASE_RP_RECEIVED: encode(ReleaseRP()),
    Event.ABORT_RECEIVED: encode(Abort(0, 0)),
    Event.INVALID_PDU: b"GET / ",
}

SENDS_ABORT = {Action.AA_1, Action.AA_7, Action.AA_8}
INDICATED = {
    Action.AE_3: Associated,
    Action.AE_4: Rejected,
    Action.AE_6: AssociateRequested,
    Action.AR_2: ReleaseRequested,
    Action.AR_3: Released,
    Action.AR_8: ReleaseRequested,
    Action.AR_10: ReleaseRequested,
    Action.AA_1: PeerFault,
    Action.AA_3: Aborted,
    Action.AA_8: PeerFault,
}


def in_state(state: State) -> Association:
    """An association that has been led into ``state``, with nothing left to send or report."""
    pair = ConnectionPair()
    acceptor, requestor = pair.acceptor, pair.requestor
    association = requestor if state in REQUESTORS else acceptor
    if state not in (State.AWAITING_REQUEST, State.AWAITING_ANSWER):
        pair.to_acceptor()
    if state not in (State.AWAITING_REQUEST, State.AWAITING_ANSWER, State.AWAITING_LOCAL_ANSWER):
        acceptor.accept(acceptance(pair.request), 0.0)
        pair.to_requestor()
        LEAD.get(state, stay)(pair)
    association.data_to_send()
    association.take_events()
    assert association.state is state
    return association


REQUESTORS = {
    State.AWAITING_ANSWER,
    State.AWAITING_RELEASE_ANSWER,
    State.COLLISION_REQUESTOR_TO_ANSWER,
    State.COLLISION_REQUESTOR_AWAITS,
}


def stay(pair: ConnectionPair) -> None:
    """Established is where a pair is."""


def collide(pair: ConnectionPair) -> None:
    pair.requestor.release(0.0)
    pair.acceptor.release(0.0)
    asked = pair.acceptor.data_to_send()
    pair.to_acceptor()
    receive(pair.requestor, [asked])


def collide_and_answer(pair: ConnectionPair) -> None:
    collide(pair)
    pair.requestor.confirm_release(0.0)


def collide_and_carry_answer(pair: ConnectionPair) -> None:
    collide_and_answer(pair)
    pair.to_acceptor()


def ask_for_release(pair: ConnectionPair) -> None:
    pair.requestor.release(0.0)
    pair.to_acceptor()


LEAD: dict[State, Callable[[ConnectionPair], None]] = {
    State.AWAITING_RELEASE_ANSWER: ask_for_release,
    State.AWAITING_LOCAL_RELEASE: ask_for_release,
    State.COLLISION_REQUESTOR_TO_ANSWER: collide,
    State.COLLISION_ACCEPTOR_AWAITS: collide,
    State.COLLISION_REQUESTOR_AWAITS: collide_and_answer,
    State.COLLISION_ACCEPTOR_TO_ANSWER: collide_and_carry_answer,
    State.AWAITING_CLOSE: lambda pair: pair.acceptor.abort(0.0),
}
CONNECTED = [state for state in State if state not in (State.IDLE, State.AWAITING_CONNECTION)]


@pytest.mark.parametrize("state", CONNECTED)
@pytest.mark.parametrize("event", FROM_PEER)
def test_whatever_a_peer_sends_in_whatever_state_gets_the_answer_of_the_table(
    state: State, event: Event
) -> None:
    association = in_state(state)
    action, _ = TABLE[state, event]

    events = receive(association, [FROM_PEER[event]])

    sent = association.data_to_send()
    assert bool(sent) == (action in SENDS_ABORT)
    assert sent[:1] in (b"", b"\x07")
    expected = INDICATED.get(action)
    if action not in (Action.DT_2, Action.AR_6):
        assert {type(one) for one in events} <= {expected, Aborted}
        assert association.state in {TABLE[state, event][1], State.COLLISION_ACCEPTOR_AWAITS}
    else:
        assert association.state is state


@pytest.mark.parametrize("state", CONNECTED)
def test_a_lost_connection_closes_an_association_in_whatever_state(state: State) -> None:
    association = in_state(state)

    association.receive_eof(0.0)

    assert association.is_closed
    expected = [] if state is State.AWAITING_CLOSE else [ConnectionLost()]
    assert association.take_events() == expected


@pytest.mark.parametrize("state", CONNECTED)
def test_our_abort_is_possible_in_whatever_state(state: State) -> None:
    association = in_state(state)

    association.abort(0.0)

    assert association.state in (State.AWAITING_CLOSE, State.AWAITING_REQUEST)


# -- faults in messages ----------------------------------------------------------------------------


def pdata(*buffers: list[Buffer]) -> bytes:
    return b"".join(buffer for group in buffers for buffer in group)


def store_command(context_id: int = CT_CONTEXT) -> list[Buffer]:
    command = encode_message(CStoreRQ(1, CT_IMAGE, "1.2.3"))
    return command_fragments(context_id, command, 1000)


def data(context_id: int = CT_CONTEXT, *, last: bool = True) -> list[Buffer]:
    return data_fragments(context_id, memoryview(b"data"), 1000, last=last)


def part_of_a_command(context_id: int, content: bytes, *, last: bool = False) -> list[Buffer]:
    control = 3 if last else 1
    size = len(content)
    return [struct.pack(">BxIIBB", 4, size + 6, size + 2, context_id, control) + content]


@pytest.mark.parametrize(
    ("octets", "reason", "text"),
    [
        (pdata(data()), 5, "without a command"),
        (pdata(data(99)), 6, "context 99 was not accepted"),
        (pdata(store_command(99)), 6, "context 99 was not accepted"),
        (pdata(store_command(), data(last=False), store_command()), 5, "in the middle"),
        (pdata(store_command(), data(ECHO_CONTEXT)), 5, "inside a message of another"),
        (
            pdata(part_of_a_command(1, b"\0\0"), part_of_a_command(3, b"\0\0")),
            5,
            "inside a command of another",
        ),
        (pdata(part_of_a_command(1, bytes(65537))), 6, "beyond 65536 bytes"),
        (pdata(part_of_a_command(1, b"\0\0\0", last=True)), 6, "cut short"),
        (pdata(part_of_a_command(1, b"", last=True)), 6, "Command Field"),
        (ACCEPT, 2, "AssociateAC in Sta6"),
        (b"\x03\0\0\0\0\0", 6, "only 0 bytes"),
        (b"\x04\0\0\0\0\0", 6, "no presentation data value"),
    ],
)
def test_a_fault_is_named_and_answered_with_the_reason_of_table_9_26(
    octets: bytes, reason: int, text: str
) -> None:
    association = in_state(State.ESTABLISHED)

    *before, fault = receive(association, [octets])

    assert all(not isinstance(one, PeerFault) for one in before)
    assert isinstance(fault, PeerFault)
    assert text in fault.text
    assert association.data_to_send() == encode(Abort(2, reason))
    assert association.state is State.AWAITING_CLOSE


def test_an_unexpected_pdu_is_named_by_the_state_that_did_not_expect_it() -> None:
    association = in_state(State.AWAITING_REQUEST)

    assert receive(association, [ECHO_PDU]) == [PeerFault("data in Sta2")]
    assert association.data_to_send() == encode(Abort(2, 2))


def test_what_came_before_a_fault_is_reported() -> None:
    association = in_state(State.ESTABLISHED)

    started, fault = receive(association, [pdata(store_command()) + b"rubbish"])

    assert isinstance(started, MessageStarted)
    assert isinstance(fault, PeerFault)


# -- rubbish ---------------------------------------------------------------------------------------


@given(st.sampled_from(CONNECTED), st.lists(st.binary(max_size=100), max_size=10))
def test_rubbish_ends_the_association_and_raises_nothing(state: State, pieces: list[bytes]) -> None:
    association = in_state(state)

    events = receive(association, pieces)

    assert sum(isinstance(event, PeerFault) for event in events) <= 1


legal = st.sampled_from(
    [
        *FROM_PEER.values(),
        pdata(store_command()),
        pdata(data()),
        pdata(data(last=False)),
        pdata(part_of_a_command(1, b"\0\0")),
    ]
)


@given(
    st.sampled_from(CONNECTED),
    st.lists(legal, max_size=8),
    st.integers(0, 2000),
    st.integers(0, 255),
)
def test_pdus_in_any_order_with_a_wrong_byte_raise_nothing(
    state: State, pdus: list[bytes], position: int, octet: int
) -> None:
    association = in_state(state)
    stream = bytearray(b"".join(pdus))
    stream[position : position + 1] = bytes((octet,))

    events = receive(association, [bytes(stream)])

    assert sum(isinstance(event, PeerFault) for event in events) <= 1
