"""Gives bytes of the spool back, once they have been kept for as long as is wished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio
import structlog
from anyio.abc import TaskStatus

from router.delivery.waiting import wait_until
from router.domain.errors import RouterError
from router.domain.instance import SpoolRef
from router.ports import Clock, RetentionLedger, Spool

LOOK_EVERY_S = 60.0
GATHER_S = 1.0
"""Revisions that settle together are reclaimed together."""
PAGE = 500
COMMITMENTS_PAGE = 20
"""Each may list thousands of instances, and nothing else is recorded while they go."""

Page = Sequence[tuple[int, SpoolRef]]
Forget = Callable[[datetime, int], Awaitable[int]]
"""Removes so many records at most that are older; how many there were."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long what is kept."""

    retain_for: timedelta = timedelta(minutes=10)  # bytes, since their revision settled
    quarantine_for: timedelta = timedelta(days=30)  # bytes, since they arrived
    refusals_for: timedelta = timedelta(days=90)  # records of refusals
    commitments_for: timedelta = timedelta(days=90)  # records of transactions that are over


class Retention:
    """Reclaims what is settled, what only repeats other instances, and old quarantine.

    The records stay, but for those that anybody can cause without end: old refusals, and old
    requests for storage commitment.
    """

    def __init__(
        self, ledger: RetentionLedger, spool: Spool, clock: Clock, policy: RetentionPolicy
    ):
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._policy = policy
        self._look_at = clock.monotonic()
        self._told = anyio.Event()

    def settled(self) -> None:
        """A revision has settled: look as soon as its time to be retained is over."""
        ripe = self._clock.monotonic() + self._policy.retain_for.total_seconds() + GATHER_S
        if ripe < self._look_at:
            self._look_at = ripe
            self._told.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Reclaim until cancelled; what fails is tried again at the next look."""
        task_status.started()
        while True:
            self._told = anyio.Event()
            if self._clock.monotonic() >= self._look_at:
                self._look_at = self._clock.monotonic() + LOOK_EVERY_S
                await self._look()
            await wait_until(self._told, self._look_at, self._clock)

    async def _look(self) -> None:
        try:
            await self._reclaim_all(self._settled)
            await self._reclaim_all(self._held_for_nobody)
            await self._forget(self._ledger.forget_refusals, self._policy.refusals_for, PAGE)
            await self._forget(
                self._ledger.forget_commitments, self._policy.commitments_for, COMMITMENTS_PAGE
            )
        except RouterError as error:
            log.error("bytes could not be reclaimed; trying again", error=str(error))
        except Exception:
            log.exception("reclaiming failed unexpectedly; trying again")

    async def _settled(self, limit: int) -> Page:
        return await self._ledger.reclaimable(self._clock.now() - self._policy.retain_for, limit)

    async def _held_for_nobody(self, limit: int) -> Page:
        return await self._ledger.held_for_nobody(
            self._clock.now() - self._policy.quarantine_for, limit
        )

    async def _forget(self, some: Forget, kept_for: timedelta, page: int) -> None:
        before = self._clock.now() - kept_for
        while await some(before, page) == page:
            pass

    async def _reclaim_all(self, pages: Callable[[int], Awaitable[Page]]) -> None:
        stuck: set[int] = set()
        reclaimed = 0
        while True:
            limit = PAGE + len(stuck)  # what is stuck comes again, and must not hide the rest
            page = await pages(limit)
            for segment in _by_segment(page, stuck).values():
                if await self._reclaim(segment):
                    reclaimed += len(segment)
                else:
                    stuck.update(segment)
            if len(page) < limit:
                break
        if reclaimed:
            log.info("instances reclaimed", instances=reclaimed)

    async def _reclaim(self, instances: Mapping[int, SpoolRef]) -> bool:
        """Free the bytes first: if the router stops in between, they are freed twice."""
        try:
            await self._spool.reclaim(list(instances.values()))
        except RouterError as error:
            log.error("bytes could not be freed; trying again later", error=str(error))
            return False
        await self._ledger.reclaimed(list(instances), self._clock.now())
        return True


def _by_segment(page: Page, without: set[int]) -> Mapping[str, Mapping[int, SpoolRef]]:
    segments: dict[str, dict[int, SpoolRef]] = {}
    for instance_id, ref in page:
        if instance_id not in without:
            segments.setdefault(ref.segment, {})[instance_id] = ref
    return segments
