"""Hostile objects as values: what is sent, and what the router does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tests.wire import encoding as wire

ROOT = "1.2.826.99.7"


class Fate(StrEnum):
    """What becomes of an object at the router."""

    PASSED = "passed on"  # byte for byte, to the writer that matches
    REFUSED = "refused"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Expected:
    """The fate of an object."""

    fate: Fate
    status: int = 0
    reason: str = ""  # part of what a person reads of it

    def __str__(self) -> str:
        return f"{self.fate} {self.status:04X}" if self.fate is Fate.REFUSED else str(self.fate)


PASSED = Expected(Fate.PASSED)
CANNOT_UNDERSTAND = 0xC000
DOES_NOT_MATCH = 0xA900


def refused(status: int, reason: str) -> Expected:
    """Refused with a status, for a reason that is in the ledger."""
    return Expected(Fate.REFUSED, status, reason)


def quarantined(reason: str) -> Expected:
    """Kept aside with a reason, answered 0000, given to nobody."""
    return Expected(Fate.QUARANTINED, 0, reason)


@dataclass(frozen=True, slots=True)
class Uids:
    """The UIDs of one object; no other has them."""

    number: int

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return f"{ROOT}.{self.number}"

    @property
    def series(self) -> str:
        """Series Instance UID."""
        return f"{ROOT}.{self.number}.1"

    @property
    def instance(self) -> str:
        """SOP Instance UID, in the command set and in the data set."""
        return f"{ROOT}.{self.number}.9"


Content = Callable[[Uids], Iterable[bytes]]
"""The data set in pieces, so that a large one need never be in memory."""


@dataclass(frozen=True, slots=True)
class HostileObject:
    """A data set that somebody sends."""

    name: str
    group: str
    content: Content
    expected: Expected
    syntax: str = wire.EXPLICIT
    announced: str = ""  # SOP Instance UID in the command set; empty: the right one


Table = tuple[HostileObject, ...]
