"""Lists short enough for one statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

CHUNK = 500
"""Values in one IN list at most."""


def chunks(values: Iterable[T]) -> Iterable[list[T]]:
    """Split values into lists short enough for one IN list."""
    rest = list(values)
    return (rest[start : start + CHUNK] for start in range(0, len(rest), CHUNK))
