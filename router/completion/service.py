"""Watches open revisions and closes each when its completion policy says so.

What is known of an open revision lives in memory as :class:`Arrivals` values and is rebuilt from
the ledger at start-up. The policy is pure (:mod:`router.domain.completion`); this service only
keeps the facts, waits for the earliest deadline, and hands over to the determiner.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskStatus

from router.domain.completion import Arrivals, CompletionPolicy, due
from router.domain.errors import RouterError
from router.domain.instance import Instance
from router.domain.study import OpenRevision, RevisionKey
from router.ports import Clock

Close = Callable[[RevisionKey, str], Awaitable[None]]
"""Determines and routes a complete revision; gets its key and what completed it."""

RETRY_AFTER_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Open:
    """An open revision. ``key`` is unknown until the ledger has recorded its first instance."""

    key: RevisionKey | None
    last_arrival: float
    last_release: float | None = None
    associations: set[str] = field(default_factory=set)
    unrecorded: int = 0
    scheduled_for: float | None = None


class CompletionService:
    """Keeps the open revisions; the one place that decides that a study has arrived."""

    def __init__(self, policy: CompletionPolicy, clock: Clock, close: Close):
        self._policy = policy
        self._clock = clock
        self._close = close
        self._open: dict[str, _Open] = {}
        self._studies_of: dict[str, set[str]] = {}  # association id -> Study Instance UIDs
        self._receiving: set[str] = set()  # associations in the middle of an instance
        self._deadlines: list[tuple[float, str]] = []
        self._changed = anyio.Event()

    @property
    def open_studies(self) -> int:
        """How many revisions are open."""
        return len(self._open)

    def restore(self, revisions: Iterable[OpenRevision]) -> None:
        """Take over the open revisions of a former run; their quiet time starts anew."""
        for revision in revisions:
            study_uid = revision.key.study_instance_uid
            self._open[study_uid] = _Open(revision.key, self._clock.monotonic())
            self._schedule(study_uid)

    def associated(self, association_id: str) -> None:
        """An association may bring instances from now on."""
        self._studies_of[association_id] = set()

    def receiving(self, association_id: str) -> None:
        """An instance begins to arrive: no study of this association can be complete."""
        self._receiving.add(association_id)

    def received(self, association_id: str) -> None:
        """The instance has arrived whole, or was given up."""
        self._receiving.discard(association_id)
        for study_uid in self._studies_of.get(association_id, ()):
            self._schedule(study_uid)

    def acknowledged(self, study_instance_uid: str, association_id: str) -> None:
        """A durable instance of this study is being acknowledged; the recorder will follow."""
        entry = self._open.get(study_instance_uid)
        if entry is None:
            entry = self._open[study_instance_uid] = _Open(None, 0.0)
        entry.last_arrival = self._clock.monotonic()
        entry.unrecorded += 1
        studies = self._studies_of.get(association_id)
        if studies is not None:
            entry.associations.add(association_id)
            studies.add(study_instance_uid)

    def recorded(self, instance: Instance, key: RevisionKey | None) -> None:
        """The ledger holds the instance; ``key`` names the revision that it joined."""
        study_uid = instance.identity.study_instance_uid
        entry = self._open.get(study_uid)
        if entry is None or key is None:
            return
        entry.key = key
        entry.unrecorded = max(0, entry.unrecorded - 1)
        self._schedule(study_uid)

    def disassociated(self, association_id: str) -> None:
        """The association is over, in whatever way."""
        self._receiving.discard(association_id)
        now = self._clock.monotonic()
        for study_uid in self._studies_of.pop(association_id, ()):
            entry = self._open.get(study_uid)
            if entry is not None:
                entry.associations.discard(association_id)
                entry.last_release = now
                self._schedule(study_uid)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Close revisions as they fall due, until cancelled."""
        task_status.started()
        while True:
            await self._wait_for_a_deadline()
            for study_uid in self._take_due():
                await self._complete(study_uid)

    async def _wait_for_a_deadline(self) -> None:
        self._changed = anyio.Event()
        if not self._deadlines:
            await self._changed.wait()
            return
        delay = self._deadlines[0][0] - self._clock.monotonic()
        if delay > 0:
            await self._sleep_unless_changed(delay)

    async def _sleep_unless_changed(self, delay_s: float) -> None:
        async with anyio.create_task_group() as tasks:

            async def wake_on_change() -> None:
                await self._changed.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wake_on_change)
            await self._clock.sleep(delay_s)
            tasks.cancel_scope.cancel()

    def _take_due(self) -> list[str]:
        now = self._clock.monotonic()
        ready = []
        while self._deadlines and self._deadlines[0][0] <= now:
            at, study_uid = heapq.heappop(self._deadlines)
            entry = self._open.get(study_uid)
            if entry is None or entry.scheduled_for != at:
                continue
            entry.scheduled_for = None
            verdict = due(self._policy, self._arrivals(entry))
            if verdict.at is not None and verdict.at <= now:
                ready.append(study_uid)
            else:
                self._schedule(study_uid)
        return ready

    async def _complete(self, study_uid: str) -> None:
        entry = self._open[study_uid]
        closing = entry.key
        if closing is None or entry.unrecorded:
            return
        completed_by = due(self._policy, self._arrivals(entry)).why
        try:
            await self._close(closing, completed_by)
        except RouterError as error:
            log.error(
                "the study could not be routed; it will be tried again",
                study_instance_uid=study_uid,
                error=str(error),
            )
            entry.last_arrival = self._clock.monotonic() + RETRY_AFTER_S
            self._schedule(study_uid)
            return
        self._forget_unless_more_arrived(study_uid, entry, closing)

    def _forget_unless_more_arrived(
        self, study_uid: str, entry: _Open, closed: RevisionKey
    ) -> None:
        if entry.key != closed:  # what arrived meanwhile has opened the next revision,
            self._schedule(study_uid)
            return
        if entry.unrecorded:  # or is about to
            entry.key = None
            return
        del self._open[study_uid]
        for association_id in entry.associations:
            self._studies_of[association_id].discard(study_uid)

    def _arrivals(self, entry: _Open) -> Arrivals:
        return Arrivals(
            last_arrival=entry.last_arrival,
            last_release=entry.last_release,
            open_associations=len(entry.associations),
            in_flight=len(entry.associations & self._receiving),
            unrecorded=entry.unrecorded,
        )

    def _schedule(self, study_uid: str) -> None:
        """Note when the study has to be looked at next, if that is sooner than already noted."""
        entry = self._open.get(study_uid)
        if entry is None or entry.key is None:
            return
        at = due(self._policy, self._arrivals(entry)).at
        if at is None or (entry.scheduled_for is not None and entry.scheduled_for <= at):
            return
        entry.scheduled_for = at
        heapq.heappush(self._deadlines, (at, study_uid))
        self._changed.set()
