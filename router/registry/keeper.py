"""Looks after the leases of writers that registered themselves.

A writer whose lease ends is probed: one that answers stays live, one that does not is lapsed.
Studies are still held for a lapsed writer, for one that is restarted must miss none; after
``hold_for`` it is forgotten, but never while a delivery is open for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryState
from router.domain.errors import RouterError
from router.ports import Clock, LedgerViews
from router.registry.entry import Due, Entry
from router.registry.roster import Roster

Probe = Callable[[Candidate], Awaitable[None]]
"""Asks a candidate whether it is there (C-ECHO); raises a ``RouterError`` if not."""

PROBES_AT_ONCE = 8
PROBE_TIMEOUT_S = 15.0
RETRY_AFTER_S = 5.0

_OPEN_STATES = tuple(state for state in DeliveryState if not state.is_terminal)

log = structlog.get_logger(__name__)


class Judge(Protocol):
    """Who acts on what the keeper finds: the registry."""

    @property
    def lease(self) -> timedelta:
        """How long a writer stays live without a heartbeat."""
        ...

    async def answered(self, entry: Entry) -> None:
        """The writer answered a probe."""
        ...

    async def expired(self, entry: Entry, why: str) -> None:
        """Nobody waits for the writer any more."""
        ...


class LeaseKeeper:
    """Waits for the next lease to end, and finds out what that means."""

    def __init__(
        self, roster: Roster, views: LedgerViews, clock: Clock, probe: Probe, judge: Judge
    ):
        self._roster = roster
        self._views = views
        self._clock = clock
        self._probe = probe
        self._judge = judge

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look after leases until cancelled."""
        task_status.started()
        limiter = anyio.CapacityLimiter(PROBES_AT_ONCE)
        while True:
            await self._wait_until_a_lease_ends()
            now = self._clock.monotonic()
            async with anyio.create_task_group() as tasks:
                for entry in [entry for entry in self._roster.leased() if entry.due(now)]:
                    tasks.start_soon(self._look_after, entry, limiter)

    async def _wait_until_a_lease_ends(self) -> None:
        stirred = self._roster.stirred
        ends = [entry.lease.look_at for entry in self._roster.leased()]
        async with anyio.create_task_group() as tasks:

            async def wake_on_change() -> None:
                await stirred.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wake_on_change)
            if ends:
                await self._clock.sleep(max(0.0, min(ends) - self._clock.monotonic()))
                tasks.cancel_scope.cancel()

    async def _look_after(self, entry: Entry, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            try:
                if entry.due(self._clock.monotonic()) is Due.FORGET:
                    await self._forget_unless_needed(entry)
                else:
                    await self._probe_and_judge(entry)
            except RouterError as error:
                log.error(
                    "a lease could not be looked after; it will be tried again",
                    ae_title=entry.ae_title,
                    error=str(error),
                )
                self._look_again_in(entry, RETRY_AFTER_S)

    async def _probe_and_judge(self, entry: Entry) -> None:
        silence = await self._silence(self._roster.candidate(entry.ae_title))
        if silence is None:
            await self._judge.answered(entry)
        elif self._roster.find(entry.ae_title) is entry:
            if not entry.lease.lapsed:
                log.warning(
                    "candidate lapsed: no heartbeat, and no answer; studies are held for it",
                    ae_title=entry.ae_title,
                    reason=silence,
                )
            self._roster.put(entry.silent(self._after_a_lease()))

    async def _silence(self, candidate: Candidate) -> str | None:
        """Why the candidate cannot be reached; None if it answers."""
        try:
            with anyio.fail_after(PROBE_TIMEOUT_S):
                await self._probe(candidate)
        except (RouterError, OSError) as error:  # TimeoutError is an OSError
            return str(error) or type(error).__name__
        return None

    async def _forget_unless_needed(self, entry: Entry) -> None:
        if await self._has_open_deliveries(entry.ae_title):
            self._look_again_in(entry, self._judge.lease.total_seconds())
        else:
            why = "it has drained" if entry.draining else "it was away for too long"
            await self._judge.expired(entry, why)

    async def _has_open_deliveries(self, ae_title: str) -> bool:
        for state in _OPEN_STATES:
            page = await self._views.deliveries(limit=1, state=state, ae_title=ae_title)
            if page.items:
                return True
        return False

    def _look_again_in(self, entry: Entry, seconds: float) -> None:
        current = self._roster.find(entry.ae_title)
        if current is not None and current.lease.look_at <= self._clock.monotonic():
            self._roster.put(current.look_later(self._clock.monotonic() + seconds))

    def _after_a_lease(self) -> float:
        return self._clock.monotonic() + self._judge.lease.total_seconds()
