"""Watches open revisions and closes each when its completion policy says so.

What is known of an open revision lives in memory as :class:`Arrivals` values and is rebuilt from
the ledger at start-up. The policy is pure (:mod:`router.domain.completion`); this service keeps the
facts, waits for the earliest deadline, closes the revision, and hands it over to be determined.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from router.completion.agenda import Agenda
from router.completion.knowledge import StudyFacts
from router.domain.completion import Arrivals, CompletionPolicy, Count, Due, OnMaxWait, due
from router.domain.completion_rules import SERIES_DESCRIPTION, CompletionRules
from router.domain.counting import CountTaken, ask_at, worth
from router.domain.errors import RouterError, StateConflict
from router.domain.instance import Disposition, Facts
from router.domain.study import Joined, OpenRevision, RevisionKey
from router.ports import Clock

Close = Callable[[RevisionKey, Due], Awaitable[None]]
"""Carries out what the policy says about a revision that has fallen due."""

RETRY_AFTER_S = 5.0
QUESTIONS_AT_ONCE = 8

log = structlog.get_logger(__name__)


class Counter(Protocol):
    """Who can ask the sources of studies how many instances they have."""

    def knows(self, calling_ae_titles: Collection[str]) -> bool:
        """Whether there is anybody to ask about what these have sent."""
        ...

    async def missing(
        self, study_instance_uid: str, calling_ae_titles: Collection[str]
    ) -> int | None:
        """How many more there are than have arrived; None: nobody says. Never raises."""
        ...


@dataclass(slots=True)
class _Association:
    """An association that may bring instances, or whose last one has no answer yet."""

    studies: set[str] = field(default_factory=set)  # whose open revisions it contributed to
    is_open: bool = True
    arriving_since: float | None = None  # when its instance in flight began
    arriving_study: str = ""  # whose that is, as soon as it is known


@dataclass(slots=True)
class _Open:
    """What is open of a study.

    ``key`` is unknown until the ledger has recorded the first instance of the revision.
    """

    key: RevisionKey | None
    last_arrival: float
    opened: float
    soonest: CompletionPolicy  # of those that may turn out to hold
    sources: set[str] = field(default_factory=set)
    is_counted: bool = False  # one of the sources can be asked
    is_being_asked: bool = False
    count: CountTaken | None = None
    last_release: float | None = None
    associations: set[str] = field(default_factory=set)
    unrecorded: int = 0
    closed: int = 0  # number of the last revision that was closed here
    not_before: float = 0.0
    declared: str | None = None
    is_held: bool = False


class CompletionService:
    """Keeps the open revisions; the one place that decides that a study has arrived."""

    def __init__(
        self,
        rules: CompletionRules,
        clock: Clock,
        close: Close,
        facts: StudyFacts,
        counter: Counter,
    ):
        self._rules = rules
        self._clock = clock
        self._close = close
        self._facts = facts
        self._counter = counter
        self._questions = anyio.CapacityLimiter(QUESTIONS_AT_ONCE)
        self._open: dict[str, _Open] = {}
        self._associations: dict[str, _Association] = {}
        self._arriving: Counts[str] = Counts()  # instances in flight by study, where it is known
        self._agenda: Agenda[str] = Agenda(clock)

    @property
    def open_studies(self) -> int:
        """How many studies have a revision that can still grow."""
        return len(self._open)

    def restore(self, revisions: Iterable[OpenRevision]) -> None:
        """Take over the open and held revisions of a former run.

        Their senders were cut off and may come back, so nothing counts as released, and the time
        since the last instance starts anew; that since the first one does not.
        """
        for revision in revisions:
            age = self._clock.now() - revision.opened_at
            entry = self._entry(revision.key.study_instance_uid)
            entry.key = revision.key
            entry.opened -= max(0.0, age.total_seconds())
            entry.is_held = revision.is_held
            for calling_ae_title in revision.calling_ae_titles:
                self._came_from(entry, calling_ae_title)
            self._schedule(revision.key.study_instance_uid)

    # -- called by ingress, on the event loop -----------------------------------------------------

    def associated(self, association_id: str) -> None:
        """An association may bring instances from now on."""
        self._associations[association_id] = _Association()

    def receiving(self, association_id: str) -> None:
        """An instance begins to arrive: it may belong to any study of this association."""
        association = self._associations.get(association_id)
        if association is not None:
            association.arriving_since = self._clock.monotonic()

    def recognised(self, study_instance_uid: str, association_id: str) -> None:
        """The instance in flight is of this study, and so of no other."""
        association = self._associations.get(association_id)
        if association is None or association.arriving_since is None:
            return
        self._forget_arriving_study(association)
        association.arriving_study = study_instance_uid
        self._arriving[study_instance_uid] += 1
        for study_uid in association.studies:
            self._schedule(study_uid)

    def acknowledged(self, study_instance_uid: str, association_id: str) -> None:
        """The instance in flight is durable; the recorder will follow."""
        entry = self._entry(study_instance_uid)
        entry.last_arrival = self._clock.monotonic()
        entry.unrecorded += 1
        association = self._associations.get(association_id)
        if association is None:
            return
        entry.associations.add(association_id)
        association.studies.add(study_instance_uid)
        if not association.is_open:  # it was broken off before the answer
            entry.last_release = None

    def answered(self, association_id: str) -> None:
        """Nothing more is to be expected of the instance in flight."""
        association = self._associations.get(association_id)
        if association is None:
            return
        study_uid = association.arriving_study
        self._forget_arriving_study(association)
        association.arriving_since = None
        if not association.is_open:
            self._forget_association(association_id)
        for affected in {study_uid, *association.studies}:
            self._schedule(affected)

    def recorded(self, arrivals: Sequence[Joined]) -> None:
        """The ledger holds these instances, each with the revision that it joined.

        None if it joined none: it is in quarantine, or repeats an instance that the spool holds.
        """
        grown: dict[str, _Open] = {}
        for instance, key in arrivals:
            if instance.disposition is not Disposition.ACCEPTED:
                continue  # nobody waits for it
            study_uid = instance.identity.study_instance_uid
            entry = grown[study_uid] = self._entry(study_uid)
            entry.unrecorded = max(0, entry.unrecorded - 1)
            if key is not None and key.number > entry.closed:  # else it slipped in before the close
                entry.key = key
                self._came_from(entry, instance.provenance.calling_ae_title)
        for study_uid, entry in grown.items():
            self._settle(study_uid, entry)

    def disassociated(self, association_id: str, *, released: bool) -> None:
        """The association is over. Only if it was released, its sender had sent everything."""
        association = self._associations.get(association_id)
        if association is None:
            return
        association.is_open = False
        now = self._clock.monotonic()
        for study_uid in association.studies:
            self._open[study_uid].last_release = now if released else None
        if association.arriving_since is None:
            self._forget_association(association_id)
        for study_uid in association.studies:
            self._schedule(study_uid)

    def complete_now(self, study_instance_uid: str, because: str) -> bool:
        """Somebody who knows says that the study is complete; whether anything of it is open.

        What is being received or recorded at the moment still belongs to the revision.
        """
        entry = self._open.get(study_instance_uid)
        if entry is None:
            return False
        entry.declared = because
        self._schedule(study_instance_uid)
        return True

    def complete_unless_held(self, study_instance_uid: str, because: str) -> bool:
        """Like ``complete_now``, but what is held for a person waits for that person."""
        entry = self._open.get(study_instance_uid)
        return (
            entry is not None
            and not entry.is_held
            and self.complete_now(study_instance_uid, because)
        )

    # -- its own task -----------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Close revisions as they fall due, until cancelled."""
        async with anyio.create_task_group() as tasks:
            task_status.started()
            while True:
                await self._look_at(await self._agenda.next(), tasks)

    async def _look_at(self, study_uid: str, tasks: TaskGroup) -> None:
        entry = self._open.get(study_uid)
        if entry is None or entry.key is None:
            return
        self._ask_if_it_is_time(study_uid, entry, tasks)
        soonest = due(entry.soonest, self._arrivals(study_uid, entry))
        if not self._is_over(soonest, entry):
            self._schedule(study_uid)
            return
        try:
            facts = await self._facts.of(study_uid)
        except RouterError as error:
            await self._put_off(study_uid, entry, error)
            return
        await self._decide(study_uid, entry, entry.key, facts)

    async def _decide(self, study_uid: str, entry: _Open, key: RevisionKey, facts: Facts) -> None:
        """By the policy that holds for the study, as far as it has arrived."""
        policy = self._rules.policy(entry.sources, facts)
        arrivals = self._arrivals(study_uid, entry)
        if policy.series is not None and not policy.series.have_arrived(
            facts.get(SERIES_DESCRIPTION, ())
        ):
            arrivals = replace(arrivals, series_are_there=False)
        verdict = due(policy, arrivals)
        if self._is_over(verdict, entry):
            await self._carry_out(study_uid, entry, key, verdict)
        elif verdict.at is not None:  # else what it waits for will put it on the agenda
            self._agenda.note(study_uid, max(verdict.at, entry.not_before))

    def _is_over(self, verdict: Due, entry: _Open) -> bool:
        now = self._clock.monotonic()
        return verdict.at is not None and max(verdict.at, entry.not_before) <= now

    def _ask_if_it_is_time(self, study_uid: str, entry: _Open, tasks: TaskGroup) -> None:
        at = self._ask_at(entry, self._arrivals(study_uid, entry))
        if at is not None and at <= self._clock.monotonic():
            entry.is_being_asked = True
            tasks.start_soon(self._ask, study_uid, entry)

    async def _ask(self, study_uid: str, entry: _Open) -> None:
        """Ask the sources; only timers and what arrives count until they have answered."""
        async with self._questions:
            asked_at = self._clock.monotonic()
            missing = await self._counter.missing(study_uid, frozenset(entry.sources))
        former = entry.count
        entry.is_being_asked = False
        if missing is not None and missing > 0 and (former is None or former.missing != missing):
            log.info(
                "the source has more instances",
                study_instance_uid=study_uid,
                missing=missing,
            )
        entry.count = (
            CountTaken(asked_at, missing)
            if former is None
            else former.followed_by(asked_at, missing, entry.last_arrival)
        )
        if self._open.get(study_uid) is entry:
            self._schedule(study_uid)

    async def _carry_out(
        self, study_uid: str, entry: _Open, closing: RevisionKey, verdict: Due
    ) -> None:
        began = self._clock.monotonic()
        is_held = verdict.as_told is OnMaxWait.HOLD
        try:
            await self._close(closing, verdict)
        except StateConflict as error:
            is_held = False
            log.warning(
                "the revision was closed already", study_instance_uid=study_uid, error=str(error)
            )
        except RouterError as error:
            await self._put_off(study_uid, entry, error)
            return
        entry.is_held = is_held
        if is_held:
            self._schedule(study_uid)  # it may have been declared complete meanwhile
            return
        entry.closed = closing.number
        entry.opened = began  # of what arrived meanwhile
        entry.declared = None
        self._facts.forget(study_uid)
        if entry.key == closing:  # else what arrived meanwhile has opened the next revision
            entry.key = None
            entry.sources.clear()
            entry.is_counted = False
        self._settle(study_uid, entry)

    async def _put_off(self, study_uid: str, entry: _Open, error: RouterError) -> None:
        log.error(
            "the study could not be closed; it will be tried again",
            study_instance_uid=study_uid,
            error=str(error),
        )
        entry.not_before = self._clock.monotonic() + RETRY_AFTER_S
        self._schedule(study_uid)
        await self._clock.sleep(RETRY_AFTER_S)  # the others would fare no better

    # -- what is known ----------------------------------------------------------------------------

    def _entry(self, study_uid: str) -> _Open:
        entry = self._open.get(study_uid)
        if entry is None:
            now = self._clock.monotonic()
            entry = self._open[study_uid] = _Open(None, now, now, self._rules.soonest(()))
        return entry

    def _came_from(self, entry: _Open, calling_ae_title: str) -> None:
        if calling_ae_title not in entry.sources:
            entry.sources.add(calling_ae_title)
            entry.soonest = self._rules.soonest(entry.sources)
            entry.is_counted = self._counter.knows(entry.sources)

    def _settle(self, study_uid: str, entry: _Open) -> None:
        """Forget the study if nothing is open, or is about to be; else see when to look at it."""
        if entry.key is not None or entry.unrecorded:
            self._schedule(study_uid)
            return
        del self._open[study_uid]
        self._agenda.strike(study_uid)
        self._facts.forget(study_uid)
        for association_id in entry.associations:
            self._associations[association_id].studies.discard(study_uid)

    def _forget_association(self, association_id: str) -> None:
        association = self._associations.pop(association_id)
        for study_uid in association.studies:
            self._open[study_uid].associations.discard(association_id)

    def _forget_arriving_study(self, association: _Association) -> None:
        study_uid, association.arriving_study = association.arriving_study, ""
        if study_uid:
            self._arriving[study_uid] -= 1
            if not self._arriving[study_uid]:
                del self._arriving[study_uid]

    def _arrivals(self, study_uid: str, entry: _Open) -> Arrivals:
        contributors = [self._associations[one] for one in entry.associations]
        doubtful = [
            one.arriving_since
            for one in contributors
            if one.arriving_since is not None and not one.arriving_study
        ]
        return Arrivals(
            last_arrival=entry.last_arrival,
            last_release=entry.last_release,
            open_associations=sum(one.is_open for one in contributors),
            in_flight=self._arriving[study_uid],
            doubtful_since=min(doubtful, default=None),
            unrecorded=entry.unrecorded,
            declared=entry.declared,
            opened=entry.opened,
            is_held=entry.is_held,
            count=self._count(entry),
        )

    def _schedule(self, study_uid: str) -> None:
        """Note when the study has to be looked at next."""
        entry = self._open.get(study_uid)
        if entry is None or entry.key is None:
            return
        if entry.soonest.max_wait is None and (entry.unrecorded or study_uid in self._arriving):
            return  # neither can it be complete nor take too long; it is looked at after that
        arrivals = self._arrivals(study_uid, entry)
        at = due(entry.soonest, arrivals).at
        if at is not None:
            self._agenda.note(study_uid, max(at, entry.not_before))
        at = self._ask_at(entry, arrivals)
        if at is not None:
            self._agenda.note(study_uid, at)

    def _count(self, entry: _Open) -> Count:
        if not entry.is_counted:
            return Count.SILENT
        if entry.is_being_asked:
            return Count.AWAITED
        return worth(entry.count, entry.last_arrival)

    def _ask_at(self, entry: _Open, arrivals: Arrivals) -> float | None:
        if not entry.is_counted or entry.is_being_asked:
            return None
        return ask_at(entry.soonest, arrivals, entry.count)
