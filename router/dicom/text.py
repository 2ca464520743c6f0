"""Element values as text: by VR, byte order and character set (PS3.5 sections 6.1 and 6.2)."""

from __future__ import annotations

import struct
import warnings
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes

DEFAULT_ENCODING = "iso8859"

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
_TEXT_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, 0x5C}
_BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UN"})

Encodings = tuple[str, ...]


@lru_cache(maxsize=256)
def encodings_of(specific_character_set: tuple[str, ...]) -> Encodings:
    """Python's names for the values of (0008,0005); what is not known reads as Latin-1."""
    if not any(specific_character_set):
        return (DEFAULT_ENCODING,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tuple(convert_encodings(list(specific_character_set)))
        except LookupError:
            return (DEFAULT_ENCODING,)


def values_of(vr: str, raw: bytes, encodings: Encodings, *, big_endian: bool) -> tuple[str, ...]:
    """The values of an element; empty when it has none, or is of a VR that has no text form."""
    if vr in _NUMBERS:
        return _numbers(_NUMBERS[vr], raw, big_endian=big_endian)
    if vr == "AT":
        return _tags(raw, big_endian=big_endian)
    if vr in _BINARY:
        return ()
    text = _decode(raw, encodings if vr in _CHARSET_DEPENDENT else (DEFAULT_ENCODING,))
    if vr in _SINGLE:
        text = text.rstrip(" \0")
        return (text,) if text else ()
    values = tuple(value.strip(" \0") for value in text.split("\\"))
    return values if any(values) else ()


def _decode(raw: bytes, encodings: Encodings) -> str:
    if raw.isascii() and b"\x1b" not in raw and not encodings[0].startswith("shift_jis"):
        return raw.decode("ascii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return decode_bytes(raw, list(encodings), _TEXT_DELIMITERS)
        except (LookupError, ValueError):
            return raw.decode("latin-1")


def _numbers(code: str, raw: bytes, *, big_endian: bool) -> tuple[str, ...]:
    size = struct.calcsize(code)
    count = len(raw) // size
    numbers = struct.unpack_from(f"{'>' if big_endian else '<'}{count}{code}", raw)
    return tuple(repr(number) for number in numbers)


def _tags(raw: bytes, *, big_endian: bool) -> tuple[str, ...]:
    halves = struct.unpack_from(f"{'>' if big_endian else '<'}{len(raw) // 4 * 2}H", raw)
    pairs = zip(halves[::2], halves[1::2], strict=True)
    return tuple(f"({group:04X},{element:04X})" for group, element in pairs)
