"""Lengths that promise more than there is, and data sets that end too soon."""

from __future__ import annotations

from tests.hostile.building import (
    ALMOST_4_GB,
    DEEP,
    ITEM_END,
    SEQUENCE_END,
    UIDS_END,
    UNDEFINED,
    cut,
    followed_by,
    inserted,
    whole,
)
from tests.hostile.expected import (
    CANNOT_UNDERSTAND,
    PASSED,
    Content,
    HostileObject,
    Table,
    Uids,
    refused,
)
from tests.wire import encoding as wire
from tests.wire.encoding import element, explicit

LENGTHS, ENDS = "lengths that lie", "data sets cut short"
NO_SERIES = refused(CANNOT_UNDERSTAND, "no SeriesInstanceUID")
NO_STUDY = refused(CANNOT_UNDERSTAND, "no StudyInstanceUID")
PIXELS = (0x7FE0, 0x0010)
TWO_GB = 0x80000000


def _length(name: str, content: Content, expected: object = PASSED) -> HostileObject:
    return HostileObject(name, LENGTHS, content, expected)  # type: ignore[arg-type]


def _item(length: int, inside: bytes = b"") -> bytes:
    return element(0xFFFE, 0xE000, inside, length=length)


def _sequence(length: int, inside: bytes) -> bytes:
    return explicit(*DEEP, "SQ", inside, length=length)


LYING: Table = (
    _length("pixel data longer than the data set",
            followed_by(explicit(*PIXELS, "OW", bytes(32), length=1000))),
    _length("pixel data of 2 GB in a small data set",
            followed_by(explicit(*PIXELS, "OW", bytes(32), length=TWO_GB))),
    _length("pixel data of FFFFFFFE",
            followed_by(explicit(*PIXELS, "OW", bytes(32), length=ALMOST_4_GB))),
    _length("an element of FFFFFFFE before the UIDs",
            inserted(explicit(0x0009, 0x1001, "OB", b"", length=ALMOST_4_GB), at=3), NO_STUDY),
    _length("an element of 2 GB between the UIDs",
            inserted(explicit(0x0021, 0x1001, "OB", b"", length=TWO_GB), at=6), NO_SERIES),
    _length("an element of FFFFFFFE behind the UIDs",
            inserted(explicit(0x0021, 0x1001, "OB", b"", length=ALMOST_4_GB), at=8)),
    _length("a name of 65,534 bytes that are not there",
            inserted(explicit(0x0010, 0x0010, "PN", b"A^B ", length=0xFFFE), at=3), NO_STUDY),
    _length("a Study Instance UID of 65,534 bytes that are not there",
            inserted(explicit(0x0020, 0x000D, "UI", b"1.2 ", length=0xFFFE), at=5), NO_STUDY),
    _length("a number of a length that is no multiple of two",
            inserted(explicit(0x0028, 0x0002, "US", b"\1"), at=8)),
    _length("a sequence longer than the data set",
            followed_by(_sequence(5000, _item(4, bytes(4))))),
    _length("a sequence of FFFFFFFE", followed_by(_sequence(ALMOST_4_GB, _item(0)))),
    _length("an item longer than its sequence", inserted(_sequence(16, _item(99, bytes(8))))),
    _length("an item of FFFFFFFE", inserted(_sequence(UNDEFINED, _item(ALMOST_4_GB)))),
    _length("an element longer than its item",
            inserted(_sequence(20, _item(12, explicit(8, 0x60, "CS", b"CT  ", length=400))))),
    _length("a sequence that ends inside an item header",
            inserted(_sequence(4, b"\xfe\xff\0\xe0"))),
    _length("a sequence of undefined length without its end",
            inserted(_sequence(UNDEFINED, _item(0)))),
    _length("an item of undefined length without its end",
            inserted(_sequence(UNDEFINED, _item(UNDEFINED)) + SEQUENCE_END)),
    _length("an end of item where none is open", inserted(ITEM_END)),
    _length("an end of sequence where none is open", inserted(SEQUENCE_END)),
    _length("an end of item that has a length",
            inserted(_sequence(UNDEFINED, _item(UNDEFINED) + element(0xFFFE, 0xE00D, b"",
                                                                     length=4)) + SEQUENCE_END)),
    _length("an item at the outermost level", inserted(_item(4, bytes(4)))),
    _length("an element where an item belongs",
            inserted(_sequence(UNDEFINED, explicit(8, 0x60, "CS", b"CT")) + SEQUENCE_END)),
    _length("text of undefined length", inserted(explicit(0x0040, 0x4000, "UT", b"",
                                                          length=UNDEFINED) + SEQUENCE_END)),
    _length("bytes of undefined length",
            inserted(explicit(0x0041, 0x1001, "OB", b"", length=UNDEFINED) + SEQUENCE_END)),
)  # fmt: skip


FULL = inserted(
    _sequence(UNDEFINED, _item(UNDEFINED, explicit(8, 0x60, "CS", b"CT")) + ITEM_END) + SEQUENCE_END
)
"""A good data set with a sequence before its pixel data."""


def _behind(tag: tuple[int, int], vr: str, more: int) -> Content:
    """The good data set, cut so many bytes behind the beginning of an element."""
    head = explicit(*tag, vr, b"")[:6]
    return cut(FULL, lambda data, _: data.index(head) + more)


def _without_last(size: int) -> Content:
    return cut(FULL, lambda data, _: len(data) - size)


def _ends(name: str, content: Content, expected: object = PASSED) -> HostileObject:
    return HostileObject(name, ENDS, content, expected)  # type: ignore[arg-type]


def _in_front_of_series(_: bytes, uids: Uids) -> int:
    return len(wire.as_explicit(wire.image_elements(uids.instance, uids.study)[: UIDS_END - 1]))


CUT: Table = (
    _ends("nothing at all", whole(lambda _: []), NO_STUDY),
    _ends("one byte", cut(FULL, lambda *_: 1), NO_STUDY),
    _ends("half a header", cut(FULL, lambda *_: 4), NO_STUDY),
    _ends("a header", cut(FULL, lambda *_: 8), NO_STUDY),
    _ends("in the middle of the Study Instance UID", _behind((0x20, 0x0D), "UI", 12), NO_STUDY),
    _ends("before the Series Instance UID", cut(FULL, _in_front_of_series), NO_SERIES),
    _ends("in a tag behind the UIDs", _behind((0x28, 0x10), "US", 3)),
    _ends("in a VR", _behind((0x28, 0x10), "US", 5)),
    _ends("in a length", _behind((0x28, 0x10), "US", 7)),
    _ends("in a value", _behind((0x28, 0x10), "US", 9)),
    _ends("in the header of a sequence", _behind(DEEP, "SQ", 10)),
    _ends("in the header of an item", _behind(DEEP, "SQ", 16)),
    _ends("in an item", _behind(DEEP, "SQ", 22)),
    _ends("in an end of item", _behind(DEEP, "SQ", 34)),
    _ends("in the length of the pixel data", _behind(PIXELS, "OW", 11)),
    _ends("in the pixel data", _without_last(7)),
    _ends("one byte before the end", _without_last(1)),
)

OBJECTS: Table = (*LYING, *CUT)
