"""Values as text, with pydicom as the judge of character sets and numbers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.text import DEFAULT_ENCODING, encodings_of, values_of

LATIN = (DEFAULT_ENCODING,)
CHARACTER_SETS = [
    (),
    ("ISO_IR 100",),
    ("ISO_IR 192",),
    ("GB18030",),
    ("GBK",),
    ("ISO_IR 13",),
    ("", "ISO 2022 IR 87"),
    ("", "ISO 2022 IR 149"),
    ("", "ISO 2022 IR 58"),
    ("ISO 2022 IR 6", "ISO 2022 IR 159"),
    ("NO SUCH SET",),
]


def values(vr: str, raw: bytes, *, big_endian: bool = False) -> tuple[str, ...]:
    return values_of(vr, raw, LATIN, big_endian=big_endian)


@pytest.mark.parametrize(
    ("vr", "raw", "expected"),
    [
        ("CS", b"CT", ("CT",)),
        ("CS", b"ORIGINAL\\PRIMARY ", ("ORIGINAL", "PRIMARY")),
        ("UI", b"1.2.3\0", ("1.2.3",)),
        ("LO", b"", ()),
        ("LO", b"  ", ()),
        ("LO", b"a\\\\b", ("a", "", "b")),
        ("LT", b"one\\two  ", ("one\\two",)),
        ("UR", b"http://x\\y ", ("http://x\\y",)),
        ("OB", b"\1\2", ()),
        ("UN", b"\1\2", ()),
        ("SQ", b"", ()),
    ],
)
def test_text_is_divided_and_freed_of_its_padding(
    vr: str, raw: bytes, expected: tuple[str, ...]
) -> None:
    assert values(vr, raw) == expected


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(
    ("vr", "code", "numbers"),
    [
        ("US", "H", [0, 65535]),
        ("SS", "h", [-1, 7]),
        ("UL", "I", [2**32 - 1]),
        ("SL", "i", [-5]),
        ("UV", "Q", [2**64 - 1]),
        ("SV", "q", [-(2**63)]),
        ("FD", "d", [0.1, -2.5]),
        ("FL", "f", [0.5]),
    ],
)
def test_numbers_are_read_in_their_byte_order(
    vr: str, code: str, numbers: list[float], big_endian: bool
) -> None:
    raw = struct.pack(f"{'>' if big_endian else '<'}{len(numbers)}{code}", *numbers)
    assert values(vr, raw, big_endian=big_endian) == tuple(map(str, numbers))


def test_a_tag_is_read_as_one() -> None:
    assert values("AT", b"\x08\x00\x60\x00\x20") == ("(0008,0060)",)
    assert values("AT", b"\x00\x08\x00\x60", big_endian=True) == ("(0008,0060)",)


def test_what_is_left_over_behind_whole_numbers_is_passed_over() -> None:
    assert values("US", b"\1\0\2") == ("1",)


@pytest.mark.parametrize(
    ("character_set", "raw", "text"),
    [
        (("ISO_IR 100",), "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        (("ISO_IR 192",), "山田^太郎".encode(), "山田^太郎"),
        (("GB18030",), "王^小东".encode("gb18030"), "王^小东"),
        (("", "ISO 2022 IR 87"), b"\x1b$B;3ED\x1b(B", "山田"),
        (("NO SUCH SET",), b"M\xfcller", "Müller"),
    ],
)
def test_names_are_read_in_their_character_set(
    character_set: tuple[str, ...], raw: bytes, text: str
) -> None:
    assert values_of("PN", raw, encodings_of(character_set), big_endian=False) == (text,)


def test_codes_are_not_subject_to_character_sets() -> None:
    assert values_of("CS", b"\xfc", encodings_of(("ISO_IR 192",)), big_endian=False) == ("ü",)


@given(
    st.sampled_from(CHARACTER_SETS),
    st.sampled_from(["PN", "LO", "LT", "UI", "CS", "US", "FD", "AT", "UN", "XX"]),
    st.binary(max_size=60),
    st.booleans(),
)
def test_any_bytes_become_text_that_a_ledger_can_keep(
    character_set: tuple[str, ...], vr: str, raw: bytes, big_endian: bool
) -> None:
    found = values_of(vr, raw, encodings_of(character_set), big_endian=big_endian)
    assert all(value.encode("utf-8") is not None for value in found)
