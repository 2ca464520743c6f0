"""From a complete revision to its deliveries: gather the facts, determine, keep the decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import structlog
from anyio.abc import TaskStatus

from router.completion.agenda import Agenda
from router.completion.facts import gather_facts
from router.completion.succession import Succession
from router.dicom.scanner import ScanLimits
from router.domain.candidate import Candidate
from router.domain.delivery import Delivery
from router.domain.determination import determine, needed_attributes
from router.domain.errors import RouterError, StateConflict
from router.domain.retry import RetryPolicy
from router.domain.study import RevisionKey
from router.ports import Clock, RevisionLedger, Spool

WORKERS = 4
RETRY = RetryPolicy(first_s=5.0, cap_s=300.0)
"""Pauses before a study that could not be determined is tried again; it is never given up."""

HOLDS_UP_FOR = 5
"""Failures (a minute or two) after which a revision does not hold up later ones of its study."""

log = structlog.get_logger(__name__)


class Determiner:
    """Determines candidates for complete revisions and hands the deliveries over.

    Each complete revision stands on an agenda until it is routed or held, a few at a time are
    worked on. One that cannot be read or recorded holds up no other study, its own for a while,
    and is tried again for ever. Revisions of one study are determined in their order.
    """

    def __init__(
        self,
        ledger: RevisionLedger,
        spool: Spool,
        clock: Clock,
        candidates: Callable[[], Sequence[Candidate]],
        deliver: Callable[[Sequence[Delivery]], None],
        limits: ScanLimits,
    ):
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._candidates = candidates
        self._deliver = deliver
        self._limits = limits
        self._agenda: Agenda[RevisionKey] = Agenda(clock)
        self._working: set[RevisionKey] = set()
        self._once_more: set[RevisionKey] = set()  # came up again while they were worked on
        self._failures: dict[RevisionKey, int] = {}
        self._new: set[RevisionKey] = set()  # not determined yet
        self._succession = Succession()

    @property
    def waiting(self) -> int:
        """Complete revisions that stand to be determined, those under way left out."""
        return len(self._agenda)

    async def complete(self, revision: RevisionKey, completed_by: str) -> None:
        """Close an open revision, so that it cannot grow while it is determined; then see to that.

        Raises ``LedgerFailed``, or ``StateConflict`` if the revision was routed before.
        """
        await self._ledger.complete(revision, self._clock.now(), completed_by)
        self._new.add(revision)
        self._note(revision)

    async def route_unrouted(self) -> None:
        """Determine held revisions again: at start-up, and when candidates change.

        Raises ``LedgerFailed``.
        """
        for revision in await self._ledger.unrouted_revisions():
            if revision in self._working:
                self._once_more.add(revision)
            else:
                self._note(revision)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Determine what stands on the agenda, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for _ in range(WORKERS):
                tasks.start_soon(self._work)
            task_status.started()

    async def _work(self) -> None:
        while True:
            revision = await self._agenda.next()
            if self._succession.has_to_wait(revision):
                continue
            self._working.add(revision)
            again_after_s = await self._try_to_route(revision)
            self._working.discard(revision)
            if revision in self._once_more:
                self._once_more.discard(revision)
                again_after_s = 0.0
            if again_after_s is not None:
                self._note(revision, again_after_s)
            self._let_others_go_on(revision, is_done=again_after_s is None)

    def _note(self, revision: RevisionKey, after_s: float = 0.0) -> None:
        self._succession.enter(revision)
        self._agenda.note(revision, self._clock.monotonic() + after_s)

    def _let_others_go_on(self, revision: RevisionKey, *, is_done: bool) -> None:
        """Those that waited for their turn behind a revision, if it holds them up no more."""
        if is_done:
            others = self._succession.leave(revision)
        elif self._failures.get(revision, 0) >= HOLDS_UP_FOR:
            others = self._succession.yield_to_later(revision)
        else:
            return
        for other in others:
            self._note(other)

    async def _try_to_route(self, revision: RevisionKey) -> float | None:
        """Seconds after which it has to be tried again; None: it is routed, or held."""
        try:
            await self.route(revision)
        except StateConflict as error:
            log.info("the revision was routed already", reason=str(error))
        except RouterError as error:
            failures = self._failures[revision] = self._failures.get(revision, 0) + 1
            delay_s = RETRY.delay_s(failures)
            log.error(
                "the study could not be routed; it will be tried again",
                study_instance_uid=revision.study_instance_uid,
                revision=revision.number,
                error=str(error),
                failures=failures,
                again_after_s=round(delay_s),
            )
            return delay_s
        self._failures.pop(revision, None)
        self._new.discard(revision)
        return None

    async def route(self, revision: RevisionKey) -> None:
        """Decide who gets a complete revision, keep the decision, start the deliveries.

        Raises ``LedgerFailed``, ``SpoolFailed``, or ``StateConflict`` if it was routed before.
        """
        candidates = self._candidates()
        instances = await self._ledger.instances(revision.id)
        wanted = needed_attributes(candidates)
        facts = await gather_facts(self._spool, self._limits, instances, wanted)
        members = [
            (number, facts[number], instance.identity.series_instance_uid)
            for number, instance in instances
        ]
        decision = await anyio.to_thread.run_sync(determine, candidates, members)
        deliveries = await self._ledger.route(revision, self._clock.now(), decision)
        if deliveries or revision in self._new:
            log.info(
                "study routed" if deliveries else "no candidate matches; the study is held",
                study_instance_uid=revision.study_instance_uid,
                revision=revision.number,
                instances=len(instances),
                candidates=[delivery.ae_title for delivery in deliveries],
            )
        self._deliver(deliveries)
