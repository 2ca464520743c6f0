"""How the header of an element lies in the bytes of a data set (PS3.5 section 7.1)."""

from __future__ import annotations

from struct import Struct

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010

_SHORT_VRS = b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
_LONG_VRS = b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
HEADER_LENGTHS = {**dict.fromkeys(_SHORT_VRS, 8), **dict.fromkeys(_LONG_VRS, 12)}
"""Every VR that exists, and how many bytes an element of it has before its value."""


def header_of_unknown(vr: bytes) -> int:
    """The bytes before a value of a VR that is not known here; 0 if it cannot be a VR at all.

    Whatever VRs will be added have lengths of four bytes (PS3.5 section 6.2).
    """
    return 12 if len(vr) == 2 and vr.isalpha() and vr.isupper() else 0


FRAGMENT_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV"})
"""What may be fragments when its length is undefined."""

_PLAIN_LE, _PLAIN_BE = Struct("<HHI"), Struct(">HHI")
_EXPLICIT_LE, _EXPLICIT_BE = Struct("<HH2sH"), Struct(">HH2sH")
_U16_LE, _U16_BE = Struct("<H"), Struct(">H")
_U32_LE, _U32_BE = Struct("<I"), Struct(">I")


def plain_layout(*, big_endian: bool) -> Struct:
    """Group, element, length: elements of Implicit VR, items and their delimiters."""
    return _PLAIN_BE if big_endian else _PLAIN_LE


def explicit_layout(*, big_endian: bool) -> Struct:
    """Group, element, VR, short length."""
    return _EXPLICIT_BE if big_endian else _EXPLICIT_LE


def long_length_layout(*, big_endian: bool) -> Struct:
    """The length in the last four bytes of a header of twelve."""
    return _U32_BE if big_endian else _U32_LE


def explicit_length(view: memoryview, header: int, *, big_endian: bool) -> int:
    """The length that a header of ``header`` bytes gives its value."""
    layout, offset = (_U32_BE if big_endian else _U32_LE), 8
    if header == 8:
        layout, offset = (_U16_BE if big_endian else _U16_LE), 6
    length: int = layout.unpack_from(view, offset)[0]
    return length


def written(tag: int) -> str:
    """A tag as the standard writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
