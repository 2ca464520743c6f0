"""Attribute matching (PS3.4 section C.2.2.2) as conditions of SQL."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, true

from candidates.writer.index.portable import matches_wildcard

_BEHIND_DIGITS = "~"
"""Sorts behind whatever may follow the end of a range: its seconds, or their fractions."""
_RANGES = frozenset({"DA", "TM"})
_NEVER_WILD = frozenset({"UI", "DA", "TM", "IS", "DS", "US"})


def condition(column: ColumnElement[str], vr: str, key: str) -> ColumnElement[bool]:
    """What a key asks of a column: single value, list of UIDs, wildcard, range, or nothing.

    Names are compared without regard to case.
    """
    key = key.replace("\0", "").strip(" ")  # PostgreSQL has no NUL
    if key in ("", "*") or (vr in _RANGES and key == "-"):
        return true()
    if vr == "UI":
        return column.in_([uid for uid in key.split("\\") if uid])
    if vr in _RANGES and "-" in key:
        return _range(column, key)
    if vr == "PN":
        column, key = func.lower(column), _lowered(key)
    if vr not in _NEVER_WILD and ("*" in key or "?" in key):
        return matches_wildcard(column, key)
    return column == key


def _range(column: ColumnElement[str], key: str) -> ColumnElement[bool]:
    """What has no value is in no range."""
    first, _, last = (part.strip() for part in key.partition("-"))
    within = column != ""
    if first:
        within &= column >= first
    if last:
        within &= column < last + _BEHIND_DIGITS
    return within


def _lowered(text: str) -> str:
    """As the databases do it: letters of ASCII only."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
