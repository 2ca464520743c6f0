"""Gives the bytes of settled revisions back, once they have been kept for as long as is wished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import anyio
import structlog
from anyio.abc import TaskStatus

from router.delivery.waiting import wait_until
from router.domain.errors import RouterError
from router.domain.instance import SpoolRef
from router.ports import Clock, Ledger, Spool

LOOK_EVERY_S = 60.0
GATHER_S = 1.0
"""Revisions that settle together are reclaimed together."""
PAGE = 500

log = structlog.get_logger(__name__)


class Retention:
    """Reclaims what is settled; the record of where it went stays."""

    def __init__(self, ledger: Ledger, spool: Spool, clock: Clock, retain_for: timedelta):
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._retain_for = retain_for
        self._look_at = clock.monotonic()
        self._told = anyio.Event()

    def settled(self) -> None:
        """A revision has settled: look as soon as its time to be retained is over."""
        ripe = self._clock.monotonic() + self._retain_for.total_seconds() + GATHER_S
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
            await self._reclaim_all()
        except RouterError as error:
            log.error("settled studies could not be reclaimed; trying again", error=str(error))
        except Exception:
            log.exception("reclaiming failed unexpectedly; trying again")

    async def _reclaim_all(self) -> None:
        settled_before = self._clock.now() - self._retain_for
        stuck: set[int] = set()
        reclaimed = 0
        while True:
            limit = PAGE + len(stuck)  # what is stuck comes again, and must not hide the rest
            page = await self._ledger.reclaimable(settled_before, limit)
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


def _by_segment(
    page: Sequence[tuple[int, SpoolRef]], without: set[int]
) -> Mapping[str, Mapping[int, SpoolRef]]:
    segments: dict[str, dict[int, SpoolRef]] = {}
    for instance_id, ref in page:
        if instance_id not in without:
            segments.setdefault(ref.segment, {})[instance_id] = ref
    return segments
