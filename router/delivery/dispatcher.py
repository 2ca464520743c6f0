"""Puts each delivery into the lane of its candidate, and runs each lane while it has work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from router.delivery.expected import told
from router.delivery.lane import Lane
from router.delivery.settings import DeliverySettings
from router.delivery.statistics import LaneStatistics
from router.delivery.waiting import wait_until
from router.domain.candidate import Candidate
from router.domain.delivery import Delivery
from router.domain.study import RevisionKey
from router.observe.faults import faults_in
from router.ports import Clock, Destination, Ledger

LOOK_EVERY_S = 30.0
"""Calls of ``wake`` only hasten: so often each lane is asked anyway whether it has work."""

BOOKS_S = 2.0
"""How long the books may take after the instances in flight were abandoned."""

log = structlog.get_logger(__name__)


class Dispatcher:
    """Keeps one lane for each AE title. All methods are for the event loop.

    Lanes share nothing but the ledger: a candidate that is slow, dead or trips over a fault of
    ours delays no other.
    """

    def __init__(
        self,
        ledger: Ledger,
        destinations: Mapping[str, Destination],
        candidate: Callable[[str], Candidate | None],
        clock: Clock,
        settings: DeliverySettings,
        on_settled: Callable[[RevisionKey], None],
    ):
        """``destinations`` by candidate kind; ``candidate`` tells who is registered at present."""
        self._ledger = ledger
        self._destinations = destinations
        self._candidate = candidate
        self._clock = clock
        self._settings = settings
        self._on_settled = on_settled
        self._lanes: dict[str, Lane] = {}
        self._running: set[str] = set()
        self._tasks: TaskGroup | None = None
        self._is_restored = False
        self._draining = anyio.Event()
        self._at_rest = anyio.Event()

    async def restore(self) -> None:
        """Take over the unfinished deliveries of a former run; only then anything is sent.

        What was delivered until then is not sent again. Raises ``LedgerFailed``.
        """
        deliveries = await self._ledger.unfinished_deliveries()
        self._is_restored = True
        self.deliver(deliveries)
        if deliveries:
            log.info("unfinished deliveries taken over", deliveries=len(deliveries))

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries on; the ledger has them already. One that is known stays as it is."""
        for delivery in deliveries:
            self._lane(delivery.ae_title).add(delivery)
        self._start_lanes()

    def intervene(self, dismissed: Sequence[Delivery], wanted: Sequence[Delivery]) -> None:
        """Follow what a person decided; the ledger has it already."""
        for delivery in dismissed:
            if delivery.ae_title in self._lanes:
                self._lanes[delivery.ae_title].withdraw(delivery)
        for delivery in wanted:
            self._lane(delivery.ae_title).renew(delivery)
        self._start_lanes()

    def wake(self, ae_title: str) -> None:
        """A candidate registered, or is back: attempt at once all that waits for it."""
        lane = self._lanes.get(ae_title)
        if lane is not None:
            lane.wake()
            self._start_lanes()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled or drained."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            task_status.started()
            try:
                while True:
                    self._start_lanes()
                    await self._clock.sleep(LOOK_EVERY_S)
            finally:
                self._tasks = None

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing new, hear the answers to what is in flight, write the books; then stop.

        What is unanswered after ``timeout_s`` is abandoned: it will be sent again after a restart.
        """
        self._draining.set()
        for lane in self._lanes.values():
            lane.drain()
        if not await self._rests_within(timeout_s):
            in_flight = sum(lane.in_flight for lane in self.statistics())
            log.warning("instances in flight are abandoned, to be sent again", instances=in_flight)
            for lane in self._lanes.values():
                lane.abandon()
            if not await self._rests_within(BOOKS_S):
                log.error("answers were not written down: those instances will be sent again")
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def statistics(self) -> Sequence[LaneStatistics]:
        """What each lane is doing, by AE title."""
        return [self._lanes[ae_title].statistics() for ae_title in sorted(self._lanes)]

    def _lane(self, ae_title: str) -> Lane:
        lane = self._lanes.get(ae_title)
        if lane is None:
            lane = self._lanes[ae_title] = Lane(
                ae_title,
                self._ledger,
                self._destinations,
                partial(self._candidate, ae_title),
                self._clock,
                self._settings,
                self._on_settled,
            )
        return lane

    def _start_lanes(self) -> None:
        if self._tasks is None or not self._is_restored or self._draining.is_set():
            return
        for ae_title, lane in self._lanes.items():
            if ae_title not in self._running and lane.has_work:
                self._running.add(ae_title)
                self._tasks.start_soon(self._keep_running, lane, name=f"lane {ae_title}")

    async def _keep_running(self, lane: Lane) -> None:
        """Run a lane as long as it has work, whatever happens in it."""
        try:
            while lane.has_work:
                try:
                    await lane.run()
                except Exception as error:
                    log.exception("a lane failed unexpectedly", ae_title=lane.ae_title)
                    if self._draining.is_set():
                        return
                    faults = faults_in(ExceptionGroup("", [error]))
                    pause_s = lane.crashed("; ".join(map(told, faults)))
                    await wait_until(self._draining, self._clock.monotonic() + pause_s, self._clock)
        finally:  # nothing is awaited since ``has_work`` was asked: no delivery is overlooked
            self._running.discard(lane.ae_title)
            if not self._running:
                self._at_rest.set()

    async def _rests_within(self, timeout_s: float) -> bool:
        """Whether no lane runs any more; waits for it."""
        if self._running:
            self._at_rest = anyio.Event()
            await wait_until(self._at_rest, self._clock.monotonic() + timeout_s, self._clock)
        return not self._running
