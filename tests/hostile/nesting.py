"""Sequences within sequences: 64 levels are passed on, more are kept from every writer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.hostile.building import (
    DEEP,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    inserted,
    nested,
)
from tests.hostile.expected import PASSED, Expected, HostileObject, Table, quarantined
from tests.wire import encoding as wire
from tests.wire.encoding import explicit

GROUP = "deep nesting"
ALLOWED = 64
TOO_DEEP = quarantined("nested 65 levels deep")
PRIVATE, FUNCTIONAL_GROUPS = (0x0041, 0x1001), (0x5200, 0x9230)
CREATOR = explicit(0x0041, 0x0010, "LO", b"MAKER 1 ")
UNKNOWN_VR = explicit(*DEEP, "ZZ", b"")[:6] + b"\0\0" + b"\4\0\0\0" + b"what"


def _fate(levels: int) -> Expected:
    return PASSED if levels <= ALLOWED else TOO_DEEP


def _deep(
    name: str, hostile: Callable[[], bytes], expected: Expected, syntax: str = wire.EXPLICIT
) -> HostileObject:
    implicit = syntax == wire.IMPLICIT
    return HostileObject(name, GROUP, inserted(hostile, implicit=implicit), expected, syntax)


def _everywhere(levels: int) -> Table:
    shown, fate = f"{levels:,} levels", _fate(levels)
    plain = partial(nested, levels)
    implicit = partial(nested, levels, explicit_vr=False)
    return (
        _deep(f"{shown}, undefined length", plain, fate),
        _deep(f"{shown}, defined length", lambda: plain(undefined=False), fate),
        _deep(f"{shown}, Implicit VR", implicit, fate, wire.IMPLICIT),
        _deep(f"{shown}, Implicit VR, defined length", lambda: implicit(undefined=False), fate,
              wire.IMPLICIT),
        _deep(f"{shown} in a private sequence", lambda: CREATOR + plain(outer=PRIVATE), fate),
        _deep(f"{shown} in a sequence of VR UN", lambda: implicit(outer_vr="UN"), fate),
        _deep(f"{shown} in a private sequence of VR UN",
              lambda: CREATOR + implicit(outer=PRIVATE, outer_vr="UN"), fate),
        _deep(f"{shown} in the functional groups", lambda: plain(outer=FUNCTIONAL_GROUPS), fate),
    )  # fmt: skip


LEVELS: Table = tuple(one for levels in (10, 64, 65, 5_000, 100_000) for one in _everywhere(levels))

SECOND_OF_TWO = (
    explicit(*DEEP, "SQ", b"", length=UNDEFINED)
    + wire.element(0xFFFE, 0xE000, b"")
    + wire.element(0xFFFE, 0xE000, b"", length=UNDEFINED)
)

HIDDEN: Table = (
    _deep("5,000 levels in an element of VR UN and defined length",
          lambda: nested(5_000, explicit_vr=False, undefined=False, outer_vr="UN"), TOO_DEEP),
    _deep("5,000 levels behind an element of a VR of the future",
          lambda: UNKNOWN_VR + nested(5_000), TOO_DEEP),
    _deep("5,000 levels that are never closed",
          lambda: nested(5_000)[: -len(ITEM_END + SEQUENCE_END) * 5_000], TOO_DEEP),
    _deep("5,000 levels in the second of two items",
          lambda: SECOND_OF_TWO + nested(5_000) + ITEM_END + SEQUENCE_END, TOO_DEEP),
)  # fmt: skip

OBJECTS: Table = (*LEVELS, *HIDDEN)
