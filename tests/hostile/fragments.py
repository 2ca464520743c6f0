"""Encapsulated pixel data that is not as PS3.5 section A.4 wants it: nobody here looks into it."""

from __future__ import annotations

import struct

from tests.hostile.building import ALMOST_4_GB, ITEM_END, SEQUENCE_END, UNDEFINED, followed_by
from tests.hostile.expected import PASSED, HostileObject, Table
from tests.wire import encoding as wire
from tests.wire.encoding import element, explicit

GROUP = "fragments of pixel data"
JPEG = b"\xff\xd8\xff\xd9"


def _item(value: bytes = b"", length: int | None = None) -> bytes:
    return element(0xFFFE, 0xE000, value, length=length)


def _pixels(*fragments: bytes, end: bytes = SEQUENCE_END, vr: str = "OB") -> bytes:
    return explicit(0x7FE0, 0x0010, vr, b"".join(fragments), length=UNDEFINED) + end


def _fragments(name: str, pixels: bytes, syntax: str = wire.JPEG_LOSSLESS) -> HostileObject:
    return HostileObject(name, GROUP, followed_by(pixels), PASSED, syntax)


OBJECTS: Table = (
    _fragments("fragments without their end", _pixels(_item(), _item(JPEG), end=b"")),
    _fragments("no fragments at all", _pixels()),
    _fragments("an offset table and nothing else", _pixels(_item())),
    _fragments("no offset table", _pixels(_item(JPEG))),
    _fragments("an offset table of three bytes", _pixels(_item(b"\0\0\0"), _item(JPEG))),
    _fragments("an offset table that points beyond the end",
               _pixels(_item(struct.pack("<II", 0, 0x7FFFFFFF)), _item(JPEG))),
    _fragments("an offset table of 400,000 entries", _pixels(_item(bytes(1_600_000)),
                                                             _item(JPEG))),
    _fragments("a fragment longer than the data set", _pixels(_item(), _item(JPEG, 5000))),
    _fragments("a fragment of FFFFFFFE", _pixels(_item(), _item(JPEG, ALMOST_4_GB))),
    _fragments("a fragment of undefined length", _pixels(_item(), _item(JPEG, UNDEFINED))),
    _fragments("a fragment of odd length", _pixels(_item(), _item(JPEG + b"\0"))),
    _fragments("an empty fragment", _pixels(_item(), _item(), _item(JPEG))),
    _fragments("an end of item among the fragments", _pixels(_item(), ITEM_END, _item(JPEG))),
    _fragments("an element among the fragments",
               _pixels(_item(), explicit(8, 0x60, "CS", b"CT"), _item(JPEG))),
    _fragments("bytes behind the fragments", _pixels(_item(), _item(JPEG)) + b"\xff" * 11),
    _fragments("fragments twice", _pixels(_item(), _item(JPEG)) * 2),
    _fragments("fragments of VR UN", _pixels(_item(), _item(JPEG), vr="UN")),
    _fragments("fragments under an uncompressed syntax", _pixels(_item(), _item(JPEG)),
               wire.EXPLICIT),
    _fragments("plain pixel data under a compressed syntax",
               explicit(0x7FE0, 0x0010, "OW", bytes(32))),
    _fragments("100,000 fragments", _pixels(_item(), _item(JPEG) * 100_000)),
)  # fmt: skip
