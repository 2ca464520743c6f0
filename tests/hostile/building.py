"""Data sets of one good CT image, with something hostile at one place."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

from tests.hostile.expected import Content, Uids
from tests.wire import encoding as wire
from tests.wire.encoding import Element, element, explicit

UNDEFINED = wire.WHOLE
ALMOST_4_GB = 0xFFFFFFFE
ITEM_END, SEQUENCE_END = element(0xFFFE, 0xE00D, b""), element(0xFFFE, 0xE0DD, b"")
DEEP = (0x0040, 0x0275)  # Request Attributes Sequence
UIDS_END = 7
"""So many of the elements come up to and with the Series Instance UID."""

MEGABYTE = 1 << 20


def elements(uids: Uids) -> list[Element]:
    """The good image."""
    return wire.image_elements(uids.instance, uids.study)


def whole(*change: Callable[[list[Element]], list[Element]]) -> Content:
    """The image with its elements changed; in Explicit VR Little Endian."""

    def content(uids: Uids) -> Iterable[bytes]:
        made = elements(uids)
        for one in change:
            made = one(made)
        yield wire.as_explicit(made)

    return content


def replaced(tag: tuple[int, int], vr: str, value: bytes) -> Content:
    """The image with another value for one of its elements."""
    return whole(lambda made: [(*tag, vr, value) if one[:2] == tag else one for one in made])


def without(*tags: tuple[int, int]) -> Content:
    """The image without some of its elements."""
    return whole(lambda made: [one for one in made if one[:2] not in tags])


def inserted(
    hostile: Iterable[bytes] | bytes | Callable[[], bytes], *, at: int = -1, implicit: bool = False
) -> Content:
    """The image with hostile bytes before one of its elements: the pixel data, if not said."""
    write = wire.as_implicit if implicit else wire.as_explicit

    def content(uids: Uids) -> Iterable[bytes]:
        made = elements(uids)
        yield write(made[:at])
        made_now = hostile() if callable(hostile) else hostile
        yield from [made_now] if isinstance(made_now, bytes) else made_now
        yield write(made[at:])

    return content


def followed_by(hostile: bytes) -> Content:
    """The image without its pixel data, and hostile bytes instead."""

    def content(uids: Uids) -> Iterable[bytes]:
        yield wire.as_explicit(elements(uids)[:-1])
        yield hostile

    return content


def cut(full: Content, where: Callable[[bytes, Uids], int]) -> Content:
    """Only the beginning of a data set."""

    def content(uids: Uids) -> Iterable[bytes]:
        data = b"".join(full(uids))
        yield data[: where(data, uids)]

    return content


def nested(
    levels: int,
    *,
    explicit_vr: bool = True,
    undefined: bool = True,
    outer: tuple[int, int] = DEEP,
    outer_vr: str = "SQ",
) -> bytes:
    """A sequence so many levels deep; all but the outermost are (0040,0275)."""
    heads, tail = [], b""
    inside = 0
    item_size = 8 + 8 * undefined
    for level in range(levels):
        is_outer = level == levels - 1
        tag = outer if is_outer else DEEP
        vr = outer_vr if is_outer else "SQ"
        item_length = UNDEFINED if undefined else inside
        length = UNDEFINED if undefined else inside + item_size
        item = struct.pack("<HHI", 0xFFFE, 0xE000, item_length)
        if explicit_vr or (is_outer and outer_vr == "UN"):
            head = explicit(*tag, vr, b"", length=length)
        else:
            head = element(*tag, b"", length=length)
        heads.append(head + item)
        inside += len(head) + item_size + 8 * undefined
    if undefined:
        tail = (ITEM_END + SEQUENCE_END) * levels
    return b"".join(reversed(heads)) + tail


def deflate(content: Content) -> Content:
    """The data set deflated (PS3.5 section A.5)."""

    def made(uids: Uids) -> Iterator[bytes]:
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        for piece in content(uids):
            yield squeeze.compress(piece)
        yield squeeze.flush()

    return made


def bomb(megabytes: int, element_megabytes: int = 512) -> Content:
    """An image that inflates to so many megabytes of zeros, about 1,000 times its size.

    The zeros are deflated once and repeated: blocks that end at a full flush can be.
    """

    def content(uids: Uids) -> Iterator[bytes]:
        block = 16 * MEGABYTE
        yield _flushed(wire.as_explicit(elements(uids)[:-1]))
        zeros = _flushed(bytes(block))
        size = element_megabytes * MEGABYTE
        for number in range(megabytes // element_megabytes):
            yield _flushed(explicit(0x7FE1, 0x1001 + number, "OB", b"", length=size))
            for _ in range(size // block):
                yield zeros
        yield zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()

    return content


def _flushed(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush(zlib.Z_FULL_FLUSH)


def repeated(piece: bytes, times: int) -> Iterable[bytes]:
    """The same bytes many times, in larger pieces; can be walked over again."""
    many = max(1, MEGABYTE // len(piece))
    full, rest = divmod(times, many)
    return [piece * many] * full + [piece * rest]
