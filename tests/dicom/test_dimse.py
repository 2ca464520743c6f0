"""DIMSE messages as values, with pynetdicom's messages as the judge."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset
from pynetdicom import dimse_messages as peer
from pynetdicom.dsutils import encode as encode_like_peer

from router.dicom import commandset as cs
from router.dicom.commandset import CommandSetError
from router.dicom.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CMoveRQ,
    CMoveRSP,
    CStoreRQ,
    CStoreRSP,
    MalformedRequest,
    Message,
    NActionRQ,
    NActionRSP,
    NEventReportRQ,
    NEventReportRSP,
    SubOperations,
    UnknownRequest,
    UnknownResponse,
)
from router.dicom.dimse_codec import decode_message, encode_failure, encode_message
from tests.dicom.strategies import UIDS

_IDS, _STATUSES, _TYPES = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)
_COMMENTS = st.text("ABC xyz.", max_size=64).map(str.strip)

STORES = st.builds(
    CStoreRQ,
    _IDS,
    UIDS,
    UIDS,
    st.sampled_from([0, 1, 2]),
) | st.builds(
    CStoreRQ,
    _IDS,
    UIDS,
    UIDS,
    st.sampled_from([0, 1, 2]),
    st.text("ABC", min_size=1, max_size=16),
    _IDS,
)
COUNTS = st.builds(SubOperations, st.none() | _TYPES, _TYPES, _TYPES, _TYPES)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    STORES,
    st.builds(CStoreRSP, _IDS, UIDS, UIDS, _STATUSES, _COMMENTS),
    st.builds(CEchoRQ, _IDS, UIDS),
    st.builds(CEchoRSP, _IDS, UIDS, _STATUSES),
    st.builds(CFindRQ, _IDS, UIDS, st.sampled_from([0, 1, 2])),
    st.builds(CFindRSP, _IDS, UIDS, _STATUSES, st.booleans()),
    st.builds(CMoveRQ, _IDS, UIDS, st.text("ABC", min_size=1, max_size=16), st.just(1)),
    st.builds(CMoveRSP, _IDS, UIDS, _STATUSES, st.none() | COUNTS, st.booleans()),
    st.builds(CGetRQ, _IDS, UIDS, st.just(2)),
    st.builds(CGetRSP, _IDS, UIDS, _STATUSES, st.none() | COUNTS, st.booleans()),
    st.builds(NActionRQ, _IDS, UIDS, UIDS, _TYPES, st.booleans()),
    st.builds(NActionRSP, _IDS, UIDS, UIDS, _TYPES, _STATUSES, st.booleans()),
    st.builds(NEventReportRQ, _IDS, UIDS, UIDS, _TYPES, st.booleans()),
    st.builds(NEventReportRSP, _IDS, UIDS, UIDS, _TYPES, _STATUSES, st.booleans()),
)

THEIRS = {
    CStoreRQ: ("C_STORE_RQ", 0x0001),
    CStoreRSP: ("C_STORE_RSP", 0x8001),
    CEchoRQ: ("C_ECHO_RQ", 0x0030),
    CEchoRSP: ("C_ECHO_RSP", 0x8030),
    CFindRQ: ("C_FIND_RQ", 0x0020),
    CFindRSP: ("C_FIND_RSP", 0x8020),
    CMoveRQ: ("C_MOVE_RQ", 0x0021),
    CMoveRSP: ("C_MOVE_RSP", 0x8021),
    CGetRQ: ("C_GET_RQ", 0x0010),
    CGetRSP: ("C_GET_RSP", 0x8010),
    NActionRQ: ("N_ACTION_RQ", 0x0130),
    NActionRSP: ("N_ACTION_RSP", 0x8130),
    NEventReportRQ: ("N_EVENT_REPORT_RQ", 0x0100),
    NEventReportRSP: ("N_EVENT_REPORT_RSP", 0x8100),
}
KEYWORDS = {
    "sop_class_uid": ("AffectedSOPClassUID", "RequestedSOPClassUID"),
    "sop_instance_uid": ("AffectedSOPInstanceUID", "RequestedSOPInstanceUID"),
    "message_id": ("MessageID", "MessageIDBeingRespondedTo"),
    "priority": ("Priority",),
    "move_destination": ("MoveDestination",),
    "status": ("Status",),
    "action_type_id": ("ActionTypeID",),
    "event_type_id": ("EventTypeID",),
}


@given(MESSAGES)
def test_what_is_encoded_is_decoded_as_it_was(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(MESSAGES)
def test_pynetdicom_reads_the_same_from_our_messages(message: Message) -> None:
    name, command_field = THEIRS[type(message)]
    data = read_dataset(
        BytesIO(encode_message(message)), is_implicit_VR=True, is_little_endian=True
    )
    theirs: Any = getattr(peer, name)()
    theirs.command_set = data
    primitive = theirs.message_to_primitive()
    assert type(primitive).__name__ == name.rpartition("_")[0]
    assert data.CommandField == command_field
    assert (data.CommandDataSetType != 0x0101) == message.has_data_set
    for ours, keywords in KEYWORDS.items():
        values = [getattr(primitive, keyword, None) for keyword in keywords]
        assert not hasattr(message, ours) or getattr(message, ours) in values


@given(MESSAGES)
def test_we_read_the_same_from_pynetdicoms_messages(message: Message) -> None:
    """Their primitive of our message, made a message again by them."""
    data = read_dataset(
        BytesIO(encode_message(message)), is_implicit_VR=True, is_little_endian=True
    )
    name, _ = THEIRS[type(message)]
    theirs: Any = getattr(peer, name)()
    theirs.command_set = data
    primitive = theirs.message_to_primitive()
    again: Any = getattr(peer, name)()
    again.primitive_to_message(primitive)
    again.command_set.CommandDataSetType = data.CommandDataSetType
    encoded = encode_like_peer(again.command_set, is_implicit_vr=True, is_little_endian=True)
    assert encoded is not None
    assert decode_message(encoded) == message


def test_a_comment_is_cut_to_what_its_vr_holds() -> None:
    sent = decode_message(encode_message(CStoreRSP(1, "1.2", "1.2.3", 0xA700, "x" * 100)))
    assert sent == CStoreRSP(1, "1.2", "1.2.3", 0xA700, "x" * 64)


def test_a_cancel_names_the_request_that_it_cancels() -> None:
    data = cs.encode(
        {
            cs.COMMAND_FIELD: 0x0FFF,
            cs.MESSAGE_ID_BEING_RESPONDED_TO: 7,
            cs.COMMAND_DATA_SET_TYPE: cs.NO_DATA_SET,
        }
    )
    assert decode_message(data) == CCancelRQ(7)


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (0x0001, ("AffectedSOPClassUID", "AffectedSOPInstanceUID")),
        (0x0020, ("AffectedSOPClassUID",)),
        (0x0130, ("RequestedSOPClassUID", "RequestedSOPInstanceUID", "ActionTypeID")),
        (0x0100, ("AffectedSOPClassUID", "AffectedSOPInstanceUID", "EventTypeID")),
    ],
)
def test_a_request_without_mandatory_elements_says_which(
    command: int, missing: tuple[str, ...]
) -> None:
    data = cs.encode({cs.COMMAND_FIELD: command, cs.MESSAGE_ID: 5, cs.COMMAND_DATA_SET_TYPE: 1})
    assert decode_message(data) == MalformedRequest(5, command, missing, has_data_set=True)


def test_an_empty_mandatory_element_is_missing() -> None:
    data = cs.encode(
        {
            cs.COMMAND_FIELD: 1,
            cs.MESSAGE_ID: 5,
            cs.AFFECTED_SOP_CLASS_UID: "1.2",
            cs.AFFECTED_SOP_INSTANCE_UID: "",
            cs.COMMAND_DATA_SET_TYPE: 1,
        }
    )
    message = decode_message(data)
    assert isinstance(message, MalformedRequest)
    assert message.missing == ("AffectedSOPInstanceUID",)


def test_an_unknown_operation_keeps_what_its_answer_needs() -> None:
    data = cs.encode(
        {
            cs.COMMAND_FIELD: 0x0140,
            cs.MESSAGE_ID: 9,
            cs.AFFECTED_SOP_CLASS_UID: "1.2.3",
            cs.COMMAND_DATA_SET_TYPE: cs.NO_DATA_SET,
        }
    )
    assert decode_message(data) == UnknownRequest(9, 0x0140, "1.2.3", "", has_data_set=False)


@pytest.mark.parametrize(
    "request_",
    [
        UnknownRequest(9, 0x0140, "1.2.3", "", has_data_set=False),
        MalformedRequest(9, 0x0140, ("AffectedSOPClassUID",), has_data_set=True),
    ],
)
def test_a_failure_answers_whatever_was_asked(request_: UnknownRequest | MalformedRequest) -> None:
    answer = decode_message(encode_failure(request_, 0x0211, "no such operation"))
    assert answer == UnknownResponse(9, 0x8140, 0x0211, has_data_set=False)


def test_an_absent_data_set_type_means_no_data_set() -> None:
    message = decode_message(cs.encode({cs.COMMAND_FIELD: 0x0030, cs.MESSAGE_ID: 1}))
    assert message == CEchoRQ(1, "")


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {cs.MESSAGE_ID: 1},
        {cs.COMMAND_FIELD: 0x0001},
        {cs.COMMAND_FIELD: 0x8001, cs.STATUS: 0},
        {cs.COMMAND_FIELD: 0x8001, cs.MESSAGE_ID_BEING_RESPONDED_TO: 1},
    ],
)
def test_what_says_not_even_what_it_is_is_no_message(elements: dict[int, int | str]) -> None:
    with pytest.raises(CommandSetError):
        decode_message(cs.encode(elements))


def test_what_is_only_received_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="CCancelRQ is only received"):
        encode_message(CCancelRQ(1))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_are_refused(data: bytes) -> None:
    try:
        message = decode_message(data)
    except CommandSetError:
        return
    assert message.message_id >= 0
