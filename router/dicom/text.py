"""Element values as text: by VR, byte order and character set (PS3.5 sections 6.1 and 6.2)."""

from __future__ import annotations

import struct

from router.dicom.character_sets import (
    DEFAULT_ENCODING,
    NAME_DELIMITERS,
    TEXT_DELIMITERS,
    VALUE_DELIMITERS,
    Encodings,
    decode,
    encodings_of,
)

__all__ = ["DEFAULT_ENCODING", "Encodings", "encodings_of", "values_of"]

_NUMBERS = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
_SINGLE = frozenset({"ST", "LT", "UT", "UR"})
_CHARSET_DEPENDENT = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})
_BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UN"})


def values_of(vr: str, raw: bytes, encodings: Encodings, *, big_endian: bool) -> tuple[str, ...]:
    """The values of an element; empty when it has none, or is of a VR that has no text form."""
    if vr in _NUMBERS:
        return _numbers(_NUMBERS[vr], raw, big_endian=big_endian)
    if vr == "AT":
        return _tags(raw, big_endian=big_endian)
    if vr in _BINARY:
        return ()
    text = _decode(vr, raw, encodings)
    if vr in _SINGLE:
        text = text.rstrip(" \0")
        return (text,) if text else ()
    if "\\" not in text:
        value = text.strip(" \0")
        return (value,) if value else ()
    values = tuple(value.strip(" \0") for value in text.split("\\"))
    return values if any(values) else ()


def _decode(vr: str, raw: bytes, encodings: Encodings) -> str:
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if vr not in _CHARSET_DEPENDENT:
        return raw.decode(DEFAULT_ENCODING)
    if vr == "PN":
        return decode(raw, encodings, NAME_DELIMITERS)
    return decode(raw, encodings, TEXT_DELIMITERS if vr in _SINGLE else VALUE_DELIMITERS)


def _numbers(code: str, raw: bytes, *, big_endian: bool) -> tuple[str, ...]:
    size = struct.calcsize(code)
    count = len(raw) // size
    numbers = struct.unpack_from(f"{'>' if big_endian else '<'}{count}{code}", raw)
    return tuple(repr(number) for number in numbers)


def _tags(raw: bytes, *, big_endian: bool) -> tuple[str, ...]:
    halves = struct.unpack_from(f"{'>' if big_endian else '<'}{len(raw) // 4 * 2}H", raw)
    pairs = zip(halves[::2], halves[1::2], strict=True)
    return tuple(f"({group:04X},{element:04X})" for group, element in pairs)
