"""An association between two of our own ends, each seen from both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.association import Association
from router.dicom.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CGetRQ,
    CGetRSP,
    CStoreRQ,
    CStoreRSP,
    UnknownRequest,
)
from router.dicom.events import (
    Aborted,
    Associated,
    AssociateRequested,
    CommandReceived,
    ConnectionLost,
    DataFragments,
    MessageEnded,
    MessageStarted,
    PeerFault,
    Rejected,
    Released,
    ReleaseRequested,
    RequestTimedOut,
)
from router.dicom.negotiation import AcceptedContext
from router.dicom.pdu import AssociateRJ
from router.dicom.state import LocalProtocolError, State
from tests.dicom.pair import (
    CT_CONTEXT,
    CT_IMAGE,
    ECHO_CONTEXT,
    IMPLICIT,
    VERIFICATION,
    ConnectionPair,
    acceptance,
    association_request,
    receive,
)

ECHO = CEchoRQ(1, VERIFICATION)
ECHO_ANSWER = CEchoRSP(1, VERIFICATION, 0)
STORE = CStoreRQ(2, CT_IMAGE, "1.2.3.4")
STORE_ANSWER = CStoreRSP(2, CT_IMAGE, "1.2.3.4", 0)
GET = CGetRQ(3, CT_IMAGE, has_data_set=False)
PENDING, LAST = CGetRSP(3, CT_IMAGE, 0xFF00), CGetRSP(3, CT_IMAGE, 0)
CT = AcceptedContext(CT_CONTEXT, CT_IMAGE, IMPLICIT)
VERIFYING = AcceptedContext(ECHO_CONTEXT, VERIFICATION, IMPLICIT)


def store(association: Association, data: bytes) -> bytes:
    """The bytes of a whole C-STORE request."""
    association.send_message(CT_CONTEXT, STORE, 0.0)
    command = association.data_to_send()
    return command + b"".join(association.data_buffers(CT_CONTEXT, memoryview(data), last=True))


def test_both_sides_know_the_accepted_contexts() -> None:
    pair = ConnectionPair()
    answer = acceptance(pair.request)

    assert pair.to_acceptor() == [AssociateRequested(pair.request)]
    pair.acceptor.accept(answer, 0.0)
    contexts = {ECHO_CONTEXT: VERIFYING, CT_CONTEXT: CT}
    assert pair.to_requestor() == [Associated(answer, contexts)]

    assert pair.acceptor.contexts == pair.requestor.contexts == contexts


def test_a_rejection_closes_the_requestor_and_leaves_the_acceptor_waiting_for_the_close() -> None:
    pair = ConnectionPair()
    pair.to_acceptor()

    pair.acceptor.reject(AssociateRJ(1, 1, 7), 0.0)

    assert pair.to_requestor() == [Rejected(AssociateRJ(1, 1, 7))]
    assert pair.requestor.is_closed
    assert pair.acceptor.is_over
    assert not pair.acceptor.is_closed


def test_a_command_without_data_set_is_one_event() -> None:
    pair = ConnectionPair.established()

    pair.requestor.send_message(ECHO_CONTEXT, ECHO, 0.0)
    assert pair.to_acceptor() == [CommandReceived(ECHO, VERIFYING)]

    pair.acceptor.send_message(ECHO_CONTEXT, ECHO_ANSWER, 0.0)
    assert pair.to_requestor() == [CommandReceived(ECHO_ANSWER, VERIFYING)]


def test_a_command_with_data_set_is_started_filled_and_ended() -> None:
    pair = ConnectionPair.established()

    started, data, ended = receive(pair.acceptor, [store(pair.requestor, b"pixels")])

    assert started == MessageStarted(STORE, CT)
    assert data == DataFragments([memoryview(b"pixels")])
    assert ended == MessageEnded(STORE, CT)


@pytest.mark.parametrize("max_length", [0, 1, 7, 8, 30, 16384])
def test_messages_pass_whatever_maximum_length_the_receiver_announced(max_length: int) -> None:
    pair = ConnectionPair.established(acceptor_max_length=max_length)

    started, data, ended = receive(pair.acceptor, [store(pair.requestor, b"pixels" * 100)])

    assert started == MessageStarted(STORE, CT)
    assert data == DataFragments([memoryview(b"pixels" * 100)])
    assert ended == MessageEnded(STORE, CT)


def test_an_empty_data_set_has_no_fragments() -> None:
    pair = ConnectionPair.established()

    assert receive(pair.acceptor, [store(pair.requestor, b"")]) == [
        MessageStarted(STORE, CT),
        MessageEnded(STORE, CT),
    ]


# -- flow control ----------------------------------------------------------------------------------


def test_nothing_is_consumed_beyond_a_request_that_is_not_answered() -> None:
    pair = ConnectionPair.established()
    first, second = store(pair.requestor, b"one"), store(pair.requestor, b"two")

    assert pair.acceptor.receive(memoryview(first + second), 0.0) == len(first)
    assert pair.acceptor.receive(memoryview(second), 0.0) == 0
    pair.acceptor.send_message(CT_CONTEXT, STORE_ANSWER, 0.0)
    assert pair.acceptor.receive(memoryview(second), 0.0) == len(second)


def test_what_follows_in_the_same_pdu_waits_too() -> None:
    pair = ConnectionPair.established()
    pair.requestor.send_message(ECHO_CONTEXT, ECHO, 0.0)
    one = pair.requestor.data_to_send()
    both = one[:2] + (2 * (len(one) - 6)).to_bytes(4, "big") + one[6:] + one[6:]

    consumed = pair.acceptor.receive(memoryview(both), 0.0)
    assert consumed == len(one)
    assert pair.acceptor.take_events() == [CommandReceived(ECHO, VERIFYING)]

    pair.acceptor.send_message(ECHO_CONTEXT, ECHO_ANSWER, 0.0)
    assert receive(pair.acceptor, [both[consumed:]]) == [CommandReceived(ECHO, VERIFYING)]


def cancellation(message_id: int) -> bytes:
    """The bytes of a C-CANCEL request."""
    cancel = bytes.fromhex(
        "0000000004000000 2a000000 00000001 02000000 ff0f 00002001 02000000".replace(" ", "")
    )
    cancel += message_id.to_bytes(2, "little") + bytes.fromhex("00000008020000000101")
    pdv = (len(cancel) + 2).to_bytes(4, "big") + bytes((CT_CONTEXT, 3)) + cancel
    return b"\x04\x00" + len(pdv).to_bytes(4, "big") + pdv


def test_responses_and_cancellations_owe_no_answer() -> None:
    pair = ConnectionPair.established()

    assert receive(pair.acceptor, [cancellation(2)]) == [CommandReceived(CCancelRQ(2), CT)]
    assert pair.acceptor.owed == 0


# -- C-GET: requests of the acceptor while its answer is owed --------------------------------------


def getting() -> ConnectionPair:
    """A pair whose requestor waits for the end of a C-GET."""
    pair = ConnectionPair.established()
    pair.requestor.send_message(CT_CONTEXT, GET, 0.0)
    assert pair.to_acceptor() == [CommandReceived(GET, CT)]
    return pair


def test_sub_operations_of_a_c_get_run_while_its_answer_is_owed() -> None:
    pair = getting()

    for _ in range(2):
        _, data, ended = receive(pair.requestor, [store(pair.acceptor, b"pixels")])
        assert (data, ended) == (DataFragments([memoryview(b"pixels")]), MessageEnded(STORE, CT))
        pair.requestor.send_message(CT_CONTEXT, STORE_ANSWER, 0.0)
        assert pair.to_acceptor() == [CommandReceived(STORE_ANSWER, CT)]
        pair.acceptor.send_message(CT_CONTEXT, PENDING, 0.0)
        assert pair.to_requestor() == [CommandReceived(PENDING, CT)]

    assert (pair.acceptor.owed, pair.acceptor.is_getting) == (1, True)
    pair.acceptor.send_message(CT_CONTEXT, LAST, 0.0)
    assert pair.to_requestor() == [CommandReceived(LAST, CT)]
    assert (pair.acceptor.owed, pair.acceptor.is_getting) == (0, False)


def test_the_window_is_what_it_was_when_a_c_get_has_been_answered() -> None:
    pair = getting()
    pair.acceptor.send_message(CT_CONTEXT, LAST, 0.0)
    first, second = store(pair.requestor, b"one"), store(pair.requestor, b"two")

    assert pair.acceptor.receive(memoryview(first + second), 0.0) == len(first)


def test_a_c_get_is_cancelled_by_its_own_message_id_only() -> None:
    pair, noted = getting(), []

    for message_id in (GET.message_id + 1, GET.message_id):
        receive(pair.acceptor, [cancellation(message_id)])
        noted.append(pair.acceptor.is_cancelled)
    pair.acceptor.send_message(CT_CONTEXT, LAST, 0.0)
    pair.requestor.send_message(CT_CONTEXT, GET, 0.0)
    pair.to_acceptor()
    noted.append(pair.acceptor.is_cancelled)

    assert noted == [False, True, False]


def test_another_request_before_a_c_get_has_been_answered_is_a_fault() -> None:
    pair = getting()

    pair.requestor.send_message(ECHO_CONTEXT, ECHO, 0.0)

    assert pair.to_acceptor() == [PeerFault("a request while C-GET is carried out")]
    assert not pair.acceptor.can_send
    assert isinstance(pair.to_requestor()[-1], Aborted)


def test_a_failure_answers_an_unknown_request() -> None:
    pair = ConnectionPair.established()
    pair.requestor.send_message(ECHO_CONTEXT, ECHO, 0.0)
    pair.to_acceptor()
    request = UnknownRequest(1, 0x0FF0, "", "", has_data_set=False)

    pair.acceptor.send_failure(ECHO_CONTEXT, request, 0x0211, "what?", 0.0)

    (answer,) = pair.to_requestor()
    assert isinstance(answer, CommandReceived)
    assert answer.message.message_id == 1
    assert pair.acceptor.owed == 0


# -- release ---------------------------------------------------------------------------------------


def test_release_ends_both_sides() -> None:
    pair = ConnectionPair.established()

    pair.requestor.release(0.0)
    assert pair.to_acceptor() == [ReleaseRequested()]
    pair.acceptor.confirm_release(0.0)
    assert pair.to_requestor() == [Released()]

    assert pair.requestor.is_closed
    assert pair.acceptor.is_over
    pair.acceptor.receive_eof(0.0)
    assert pair.acceptor.is_closed
    assert pair.acceptor.take_events() == []


def test_a_release_request_waits_until_what_is_owed_is_answered() -> None:
    pair = ConnectionPair.established()
    pair.requestor.send_message(ECHO_CONTEXT, ECHO, 0.0)
    pair.requestor.release(0.0)
    octets = pair.requestor.data_to_send()

    consumed = pair.acceptor.receive(memoryview(octets), 0.0)
    assert pair.acceptor.take_events() == [CommandReceived(ECHO, VERIFYING)]
    pair.acceptor.send_message(ECHO_CONTEXT, ECHO_ANSWER, 0.0)

    assert receive(pair.acceptor, [octets[consumed:]]) == [ReleaseRequested()]
    assert pair.to_requestor() == [CommandReceived(ECHO_ANSWER, VERIFYING)]


def test_messages_may_still_be_sent_before_release_is_confirmed() -> None:
    pair = ConnectionPair.established()
    pair.requestor.release(0.0)
    pair.to_acceptor()

    pair.acceptor.send_message(ECHO_CONTEXT, ECHO, 0.0)

    assert pair.to_requestor() == [CommandReceived(ECHO, VERIFYING)]
    assert pair.requestor.state is State.AWAITING_RELEASE_ANSWER


def test_in_a_release_collision_the_requestor_answers_first() -> None:
    pair = ConnectionPair.established()
    pair.requestor.release(0.0)
    pair.acceptor.release(0.0)
    requested, asked = pair.requestor.data_to_send(), pair.acceptor.data_to_send()

    assert receive(pair.acceptor, [requested]) == []
    assert pair.acceptor.state is State.COLLISION_ACCEPTOR_AWAITS
    assert receive(pair.requestor, [asked]) == [ReleaseRequested()]
    assert pair.requestor.state is State.COLLISION_REQUESTOR_TO_ANSWER

    pair.requestor.confirm_release(0.0)
    assert pair.to_acceptor() == [ReleaseRequested()]
    pair.acceptor.confirm_release(0.0)
    assert pair.to_requestor() == [Released()]
    assert pair.requestor.is_closed
    assert pair.acceptor.is_over


# -- abort, loss, time -----------------------------------------------------------------------------


def test_an_abort_ends_both_sides() -> None:
    pair = ConnectionPair.established()

    pair.requestor.abort(0.0)

    assert pair.to_acceptor() == [Aborted(0, 0)]
    assert pair.acceptor.is_closed
    assert pair.requestor.is_over


def test_aborting_what_is_over_does_nothing() -> None:
    pair = ConnectionPair.established()
    pair.requestor.abort(0.0)
    pair.requestor.data_to_send()

    pair.requestor.abort(0.0)

    assert pair.requestor.data_to_send() == b""


def test_a_lost_connection_is_an_event() -> None:
    pair = ConnectionPair.established()

    pair.acceptor.receive_eof(0.0)

    assert pair.acceptor.take_events() == [ConnectionLost()]
    assert pair.acceptor.is_closed


def test_artim_bounds_the_wait_for_a_request() -> None:
    association = Association.accepting(100.0, artim_s=30.0)
    assert association.deadline == 130.0

    association.expire(129.9)
    assert association.state is State.AWAITING_REQUEST
    association.expire(130.0)

    assert association.is_closed
    assert association.take_events() == [RequestTimedOut()]


def test_artim_stops_when_the_request_is_there() -> None:
    pair = ConnectionPair()

    pair.to_acceptor()

    assert pair.acceptor.deadline is None


@pytest.mark.parametrize("ending", ["reject", "confirm_release", "abort"])
def test_artim_bounds_the_wait_for_the_close(ending: str) -> None:
    pair = ConnectionPair() if ending == "reject" else ConnectionPair.established()
    pair.to_acceptor()
    if ending == "reject":
        pair.acceptor.reject(AssociateRJ(1, 1, 1), 50.0)
    elif ending == "abort":
        pair.acceptor.abort(50.0)
    else:
        pair.requestor.release(50.0)
        pair.to_acceptor()
        pair.acceptor.confirm_release(50.0)

    assert pair.acceptor.deadline == 80.0
    pair.acceptor.expire(80.0)
    assert pair.acceptor.is_closed


def test_what_arrives_after_the_end_is_swallowed() -> None:
    pair = ConnectionPair.established()
    late = store(pair.requestor, b"late")
    pair.acceptor.abort(0.0)

    assert receive(pair.acceptor, [late, b"and rubbish"]) == []


# -- our own misuse --------------------------------------------------------------------------------


def test_an_answer_without_a_request_is_our_fault() -> None:
    pair = ConnectionPair.established()

    with pytest.raises(LocalProtocolError, match="no request"):
        pair.acceptor.send_message(ECHO_CONTEXT, ECHO_ANSWER, 0.0)


def test_a_context_that_was_not_accepted_is_our_fault() -> None:
    pair = ConnectionPair.established()

    with pytest.raises(LocalProtocolError, match="context 99"):
        pair.requestor.send_message(99, ECHO, 0.0)


def test_data_without_a_message_is_our_fault() -> None:
    pair = ConnectionPair.established()

    with pytest.raises(LocalProtocolError, match="no message"):
        pair.requestor.data_buffers(CT_CONTEXT, memoryview(b"data"), last=True)


def test_a_message_in_the_middle_of_a_data_set_is_our_fault() -> None:
    pair = ConnectionPair.established()
    pair.requestor.send_message(CT_CONTEXT, STORE, 0.0)

    with pytest.raises(LocalProtocolError, match="not complete"):
        pair.requestor.send_message(ECHO_CONTEXT, ECHO, 0.0)


def test_sending_before_the_acceptance_is_our_fault() -> None:
    pair = ConnectionPair()

    with pytest.raises(LocalProtocolError):
        pair.requestor.release(0.0)


# -- splits ----------------------------------------------------------------------------------------


@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=4),
    st.integers(7, 40),
    st.lists(st.integers(1, 60)),
)
def test_any_split_of_a_conversation_means_the_same(
    data_sets: list[bytes], max_length: int, sizes: list[int]
) -> None:
    pair = ConnectionPair.established(acceptor_max_length=max_length)
    expected = [
        event
        for data in data_sets
        for event in (
            MessageStarted(STORE, CT),
            *([DataFragments([memoryview(data)])] if data else []),
            MessageEnded(STORE, CT),
        )
    ]

    events = []
    for data in data_sets:
        stream = store(pair.requestor, data)
        pieces = []
        for size in sizes:
            pieces.append(stream[:size])
            stream = stream[size:]
        events += receive(pair.acceptor, [*pieces, stream])
        pair.acceptor.send_message(CT_CONTEXT, STORE_ANSWER, 0.0)

    assert events == expected


def test_one_byte_at_a_time_is_enough_for_a_whole_association() -> None:
    request = association_request()
    acceptor = Association.accepting(0.0)
    requestor = Association.requesting(request, 0.0)

    def trickle(sender: Association, receiver: Association) -> list[object]:
        octets = sender.data_to_send()
        return list(receive(receiver, [bytes((octet,)) for octet in octets]))

    assert trickle(requestor, acceptor) == [AssociateRequested(request)]
    acceptor.accept(acceptance(request), 0.0)
    assert len(trickle(acceptor, requestor)) == 1
    requestor.release(0.0)
    assert trickle(requestor, acceptor) == [ReleaseRequested()]
    acceptor.confirm_release(0.0)
    assert trickle(acceptor, requestor) == [Released()]
