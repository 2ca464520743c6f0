"""A clock that a test owns: time passes only when the test says so."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

import anyio
from anyio.lowlevel import checkpoint

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class ManualClock:
    """Implements :class:`router.ports.Clock`; ``advance`` lets time pass and wakes sleepers."""

    def __init__(self, now: datetime = NOON):
        self._start = now
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._more_sleepers = anyio.Event()

    def now(self) -> datetime:
        """The wall time that the test has let it become."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has let so much time pass."""
        if seconds < 0:
            raise ValueError("nobody can wait for less than nothing")
        if not seconds:
            await checkpoint()
            return
        entry = (self._elapsed + seconds, next(self._order), anyio.Event())
        heapq.heappush(self._sleepers, entry)
        self._more_sleepers.set()
        self._more_sleepers = anyio.Event()
        try:
            await entry[2].wait()
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)
                heapq.heapify(self._sleepers)

    @property
    def wakes_at(self) -> float | None:
        """When the next sleeper wakes, on the monotonic scale; None: nobody sleeps."""
        return self._sleepers[0][0] if self._sleepers else None

    async def asleep_until(self, at: float) -> None:
        """Wait until somebody sleeps exactly until ``at``; fails after 30 real seconds."""
        with anyio.fail_after(30):
            while at not in {sleeper[0] for sleeper in self._sleepers}:
                await self._more_sleepers.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass; whoever has slept long enough wakes."""
        self._elapsed += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            heapq.heappop(self._sleepers)[2].set()

    def jump(self, by: timedelta) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does."""
        self._start += by
