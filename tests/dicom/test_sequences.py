"""Data sets are walked to their end, or said to be none; pydicom is the judge of what they hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from router.dicom import uids
from router.dicom.data_sets import write_data_set
from router.dicom.sequences import MAX_DEPTH, Element, ItemStart, Walk
from router.domain.errors import CannotUnderstand

OUTER, INNER, PATIENT_ID = 0x00081199, 0x00081198, 0x00100020
SYNTAXES = [
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
]
ITEM, ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF), b"\xfe\xff\x0d\xe0\0\0\0\0"


def walk(data: bytes, syntax: str = SYNTAXES[0]) -> list[Element | ItemStart]:
    return list(
        Walk(
            data,
            implicit=uids.is_implicit_vr(syntax),
            big_endian=uids.is_big_endian(syntax),
            sequences={OUTER, INNER},
        )
    )


def named(patient_id: str) -> Dataset:
    data_set = Dataset()
    data_set.PatientID = patient_id
    return data_set


def sequence(length: int, items: bytes) -> bytes:
    return struct.pack("<HHI", 0x0008, 0x1199, length) + items


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("is_undefined", [False, True], ids=["lengths", "delimiters"])
def test_every_element_comes_with_the_sequences_that_it_is_in(
    syntax: str, is_undefined: bool
) -> None:
    inner, outer, data_set = named("b1"), named("a1"), named("top")
    outer.FailedSOPSequence = [inner, named("b2")]
    data_set.ReferencedSOPSequence = [outer, named("a2")]
    for one in (data_set[OUTER], outer[INNER]):
        one.is_undefined_length = is_undefined
        for item in one.value:
            item.is_undefined_length_sequence_item = is_undefined

    def element(path: tuple[int, ...], value: bytes) -> Element:
        return Element(path, PATIENT_ID, value)

    assert walk(write_data_set(data_set, syntax), syntax) == [
        ItemStart((OUTER,)),
        ItemStart((OUTER, INNER)),
        element((OUTER, INNER), b"b1"),
        ItemStart((OUTER, INNER)),
        element((OUTER, INNER), b"b2"),
        element((OUTER,), b"a1"),
        ItemStart((OUTER,)),
        element((OUTER,), b"a2"),
        element((), b"top "),
    ]


def wrong() -> Iterator[tuple[str, bytes]]:
    """Bytes that are no data set, and why."""
    yield "ends in a tag", b"\x08\0"
    yield "ends in a value", struct.pack("<HHI", 0x0010, 0x0020, 4) + b"ab"
    yield "a sequence without an end", sequence(0xFFFFFFFF, ITEM + ITEM_END)
    yield "a sequence longer than all", sequence(9, ITEM)
    yield "an end of nothing", ITEM_END
    yield "an item outside", ITEM
    yield "an item in an item", sequence(0xFFFFFFFF, ITEM + ITEM)
    yield "an element between items", sequence(8, struct.pack("<HHI", 0x0010, 0x0020, 0))
    yield (
        "an element longer than its item",
        sequence(
            18,
            struct.pack("<HHI", 0xFFFE, 0xE000, 8) + struct.pack("<HHI", 0x0010, 0x0020, 2) + b"ab",
        ),
    )


@pytest.mark.parametrize("data", [data for _, data in wrong()], ids=[why for why, _ in wrong()])
def test_what_is_no_data_set_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(CannotUnderstand):
        walk(data)


def test_sequences_are_followed_so_deep_and_no_deeper() -> None:
    deeper = sequence(0xFFFFFFFF, ITEM)
    ends = (ITEM_END + b"\xfe\xff\xdd\xe0\0\0\0\0") * MAX_DEPTH

    assert len(walk(deeper * MAX_DEPTH + ends)) == MAX_DEPTH
    with pytest.raises(CannotUnderstand, match="nested more than"):
        walk(deeper * (MAX_DEPTH + 1))


@given(st.binary(max_size=300), st.sampled_from(SYNTAXES))
def test_any_bytes_come_to_an_end(data: bytes, syntax: str) -> None:
    try:
        parts = walk(sequence(0xFFFFFFFF, ITEM) + data, syntax)
    except CannotUnderstand:
        return
    assert len(parts) <= len(data) + 1
