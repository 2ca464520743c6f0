"""Little that becomes much: deflate bombs, a million elements, a million items, bare NULs."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile.building import (
    DEEP,
    ITEM_END,
    MEGABYTE,
    SEQUENCE_END,
    UNDEFINED,
    bomb,
    deflate,
    elements,
    inserted,
    nested,
    repeated,
    whole,
)
from tests.hostile.expected import (
    CANNOT_UNDERSTAND,
    PASSED,
    Content,
    Expected,
    HostileObject,
    Table,
    Uids,
    quarantined,
    refused,
)
from tests.wire import encoding as wire
from tests.wire.encoding import element, explicit

DEFLATED, MANY = "deflated data sets", "very many elements"
NO_STUDY = refused(CANNOT_UNDERSTAND, "no StudyInstanceUID")
GOOD = whole()
MILLION = 1_000_000


def _deflated(name: str, content: Content, expected: Expected = PASSED) -> HostileObject:
    return HostileObject(name, DEFLATED, content, expected, wire.DEFLATED)


def _many(
    name: str, content: Content, expected: Expected = PASSED, syntax: str = wire.EXPLICIT
) -> HostileObject:
    return HostileObject(name, MANY, content, expected, syntax)


def _cut(uids: Uids) -> Iterator[bytes]:
    yield b"".join(deflate(GOOD)(uids))[:-20]


def _followed(uids: Uids) -> Iterator[bytes]:
    yield from deflate(GOOD)(uids)
    yield b"\xff" * 1000


def _broken_behind_uids(uids: Uids) -> Iterator[bytes]:
    yield from bomb(0)(uids)  # nothing that inflates but the image without its pixel data
    yield b"\xff" * 1000


def _sequence(items: bytes, times: int) -> Iterator[bytes]:
    yield explicit(*DEEP, "SQ", b"", length=UNDEFINED)
    yield from repeated(items, times)
    yield SEQUENCE_END


def _with_items(items: bytes, times: int) -> Content:
    def content(uids: Uids) -> Iterator[bytes]:
        made = elements(uids)
        yield wire.as_explicit(made[:-1])
        yield from _sequence(items, times)
        yield wire.as_explicit(made[-1:])

    return content


ITEM = element(0xFFFE, 0xE000, explicit(8, 0x60, "CS", b"CT"))
OPEN_ITEM = element(0xFFFE, 0xE000, b"", length=UNDEFINED) + ITEM_END

BOMBS: Table = (
    _deflated("0.5 MB that become 512 MB", bomb(512)),
    _deflated("1 MB that becomes 1 GB", bomb(1024), quarantined("inflate to more than")),
    _deflated("10 MB that become 10 GB", bomb(10 * 1024), quarantined("inflate to more than")),
    _deflated("10 MB that become 10 GB in elements of 2 GB", bomb(10 * 1024, 2048),
              quarantined("inflate to more than")),
    _deflated("5,000 levels, deflated", deflate(inserted(nested(5_000))),
              quarantined("nested 65 levels deep")),
    _deflated("bytes that are not deflated", GOOD, NO_STUDY),
    _deflated("nothing, deflated", deflate(lambda _: [b""]), NO_STUDY),
    _deflated("nothing, not even deflated", lambda _: [b""], NO_STUDY),
    _deflated("a deflated stream that is cut short", _cut),
    _deflated("a deflated stream with bytes behind it", _followed),
    _deflated("a deflated stream that ends, and rubbish", _broken_behind_uids),
    _deflated("a stream deflated twice", deflate(deflate(GOOD)), NO_STUDY),
)  # fmt: skip

NUMBERS: Table = (
    _many("1,000,000 empty elements", inserted(repeated(explicit(0x41, 0x1001, "LO", b""),
                                                        MILLION))),
    _many("1,000,000 empty elements in Implicit VR",
          inserted(repeated(element(0x41, 0x1001, b""), MILLION), implicit=True),
          syntax=wire.IMPLICIT),
    _many("200,000 items of one element", _with_items(ITEM, 200_000)),
    _many("200,000 empty items of undefined length", _with_items(OPEN_ITEM, 200_000)),
    _many("100,000 sequences", inserted(repeated(explicit(*DEEP, "SQ", ITEM), 100_000))),
    _many("10,000 private creators",
          inserted(repeated(explicit(0x41, 0x10, "LO", b"MAKER "), 10_000), at=3)),
    _many("8 MB of NUL", lambda _: repeated(bytes(MEGABYTE), 8), NO_STUDY),
    _many("8 MB of NUL in Implicit VR", lambda _: repeated(bytes(MEGABYTE), 8), NO_STUDY,
          wire.IMPLICIT),
    _many("8 MB of FF", lambda _: repeated(b"\xff" * MEGABYTE, 8), NO_STUDY),
)  # fmt: skip

OBJECTS: Table = (*BOMBS, *NUMBERS)
