"""Walks the elements of a small data set and its sequences, without recursion (PS3.5 section 7).

Made for what any peer may send: it builds nothing, whatever the bytes are, so a data set costs time
in proportion to its length, and no memory but what the caller keeps.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from router.domain.errors import CannotUnderstand

MAX_DEPTH = 64
UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
"""VRs with a length of four bytes (PS3.5 table 7.1-1)."""
_CODES = ("HH", "H", "I")


@dataclass(frozen=True, slots=True)
class Element:
    """An element, and where it stands."""

    path: tuple[int, ...]
    """Tags of the sequences that it is in, outermost first."""
    tag: int
    value: bytes


@dataclass(frozen=True, slots=True)
class ItemStart:
    """An item of a sequence begins."""

    path: tuple[int, ...]
    """Tags of the sequences that it is in, that whose item it is included."""


@dataclass(slots=True)
class _Open:
    """A sequence or an item that is being walked."""

    tag: int  # of the sequence; of an item: ``_ITEM``
    end: int | None  # None: up to its delimiter


class Walk:
    """The elements of one data set, in order."""

    def __init__(
        self, data: bytes, *, implicit: bool, big_endian: bool, sequences: Collection[int]
    ):
        """``sequences``: tags to walk into; another sequence of known length is one value."""
        self._data = data
        self._implicit = implicit
        order = ">" if big_endian else "<"
        self._pair, self._short, self._long = (struct.Struct(order + code) for code in _CODES)
        self._sequences = sequences
        self._open: list[_Open] = []
        self._path: tuple[int, ...] = ()
        self._at = 0

    def __iter__(self) -> Iterator[Element | ItemStart]:
        """Raises ``CannotUnderstand`` where the bytes are no data set."""
        while True:
            self._leave_what_is_over()
            if self._at >= len(self._data):
                if self._open:
                    raise CannotUnderstand("a sequence has no end")
                return
            tag = self._tag()
            if tag >> 16 == 0xFFFE:
                if self._delimiter(tag, self._length()):
                    yield ItemStart(self._path)
                continue
            if self._open and self._open[-1].tag != _ITEM:
                raise CannotUnderstand("an element stands between the items of a sequence")
            is_sequence, length = self._header(tag)
            if is_sequence:
                self._enter(tag, length)
            else:
                yield Element(self._path, tag, self._take(length))

    def _leave_what_is_over(self) -> None:
        while self._open and (end := self._open[-1].end) is not None and self._at >= end:
            if self._at > end:
                raise CannotUnderstand("an element is longer than what it is in")
            self._leave()

    def _tag(self) -> int:
        group, element = self._pair.unpack(self._take(4))
        return int(group << 16 | element)

    def _header(self, tag: int) -> tuple[bool, int]:
        """Whether the element is to be walked into, and how long its value is."""
        if self._implicit:
            length = self._length()
            return length == UNDEFINED or tag in self._sequences, length
        vr = self._take(2)
        if vr not in _LONG:
            if tag in self._sequences:
                raise CannotUnderstand(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is no sequence")
            return False, int(self._short.unpack(self._take(2))[0])
        self._take(2)
        length = self._length()
        if vr != b"SQ" and (length == UNDEFINED or tag in self._sequences):
            raise CannotUnderstand(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is no sequence")
        return length == UNDEFINED or tag in self._sequences, length

    def _delimiter(self, tag: int, length: int) -> bool:
        """Begin an item, or end an item or sequence; whether it begins one."""
        inmost = self._open[-1].tag if self._open else None
        if tag == _ITEM and inmost not in (None, _ITEM):
            self._enter(_ITEM, length)
            return True
        is_end = (tag == _ITEM_END) if inmost == _ITEM else (tag == _SEQUENCE_END)
        if inmost is None or not is_end or self._open[-1].end is not None:
            raise CannotUnderstand("an item or a sequence ends where none is")
        self._leave()
        return False

    def _enter(self, tag: int, length: int) -> None:
        if len(self._open) >= 2 * MAX_DEPTH:
            raise CannotUnderstand(f"sequences are nested more than {MAX_DEPTH} deep")
        end = None if length == UNDEFINED else self._at + length
        if end is not None and end > len(self._data):
            raise CannotUnderstand("a sequence is longer than the data set")
        self._open.append(_Open(tag, end))
        if tag != _ITEM:
            self._path = (*self._path, tag)

    def _leave(self) -> None:
        if self._open.pop().tag != _ITEM:
            self._path = self._path[:-1]

    def _length(self) -> int:
        return int(self._long.unpack(self._take(4))[0])

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise CannotUnderstand("the data set ends in the middle of an element")
        self._at += size
        return taken
