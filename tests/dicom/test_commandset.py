"""Command sets, with pydicom and pynetdicom as judges."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from router.dicom import commandset as cs
from router.dicom.commandset import CommandSetError, decode, encode
from tests.dicom.strategies import UIDS

ELEMENTS = st.fixed_dictionaries(
    {cs.COMMAND_FIELD: st.integers(0, 0xFFFF)},
    optional={
        cs.AFFECTED_SOP_CLASS_UID: UIDS,
        cs.MESSAGE_ID: st.integers(0, 0xFFFF),
        cs.PRIORITY: st.integers(0, 2),
        cs.COMMAND_DATA_SET_TYPE: st.integers(0, 0xFFFF),
        cs.STATUS: st.integers(0, 0xFFFF),
        cs.ERROR_COMMENT: st.text("ABC xyz.", min_size=1, max_size=64).map(lambda t: t.strip(" ")),
        cs.AFFECTED_SOP_INSTANCE_UID: UIDS,
        cs.MOVE_ORIGINATOR_AE_TITLE: st.text("ABC_", min_size=1, max_size=16),
        cs.ACTION_TYPE_ID: st.integers(0, 0xFFFF),
    },
)


def element(number: int, value: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


@given(ELEMENTS)
def test_what_is_encoded_is_decoded_as_it_was(elements: dict[int, int | str]) -> None:
    assert decode(encode(elements)) == elements


@given(ELEMENTS)
def test_pydicom_reads_the_same_elements_in_order_with_their_group_length(
    elements: dict[int, int | str],
) -> None:
    data = encode(elements)
    theirs = read_dataset(BytesIO(data), is_implicit_VR=True, is_little_endian=True)
    tags = [int(one.tag) for one in theirs]
    assert tags == [0, *sorted(elements)]
    assert theirs[0x00000000].value == len(data) - 12
    assert {number: str(theirs[number].value) for number in elements} == {
        number: str(value) for number, value in elements.items()
    }


def test_values_have_an_even_length() -> None:
    data = encode({cs.AFFECTED_SOP_CLASS_UID: "1.2", cs.ERROR_COMMENT: "odd"})
    assert b"1.2\0" in data
    assert b"odd " in data
    assert len(data) % 2 == 0


def test_the_group_length_is_not_trusted() -> None:
    for length in (0, 1, 0xFFFFFFFF):
        data = element(0, struct.pack("<I", length)) + element(cs.STATUS, b"\0\0")
        assert decode(data) == {cs.STATUS: 0}


def test_a_set_without_group_length_and_in_any_order_is_read() -> None:
    data = element(cs.STATUS, b"\0\0") + element(cs.COMMAND_FIELD, b"\1\x80")
    assert decode(data) == {cs.STATUS: 0, cs.COMMAND_FIELD: 0x8001}


def test_elements_that_nobody_knows_are_kept_as_text_and_do_no_harm() -> None:
    data = element(0x0003, b"1.2\0") + element(0x4711, b"\xff\xfe") + element(0x5010, b"")
    assert decode(data) == {0x0003: "1.2", 0x4711: "ÿþ", 0x5010: ""}


@pytest.mark.parametrize("value", [b"", b"\1", b"\1\0\0\0"], ids=len)
def test_a_number_of_the_wrong_length_counts_as_absent(value: bytes) -> None:
    assert decode(element(cs.MESSAGE_ID, value)) == {}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (element(cs.STATUS, b"\0\0")[:7], "cut short"),
        (element(cs.STATUS, b"\0\0") + b"\0", "cut short"),
        (element(cs.STATUS, b"\0\0")[:-1], r"\(0000,0900\) overruns"),
        (struct.pack("<HHI", 0, 2, 0xFFFFFFFF), r"\(0000,0002\) overruns"),
        (element(0x0010, b"CT", group=8), "group 0008"),
    ],
)
def test_what_cannot_be_read_is_a_fault_of_the_peer(data: bytes, complaint: str) -> None:
    with pytest.raises(CommandSetError, match=complaint):
        decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_set_or_are_refused(data: bytes) -> None:
    try:
        elements = decode(data)
    except CommandSetError:
        return
    assert all(isinstance(value, int | str) for value in elements.values())
