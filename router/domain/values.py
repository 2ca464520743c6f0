"""Values as text, compared as what their VR says they are."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from router.domain.errors import InvalidCriteria


class ValueKind(StrEnum):
    """How values compare."""

    NUMBER = "a number"
    DATE = "a date"
    TIME = "a time"
    DATE_TIME = "a date and time"
    AGE = "an age"
    TEXT = "text"


_KINDS = {
    **dict.fromkeys(("IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"), ValueKind.NUMBER),
    "DA": ValueKind.DATE,
    "TM": ValueKind.TIME,
    "DT": ValueKind.DATE_TIME,
    "AS": ValueKind.AGE,
}

_EXAMPLES = {
    ValueKind.NUMBER: "one such as 42 or 1.5",
    ValueKind.DATE: "20260131",
    ValueKind.TIME: "133000",
    ValueKind.DATE_TIME: "20260131133000",
    ValueKind.AGE: "045Y",
}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_DATE = re.compile(r"([0-9]{4})([-.]?)([0-9]{2})\2([0-9]{2})")
_TIME = re.compile(r"([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:\.([0-9]{1,6}))?)?)?")
_DATE_TIME = re.compile(r"([0-9]{4,14})(?:(?<=[0-9]{14})\.([0-9]{1,6}))?(?:[+-][0-9]{4})?")
_AGE = re.compile(r"([0-9]{1,3})([DWMY])")
_DAYS = {"D": Decimal(1), "W": Decimal(7), "M": Decimal("30.4375"), "Y": Decimal("365.25")}

Comparable = Decimal | str
"""Of one kind, values are all numbers or all text, so that they order and are equal as such."""


def kind_of(vr: str) -> ValueKind:
    """How values of this VR compare; what the dictionary does not know compares as text."""
    return _KINDS.get(vr, ValueKind.TEXT)


def comparable(kind: ValueKind, text: str) -> Comparable | None:
    """Something that orders as the value does, or None if the text is not such a value."""
    return text if kind is ValueKind.TEXT else _parse(kind, text)


@lru_cache(maxsize=4096)
def _parse(kind: ValueKind, text: str) -> Decimal | None:
    """Cached: many criteria look at the same few values."""
    return _PARSERS[kind](text.strip())


def operand(kind: ValueKind, text: str) -> Comparable:
    """The same for the operand of a criterion; raises ``InvalidCriteria`` with an example."""
    value = comparable(kind, text)
    if value is None:
        raise InvalidCriteria(f"{text!r} does not read as {kind}; expected {_EXAMPLES[kind]}")
    return value


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _date(text: str) -> Decimal | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return Decimal(date(int(match[1]), int(match[3]), int(match[4])).toordinal())
    except ValueError:
        return None


def _time(text: str) -> Decimal | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds = (int(match[group] or 0) for group in (1, 2, 3))
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return Decimal(hours * 3600 + minutes * 60 + seconds) + Decimal(f"0.{match[4] or 0}")


def _date_time(text: str) -> Decimal | None:
    """Digits to the second, padded from the left out parts; time zones are not converted."""
    match = _DATE_TIME.fullmatch(text)
    if match is None or len(match[1]) % 2:
        return None
    digits = match[1] + "00000101000000"[len(match[1]) :]
    if _date(digits[:8]) is None or _time(digits[8:]) is None:
        return None
    return Decimal(digits) + Decimal(f"0.{match[2] or 0}")


def _age(text: str) -> Decimal | None:
    match = _AGE.fullmatch(text)
    return None if match is None else Decimal(match[1]) * _DAYS[match[2]]


_PARSERS = {
    ValueKind.NUMBER: _number,
    ValueKind.DATE: _date,
    ValueKind.TIME: _time,
    ValueKind.DATE_TIME: _date_time,
    ValueKind.AGE: _age,
}
