"""What went wrong, out of the groups that task groups wrap it in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def faults_in(group: BaseExceptionGroup[E]) -> Iterator[E]:
    """Every exception in a group and the groups in it, in their order."""
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from faults_in(inner)
        else:
            yield inner
