"""From a complete revision to its deliveries: gather the facts, determine, keep the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import anyio
import structlog

from router.dicom.scanner import ScanLimits, ScanPlan, scan_stored
from router.domain.attributes import Attribute
from router.domain.candidate import Candidate
from router.domain.delivery import Delivery
from router.domain.determination import determine, needed_attributes
from router.domain.instance import Facts, Instance
from router.domain.study import RevisionKey
from router.ports import Clock, Ledger, Spool

log = structlog.get_logger(__name__)


class Determiner:
    """Determines candidates for complete revisions and hands the deliveries over."""

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        clock: Clock,
        candidates: Callable[[], Sequence[Candidate]],
        deliver: Callable[[Sequence[Delivery]], None],
        known: frozenset[Attribute],
        limits: ScanLimits,
    ):
        """``known`` are the attributes that ingress has read from every instance."""
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._candidates = candidates
        self._deliver = deliver
        self._known = known
        self._limits = limits

    async def complete(self, revision: RevisionKey, completed_by: str) -> None:
        """Close an open revision, so that it cannot grow while it is determined; then route it."""
        await self._ledger.complete(revision, self._clock.now(), completed_by)
        await self.route(revision)

    async def route(self, revision: RevisionKey) -> None:
        """Decide who gets a complete revision, keep the decision, start the deliveries."""
        candidates = self._candidates()
        instances = await self._ledger.instances(revision.id)
        facts = await self._facts(instances, needed_attributes(candidates) - self._known)
        decision = determine(
            candidates,
            [
                (number, facts[number], instance.identity.series_instance_uid)
                for number, instance in instances
            ],
        )
        deliveries = await self._ledger.route(revision, self._clock.now(), decision)
        log.info(
            "study routed" if deliveries else "no candidate matches; the study is held",
            study_instance_uid=revision.study_instance_uid,
            revision=revision.number,
            instances=len(instances),
            candidates=[delivery.ae_title for delivery in deliveries],
        )
        self._deliver(deliveries)

    async def route_unrouted(self) -> None:
        """Determine held revisions again: at start-up, and when candidates change."""
        for revision in await self._ledger.unrouted_revisions():
            await self.route(revision)

    async def _facts(
        self, instances: Sequence[tuple[int, Instance]], missing: Iterable[Attribute]
    ) -> Mapping[int, Facts]:
        """Facts by ledger id; attributes that ingress did not read come from the spooled bytes."""
        recorded = {number: instance.facts for number, instance in instances}
        wanted = [attribute for attribute in missing if not attribute.is_pseudo]
        if not wanted:
            return recorded
        plan = ScanPlan.compile(wanted)
        return await anyio.to_thread.run_sync(self._rescan, plan, instances)

    def _rescan(
        self, plan: ScanPlan, instances: Sequence[tuple[int, Instance]]
    ) -> Mapping[int, Facts]:
        facts: dict[int, Facts] = {}
        for number, instance in instances:
            reader = self._spool.open(instance.ref)
            try:
                scan = scan_stored(
                    plan,
                    instance.identity.transfer_syntax_uid,
                    self._limits,
                    reader.read,
                    instance.ref.data_set_length,
                )
            finally:
                reader.close()
            facts[number] = {**scan.facts, **instance.facts}
        return facts
