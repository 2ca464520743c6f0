"""Control PDUs: encoded and decoded alike here and in pynetdicom; rubbish is told apart."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import pdu as peer

from router.dicom import pdu
from router.dicom.pdu import (
    HEADER,
    MAX_CONTEXTS,
    MAX_USER_ITEMS,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ControlPDU,
    PDUDecodeError,
    ProposedContext,
    ReleaseRP,
    ReleaseRQ,
    UserInformation,
    decode,
    encode,
)
from tests.dicom.pair import association_request
from tests.dicom.strategies import ACCEPTANCES, CONTROL_PDUS, REQUESTS

RQ = 1


def decoded(data: bytes) -> ControlPDU:
    pdu_type, length = HEADER.unpack_from(data)
    assert length == len(data) - HEADER.size
    return decode(pdu_type, data[HEADER.size :])


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def request_of(*items: bytes) -> bytes:
    """The body of an A-ASSOCIATE-RQ with these items."""
    fixed = struct.pack(">HH16s16s32x", 1, 0, b"ROUTER".ljust(16), b"CT1".ljust(16))
    return fixed + b"".join(items)


def user(*items: bytes) -> bytes:
    return item(0x50, b"".join(items))


@given(CONTROL_PDUS)
def test_what_is_encoded_is_decoded_as_it_was(value: ControlPDU) -> None:
    assert decoded(encode(value)) == value


def reason_of(pdu_type: int, body: bytes | memoryview) -> int | None:
    """Why such a PDU is refused (table 9-26); None: it is not."""
    try:
        decode(pdu_type, body)
    except PDUDecodeError as error:
        return error.reason
    return None


# -- pynetdicom is the judge -----------------------------------------------------------------------


@given(REQUESTS)
def test_pynetdicom_reads_our_requests(request: AssociateRQ) -> None:
    theirs: Any = peer.A_ASSOCIATE_RQ()
    theirs.decode(encode(request))
    assert theirs.called_ae_title == request.called_ae_title
    assert theirs.calling_ae_title == request.calling_ae_title
    assert theirs.application_context_name == request.application_context
    assert [
        (context.context_id, context.abstract_syntax, tuple(context.transfer_syntax))
        for context in theirs.presentation_context
    ] == [
        (context.context_id, context.abstract_syntax, context.transfer_syntaxes)
        for context in request.contexts
    ]
    _compare_user(theirs, request.user)
    identity = theirs.user_information.user_identity
    ours = request.user.user_identity
    assert (identity is None) == (ours is None)
    if identity is not None and ours is not None:
        assert identity.id_type == ours.kind
        assert identity.response_requested == ours.response_requested
        assert (identity.primary, identity.secondary) == (ours.primary, ours.secondary)


@given(ACCEPTANCES)
def test_pynetdicom_reads_our_acceptances(answer: AssociateAC) -> None:
    theirs = peer.A_ASSOCIATE_AC()
    theirs.decode(encode(answer))
    assert [
        (one.context_id, one.result, one.transfer_syntax) for one in theirs.presentation_context
    ] == [(one.context_id, one.result, one.transfer_syntax) for one in answer.results]
    _compare_user(theirs, answer.user)


def _compare_user(theirs: Any, ours: UserInformation) -> None:
    information = theirs.user_information
    assert information.maximum_length == ours.max_length
    assert information.implementation_class_uid == ours.implementation_class_uid
    assert information.implementation_version_name == ours.implementation_version
    window = information.async_ops_window
    assert (
        window
        and (window.maximum_number_operations_invoked, window.maximum_number_operations_performed)
    ) == ours.async_operations
    assert {
        uid: (bool(role.scu), bool(role.scp)) for uid, role in information.role_selection.items()
    } == {role.sop_class_uid: (role.scu, role.scp) for role in ours.roles}
    assert [(one.uid, one.app_info) for one in information.ext_neg] == [
        (one.sop_class_uid, one.application_information) for one in ours.extended
    ]


@given(REQUESTS | ACCEPTANCES)
def test_we_read_what_pynetdicom_makes_of_them(value: AssociateRQ | AssociateAC) -> None:
    theirs: Any = peer.A_ASSOCIATE_RQ() if isinstance(value, AssociateRQ) else peer.A_ASSOCIATE_AC()
    theirs.decode(encode(value))
    assert decoded(theirs.encode()) == value


@pytest.mark.parametrize(
    ("value", "kind", "fields"),
    [
        (AssociateRJ(2, 3, 2), "A_ASSOCIATE_RJ", ("result", "source", "reason_diagnostic")),
        (Abort(2, 6), "A_ABORT_RQ", ("source", "reason_diagnostic")),
        (ReleaseRQ(), "A_RELEASE_RQ", ()),
        (ReleaseRP(), "A_RELEASE_RP", ()),
    ],
    ids=lambda value: getattr(value, "__class__", type(value)).__name__,
)
def test_pynetdicom_reads_and_writes_the_short_ones_alike(
    value: ControlPDU, kind: str, fields: tuple[str, ...]
) -> None:
    theirs = getattr(peer, kind)()
    theirs.decode(encode(value))
    ours = [getattr(value, name.removesuffix("_diagnostic")) for name in fields]
    assert [getattr(theirs, name) for name in fields] == ours
    assert theirs.encode() == encode(value)


# -- what else peers send --------------------------------------------------------------------------


def test_ae_titles_are_taken_without_their_padding() -> None:
    body = struct.pack(">HH16s16s32x", 1, 0, b"  ROUTER\0\0\0\0\0\0\0\0", b" CT 1 ".ljust(16))
    request = decode(RQ, body)
    assert isinstance(request, AssociateRQ)
    assert (request.called_ae_title, request.calling_ae_title) == ("ROUTER", "CT 1")


def test_items_may_come_in_any_order_and_unknown_ones_are_passed_over() -> None:
    context = item(
        0x20,
        bytes((5, 0, 0, 0))
        + item(0x40, b"1.2.840.10008.1.2")
        + item(0x99, b"?")
        + item(0x30, b"1.2.840.10008.1.1\0"),
    )
    request = decode(
        RQ,
        request_of(
            user(item(0x7F, b"??"), item(0x51, struct.pack(">I", 4096))),
            item(0x77, b"unknown"),
            context,
            item(0x10, b"1.2.840.10008.3.1.1.1"),
        ),
    )
    assert isinstance(request, AssociateRQ)
    assert request.user.max_length == 4096
    assert request.contexts == (ProposedContext(5, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),)
    assert request.application_context == "1.2.840.10008.3.1.1.1"


def test_a_request_without_any_item_is_read_and_left_to_policy() -> None:
    request = decode(RQ, request_of())
    assert isinstance(request, AssociateRQ)
    assert (request.contexts, request.application_context) == ((), "")


def test_the_bits_of_the_protocol_version_are_kept() -> None:
    body = struct.pack(">HH16s16s32x", 0x8003, 0, b"ROUTER".ljust(16), b"CT1".ljust(16))
    request = decode(RQ, body)
    assert isinstance(request, AssociateRQ)
    assert request.protocol_version == 0x8003


@pytest.mark.parametrize("pdu_type", [0, 8, 9, 0x80, 0xFF])
def test_an_unknown_type_is_answered_with_its_own_reason(pdu_type: int) -> None:
    with pytest.raises(PDUDecodeError) as raised:
        decode(pdu_type, b"")
    assert (raised.value.source, raised.value.reason) == (2, 1)


@pytest.mark.parametrize("pdu_type", [3, 5, 6, 7])
def test_a_short_one_that_is_cut_is_no_pdu(pdu_type: int) -> None:
    with pytest.raises(PDUDecodeError) as raised:
        decode(pdu_type, b"\0\0\0")
    assert raised.value.reason == 6


def test_a_short_one_may_be_longer_than_it_should_be() -> None:
    assert decode(7, b"\0\0\2\6rubbish") == Abort(2, 6)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        request_of()[:-1],
        request_of(b"\x20"),
        request_of(b"\x20\0\xff\xff"),
        request_of(item(0x20, b"\1\0")),
        request_of(item(0x20, b"\1\0\0\0\x30\0\0\x09")),
        request_of(user(item(0x51, b"\0\0"))),
        request_of(user(item(0x53, b"\0\1\0"))),
        request_of(user(item(0x54, b"\0\xff1.2"))),
        request_of(user(item(0x54, b"\0"))),
        request_of(user(item(0x58, b"\1"))),
        request_of(user(item(0x58, b"\1\0\0\x09abc"))),
    ],
    ids=lambda body: f"{len(body)} bytes",
)
def test_a_request_whose_lengths_do_not_fit_is_no_pdu(body: bytes) -> None:
    with pytest.raises(PDUDecodeError) as raised:
        decode(RQ, body)
    assert (raised.value.source, raised.value.reason) == (2, 6)


def test_as_many_contexts_as_there_are_ids_are_read() -> None:
    request = AssociateRQ(
        "ROUTER",
        "CT1",
        tuple(ProposedContext(2 * n + 1, f"1.2.{n}", ("1.2",)) for n in range(MAX_CONTEXTS)),
        UserInformation(),
    )
    assert decoded(encode(request)) == request


def test_more_contexts_than_there_are_ids_are_no_pdu() -> None:
    contexts = [item(0x20, bytes((1, 0, 0, 0)))] * (MAX_CONTEXTS + 1)
    with pytest.raises(PDUDecodeError, match="128 presentation contexts"):
        decode(RQ, request_of(*contexts))


def test_user_items_are_counted() -> None:
    with pytest.raises(PDUDecodeError, match="user information items"):
        decode(RQ, request_of(user(*[item(0x7F, b"")] * (MAX_USER_ITEMS + 1))))


def test_titles_that_are_too_long_are_cut_when_they_are_sent() -> None:
    request = AssociateRQ("R" * 20, "C" * 20, (), UserInformation())
    sent = decoded(encode(request))
    assert isinstance(sent, AssociateRQ)
    assert (sent.called_ae_title, sent.calling_ae_title) == ("R" * 16, "C" * 16)


# -- anything --------------------------------------------------------------------------------------


@given(st.integers(0, 255), st.binary(max_size=300))
def test_any_bytes_are_a_pdu_or_are_refused(pdu_type: int, body: bytes) -> None:
    assert reason_of(pdu_type, body) in (None, 1, 6)


@given(REQUESTS, st.data())
def test_a_request_that_was_damaged_anywhere_is_a_pdu_or_is_refused(
    request: AssociateRQ, data: st.DataObject
) -> None:
    body = bytearray(encode(request)[HEADER.size :])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = memoryview(bytes(body))[: data.draw(st.integers(0, len(body)))]
    assert reason_of(RQ, cut) in (None, 6)


def test_a_request_cut_after_any_byte_never_raises_anything_else() -> None:
    body = encode(association_request())[HEADER.size :]
    assert {reason_of(RQ, body[:length]) for length in range(len(body))} == {None, 6}


def test_the_largest_request_is_below_the_bound_of_control_pdus() -> None:
    syntaxes = tuple(f"1.2.840.10008.1.2.4.{n}" for n in range(60))
    contexts = tuple(ProposedContext(2 * n + 1, "1." * 32, syntaxes) for n in range(MAX_CONTEXTS))
    request = AssociateRQ("ROUTER", "CT1", contexts, UserInformation())
    assert len(encode(request)) < pdu.MAX_CONTROL_PDU_BYTES
