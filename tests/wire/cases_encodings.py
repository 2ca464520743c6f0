"""Stores in every way that a data set may be encoded, and some that it may not (PS3.5)."""

from __future__ import annotations

import struct
import zlib

from tests.wire import encoding as wire
from tests.wire.encoding import ECHO_CONTEXT, Element, context, element, explicit, usual
from tests.wire.expected import (
    RELEASED,
    Case,
    Reset,
    aborts,
    accepts,
    answers,
    case,
    fails_store,
)

ROOT = "1.2.826.99.5"
SYNTAXES = "PS3.5 annex A: transfer syntaxes"
STRUCTURE = "PS3.5 7: data sets"
TAKEN = answers(0x8001, 0, 0xB000, 0xB006, 0xB007)
BY_POLICY = TAKEN, fails_store(), aborts()
"""A fault of the sender that a receiver may let pass, or refuse: never a crash."""

FRAGMENT = b"\xff\xd8\xff\xd9"
UNDEFINED = wire.WHOLE


def elements(number: int) -> list[Element]:
    """A small CT of a study of its own."""
    return wire.image_elements(f"{ROOT}.{number}.9", f"{ROOT}.{number}")


def big_endian(number: int) -> bytes:
    """That CT in Explicit VR Big Endian."""
    whole = b""
    for group, tag, vr, value in elements(number):
        swapped = value[::-1] if vr == "US" else value
        if vr == "OW":
            whole += struct.pack(">HH2sxxI", group, tag, vr.encode(), len(value)) + value
        else:
            whole += struct.pack(">HH2sH", group, tag, vr.encode(), len(value)) + swapped
    return whole


def deflated(number: int) -> bytes:
    """That CT deflated: no header of zlib, no checksum (PS3.5 section A.5)."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = squeeze.compress(wire.as_explicit(elements(number))) + squeeze.flush()
    return raw + b"\0" * (len(raw) % 2)


def encapsulated(number: int, *, offsets: bytes = b"") -> bytes:
    """That CT with its pixel data in two fragments (PS3.5 section A.4)."""
    fragments = b"".join(element(0xFFFE, 0xE000, one) for one in (offsets, FRAGMENT, FRAGMENT))
    pixels = explicit(0x7FE0, 0x0010, "OB", fragments, length=UNDEFINED)
    return wire.as_explicit(elements(number)[:-1]) + pixels + element(0xFFFE, 0xE0DD, b"")


def with_sequence(number: int, *, undefined: bool) -> bytes:
    """That CT in Implicit VR with a sequence of one item behind its UIDs."""
    inside = element(0x0008, 0x1150, wire.padded(wire.CT))
    if undefined:
        item = element(0xFFFE, 0xE000, inside + element(0xFFFE, 0xE00D, b""), length=UNDEFINED)
        item += element(0xFFFE, 0xE0DD, b"")
        sequence = element(0x0008, 0x1140, item, length=UNDEFINED)
    else:
        sequence = element(0x0008, 0x1140, element(0xFFFE, 0xE000, inside))
    made = elements(number)
    return wire.as_implicit(made[:3]) + sequence + wire.as_implicit(made[3:])


def storing(name: str, number: int, syntax: str, data: bytes, section: str = SYNTAXES) -> Case:
    """A store of that CT under a transfer syntax: whoever accepts the syntax takes the CT."""
    return case(
        name,
        section,
        usual(ECHO_CONTEXT, context(3, wire.CT, syntax)),
        accepts(1, 3),
        wire.store(f"{ROOT}.{number}.9", data),
        TAKEN,
        wire.RELEASE_RQ,
        RELEASED,
    )


def broken(name: str, number: int, syntax: str, data: bytes, section: str = SYNTAXES) -> Case:
    """A store of what is not that CT as it should be."""
    return case(
        name,
        section,
        usual(ECHO_CONTEXT, context(3, wire.CT, syntax)),
        accepts(1, 3),
        wire.store(f"{ROOT}.{number}.9", data),
        BY_POLICY,
    )


RIGHT = (
    storing("a store in Explicit VR Little Endian", 1, wire.EXPLICIT,
            wire.as_explicit(elements(1))),
    storing("a store in Explicit VR Big Endian", 2, wire.BIG_ENDIAN, big_endian(2)),
    storing("a store of a deflated data set", 3, wire.DEFLATED, deflated(3)),
    storing("a store of encapsulated pixel data", 4, wire.JPEG_LOSSLESS, encapsulated(4)),
    storing("a store of encapsulated pixel data with an offset table", 5, wire.JPEG_LOSSLESS,
            encapsulated(5, offsets=struct.pack("<II", 0, 12))),
    storing("a store of a sequence of defined length", 6, wire.IMPLICIT,
            with_sequence(6, undefined=False), section=STRUCTURE),
    storing("a store of a sequence of undefined length", 7, wire.IMPLICIT,
            with_sequence(7, undefined=True), section=STRUCTURE),
    storing("a store with private elements", 8, wire.EXPLICIT,
            wire.as_explicit([*elements(8)[:3], (0x0009, 0x0010, "LO", b"MAKER 1 "),
                              (0x0009, 0x1001, "OB", bytes(8)), *elements(8)[3:]]),
            section=STRUCTURE),
    storing("a store with an element of VR UN", 9, wire.EXPLICIT,
            wire.as_explicit([*elements(9)[:3], (0x0009, 0x0010, "LO", b"MAKER 1 "),
                              (0x0009, 0x1001, "UN", bytes(8)), *elements(9)[3:]]),
            section=STRUCTURE),
)  # fmt: skip

WRONG = (
    broken("a store with File Meta elements in its data set", 20, wire.IMPLICIT,
            element(2, 0x10, wire.padded(wire.IMPLICIT)) + wire.as_implicit(elements(20)),
            section=STRUCTURE),
    broken("a store of a whole Part 10 file", 21, wire.EXPLICIT,
            bytes(128) + b"DICM" + explicit(2, 0x10, "UI", wire.padded(wire.EXPLICIT))
            + wire.as_explicit(elements(21)), section=STRUCTURE),
    broken("a store in another encoding than was negotiated", 22, wire.IMPLICIT,
            wire.as_explicit(elements(22)), ),
    broken("a store of encapsulated pixel data in Implicit VR", 23, wire.IMPLICIT,
            wire.as_implicit(elements(23)[:-1])
            + element(0x7FE0, 0x0010, element(0xFFFE, 0xE000, b"")
                      + element(0xFFFE, 0xE000, FRAGMENT), length=UNDEFINED)
            + element(0xFFFE, 0xE0DD, b""), ),
    broken("a store that is not deflated though it says so", 24, wire.DEFLATED,
            wire.as_explicit(elements(24)), ),
    broken("a store in big endian under little endian", 25, wire.EXPLICIT, big_endian(25),
            ),
    broken("a store that ends in the middle of a value", 26, wire.EXPLICIT,
            wire.as_explicit(elements(26))[:-9], section=STRUCTURE),
)  # fmt: skip

PECULIAR = (
    case("a requestor that resets after the release, as CTN does", "PS3.8 7.2",
         wire.usual(ECHO_CONTEXT, context(3, wire.CT)), accepts(1, 3),
         wire.store(f"{ROOT}.40.9", wire.as_implicit(elements(40))), TAKEN, wire.RELEASE_RQ,
         RELEASED, Reset()),
    case("a requestor that vanishes behind its store, as gdcmscu does", "PS3.8 7.2",
         wire.usual(ECHO_CONTEXT, context(3, wire.CT)), accepts(1, 3),
         wire.store(f"{ROOT}.41.9", wire.as_implicit(elements(41))), Reset()),
    case("a requestor that aborts behind its store", "PS3.8 7.3",
         wire.usual(ECHO_CONTEXT, context(3, wire.CT)), accepts(1, 3),
         wire.store(f"{ROOT}.42.9", wire.as_implicit(elements(42))), TAKEN, wire.ABORT),
)  # fmt: skip

CASES: tuple[Case, ...] = (*RIGHT, *WRONG, *PECULIAR)
