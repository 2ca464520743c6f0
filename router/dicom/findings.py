"""What a scan may look at, and what it says of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router.domain.instance import Facts


class FindingKind(StrEnum):
    """What can be wrong with the structure of a data set."""

    NESTING_TOO_DEEP = "nesting too deep"
    DEFLATE_BOMB = "inflates beyond its bound"
    NOT_DEFLATED = "not a deflated stream"
    TRUNCATED = "cut short"
    LENGTH_OVERRUN = "a length overruns what contains it"
    MALFORMED = "not a data set from here on"
    MISLABELLED = "not in the encoding that was negotiated"
    GROUP_0002 = "File Meta elements in the data set"
    VALUE_TOO_LONG = "a routing attribute is too long to be read"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, with a reason that names tag and place."""

    kind: FindingKind
    reason: str


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """Bounds of a scan; bytes where not said otherwise."""

    max_sequence_depth: int = 64  # levels
    max_value_bytes: int = 64 * 1024
    max_kept_bytes: int = 256 * 1024  # of all values that are wanted
    max_inflated_bytes: int = 1 << 30
    max_warnings: int = 8


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a scan found.

    ``finding`` is set when the data set must not reach a receiver; ``warnings`` do not hinder.
    """

    facts: Facts
    finding: Finding | None = None
    warnings: tuple[Finding, ...] = ()
