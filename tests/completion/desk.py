"""A completion service, the ledger as far as it sees it, and senders whose steps a test takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
from anyio.lowlevel import checkpoint

from router.completion.knowledge import StudyFacts
from router.completion.service import CompletionService
from router.domain.completion import CompletionPolicy, Due, OnMaxWait
from router.domain.completion_rules import CompletionRule, CompletionRules
from router.domain.errors import RouterError
from router.domain.instance import Facts, Identity, Instance, Provenance, SpoolRef
from router.domain.study import RevisionKey
from tests.clock import ManualClock

POLICY = CompletionPolicy(quiet_after=timedelta(seconds=5), stable_after=timedelta(seconds=60))
STUDY = "1.2.3"


def instance(study_uid: str, calling: str = "CT1", facts: Facts | None = None) -> Instance:
    """Some instance of a study."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Instance(
        Identity("1.2", "1.2.3.1.1", study_uid, "1.2.3.1", "1.2.840.10008.1.2.1"),
        Provenance(calling, "ROUTER", "10.0.0.7", "a", at),
        facts or {},
        SpoolRef("s", 0, 128, 128, 0, 0),
        "0" * 16,
    )


class Books:
    """What the ledger does with revisions: an instance joins the open one, or opens the next."""

    def __init__(self) -> None:
        self.members: dict[RevisionKey, int] = {}
        self.closed: list[tuple[RevisionKey, str]] = []
        self.held: list[RevisionKey] = []
        self.discarded: list[RevisionKey] = []
        self.facts: dict[str, list[Facts]] = defaultdict(list)
        self.reads = 0
        self.failures: list[RouterError] = []
        self.gate = anyio.Event()  # closing waits for it
        self.gate.set()
        self._numbers: dict[str, int] = defaultdict(lambda: 1)

    async def values(
        self, study_uid: str, names: Collection[str], after: int
    ) -> tuple[Mapping[str, Collection[str]], int]:
        """What the service is given to read the values of a study with."""
        self.reads += 1
        if self.failures:
            raise self.failures.pop(0)
        new = self.facts[study_uid][after:]
        found = {name: {one for facts in new for one in facts.get(name, ())} for name in names}
        return found, after + len(new)

    def record(self, study_uid: str, facts: Facts | None = None) -> RevisionKey:
        """An instance joins a revision."""
        self.facts[study_uid].append(facts or {})
        number = self._numbers[study_uid]
        key = RevisionKey(hash((study_uid, number)), study_uid, number)
        self.members[key] = self.members.get(key, 0) + 1
        return key

    async def close(self, key: RevisionKey, verdict: Due) -> None:
        """What the service is given to close a revision with."""
        if self.failures:
            raise self.failures.pop(0)
        if verdict.as_told is OnMaxWait.HOLD:  # it grows on
            self.held.append(key)
            return
        self._numbers[key.study_instance_uid] = key.number + 1
        if verdict.as_told is OnMaxWait.DISCARD:
            self.discarded.append(key)
        else:
            self.closed.append((key, verdict.why))
        await self.gate.wait()

    @property
    def sizes(self) -> list[int]:
        """How many instances each closed revision had when it was closed for good."""
        return [self.members[key] for key, _ in self.closed]

    @property
    def reasons(self) -> list[str]:
        """What completed each closed revision."""
        return [why for _, why in self.closed]


class Source:
    """The PACS that studies come from; it says how many instances are missing here."""

    def __init__(self, clock: ManualClock):
        self.calling_ae_title = ""  # of whom it is; empty: there is none
        self.missing_there: list[int | None] = []  # its answers; the last one stands
        self.asked_at: list[float] = []
        self.gate = anyio.Event()  # answers wait for it
        self.gate.set()
        self._clock = clock

    def knows(self, calling_ae_titles: Collection[str]) -> bool:
        """Whether it is theirs."""
        return self.calling_ae_title in calling_ae_titles

    async def missing(self, study_uid: str, calling_ae_titles: Collection[str]) -> int | None:
        """What it answers."""
        self.asked_at.append(self._clock.monotonic())
        await self.gate.wait()
        return self.missing_there.pop(0) if len(self.missing_there) > 1 else self.missing_there[0]


class Desk:
    """The service at work, with a clock that stands still unless a test lets it run."""

    def __init__(self, rules: CompletionRules):
        self.clock = ManualClock()
        self.books = Books()
        self.source = Source(self.clock)
        self.service = CompletionService(
            rules,
            self.clock,
            self.books.close,
            StudyFacts(self.books.values, rules.attributes),
            self.source,
        )
        self._unrecorded: list[str] = []

    async def wait(self, seconds: float) -> None:
        """Let time pass, in steps, as it does."""
        until = self.clock.monotonic() + seconds
        while (now := self.clock.monotonic()) < until:
            self.clock.advance(min(0.5, until - now))
            await self.rest()

    async def rest(self) -> None:
        """Let the service do what it can do now."""
        for _ in range(10):
            await checkpoint()

    def begin(self, association: str, study_uid: str | None = STUDY) -> None:
        """An instance begins to arrive; None: of a study that nobody knows yet."""
        self.service.receiving(association)
        if study_uid is not None:
            self.service.recognised(study_uid, association)

    def acknowledge(self, association: str, study_uid: str = STUDY) -> None:
        """The instance in flight is durable and answered; it is not recorded yet."""
        self.service.acknowledged(study_uid, association)
        self._unrecorded.append(study_uid)
        self.service.answered(association)

    def record(self, calling: str = "CT1", facts: Facts | None = None) -> None:
        """The recorder has caught up."""
        arrived, self._unrecorded = self._unrecorded, []
        for study_uid in arrived:
            key = self.books.record(study_uid, facts)
            self.service.recorded([(instance(study_uid, calling, facts), key)])

    async def bring(
        self,
        association: str,
        study_uid: str = STUDY,
        calling: str = "CT1",
        facts: Facts | None = None,
    ) -> None:
        """A whole instance arrives and is recorded."""
        self.begin(association, study_uid)
        self.acknowledge(association, study_uid)
        self.record(calling, facts)
        await self.rest()

    async def send(
        self,
        association: str,
        study_uid: str = STUDY,
        count: int = 1,
        calling: str = "CT1",
        facts: Facts | None = None,
    ) -> None:
        """A whole association: some instances of a study, and its release."""
        self.service.associated(association)
        for _ in range(count):
            await self.bring(association, study_uid, calling, facts)
        self.service.disassociated(association, released=True)


@asynccontextmanager
async def a_desk(
    policy: CompletionPolicy = POLICY, rules: Sequence[CompletionRule] = ()
) -> AsyncIterator[Desk]:
    """A desk whose service runs."""
    desk = Desk(CompletionRules(policy, tuple(rules)))
    async with anyio.create_task_group() as tasks:
        await tasks.start(desk.service.run)
        yield desk
        tasks.cancel_scope.cancel()
