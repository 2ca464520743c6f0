"""What has to be looked at, and when: one earliest moment for each item."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

import anyio

from router.ports import Clock

T = TypeVar("T", bound=Hashable)


class Agenda(Generic[T]):
    """Items with the moment (monotonic seconds) at which each falls due.

    Any number of tasks may wait for the next one; each item goes to one of them.
    """

    def __init__(self, clock: Clock):
        self._clock = clock
        self._moments: dict[T, float] = {}
        self._queue: list[tuple[float, int, T]] = []  # with entries that no longer hold
        self._order = count()
        self._changed = anyio.Event()

    def __len__(self) -> int:
        """How many items are noted."""
        return len(self._moments)

    def note(self, item: T, at: float) -> None:
        """Note when the item has to be looked at, unless an earlier moment is noted already."""
        known = self._moments.get(item)
        if known is not None and known <= at:
            return
        self._moments[item] = at
        heapq.heappush(self._queue, (at, next(self._order), item))
        self._changed.set()
        self._changed = anyio.Event()

    def strike(self, item: T) -> None:
        """Forget the item."""
        self._moments.pop(item, None)

    async def next(self) -> T:
        """Wait for the earliest item to fall due, and take it off the agenda."""
        while True:
            at = self._earliest()
            if at is None:
                await self._changed.wait()
            elif at > self._clock.monotonic():
                await self._sleep_unless_changed(at - self._clock.monotonic())
            else:
                item = heapq.heappop(self._queue)[2]
                del self._moments[item]
                return item

    def _earliest(self) -> float | None:
        """The moment at the head of the queue, after entries that no longer hold are dropped."""
        while self._queue:
            at, _, item = self._queue[0]
            if self._moments.get(item) == at:
                return at
            heapq.heappop(self._queue)
        return None

    async def _sleep_unless_changed(self, delay_s: float) -> None:
        changed = self._changed
        async with anyio.create_task_group() as tasks:

            async def wake_on_change() -> None:
                await changed.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wake_on_change)
            await self._clock.sleep(delay_s)
            tasks.cancel_scope.cancel()
