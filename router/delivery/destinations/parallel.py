"""Several things at a time for one candidate, but no more than it may have associations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from router.domain.candidate import Candidate
from router.domain.errors import RouterError

T = TypeVar("T")


class Limiters:
    """A limiter for each candidate, shared by all that is done for it."""

    def __init__(self) -> None:
        self._by_ae_title: dict[str, anyio.CapacityLimiter] = {}

    def of(self, candidate: Candidate) -> anyio.CapacityLimiter:
        """The candidate's, with as many tokens as it may have associations by now."""
        limiter = self._by_ae_title.setdefault(candidate.ae_title, anyio.CapacityLimiter(1))
        limiter.total_tokens = candidate.associations
        return limiter


async def side_by_side(
    things: Iterable[T],
    at_once: int,
    do: Callable[[T], Awaitable[None]],
    *,
    finishes: bool = False,
) -> None:
    """Do something for each thing, in their order, so many at a time.

    After the first ``RouterError`` nothing more is begun, and it is raised. What is under way by
    then is cancelled; if it ``finishes``, it is waited for instead.
    """
    waiting = iter(things)
    failures: list[RouterError] = []
    async with anyio.create_task_group() as tasks:

        async def work() -> None:
            for thing in waiting:
                try:
                    await do(thing)
                except RouterError as error:
                    failures.append(error)
                    if not finishes:
                        tasks.cancel_scope.cancel()
                if failures:
                    return

        for _ in range(at_once):
            tasks.start_soon(work)
    if failures:
        raise failures[0]
