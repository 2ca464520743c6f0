"""Candidates that a test owns: what they do with each instance is exact, and is written down."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.lowlevel import checkpoint

from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport, Reference
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import AssociationLost, AssociationRejected, PeerTimeout

STORED = Outcome(OutcomeKind.STORED, 0x0000, "")
BUSY = Outcome(OutcomeKind.TEMPORARY, 0xA700, "out of resources")
UNREADABLE = Outcome(OutcomeKind.TEMPORARY, None, "disk error")
CORRUPT = Outcome(OutcomeKind.PERMANENT, None, "checksum")
REFUSED = Outcome(OutcomeKind.PERMANENT, 0xC000, "cannot understand")
CRASH = AssociationLost("the peer aborted")
SILENCE = PeerTimeout("no answer within 120 s")


@dataclass(frozen=True)
class Ended:
    """An outcome with which the session ended, as it does when the spool fails in mid-object."""

    outcome: Outcome


def ended(outcome: Outcome) -> Ended:
    """End the session with this outcome."""
    return Ended(outcome)


Reaction = Outcome | Ended | Exception
"""What a writer does when it gets an instance; an exception ends the association."""


def number_of(item: DeliveryItem) -> int:
    """The number that the instance has in its study."""
    return int(item.sop_instance_uid.rpartition(".")[2])


@dataclass
class Sent:
    """One instance on its way, as the writer saw it."""

    study: str
    number: int
    association: int
    beside: int  # instances that were in flight then


@dataclass
class Writer:
    """One candidate. It stores what it is not told to treat otherwise."""

    is_up: bool = True
    associations_at_most: int = 100
    tried: int = 0  # associations that were asked for
    opened: int = 0
    hosts: list[str] = field(default_factory=list)  # where it was looked for
    probed: int = 0
    probe_error: Exception | None = None
    open_now: int = 0
    in_flight: int = 0
    sent: list[Sent] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    open_error: Exception | None = None
    asked: list[list[str]] = field(default_factory=list)  # for storage commitment
    lost: deque[Mapping[str, int] | Exception] = field(default_factory=deque)
    """What is said the next times that it is asked: reasons by SOP Instance UID; then nothing."""
    meanings: dict[int, str] = field(default_factory=dict)  # of those reasons, where it has words
    report: anyio.Event | None = None  # it reports only when it is set
    hold: anyio.Event | None = None  # instances are answered only when it is set
    _always: dict[str, Reaction] = field(default_factory=dict)
    _next: dict[str, deque[Reaction]] = field(default_factory=lambda: defaultdict(deque))
    _news: anyio.Event = field(default_factory=anyio.Event)

    def reacts(self, name: str, *reactions: Reaction, always: Reaction | None = None) -> None:
        """React so the next times that this instance comes; then always like that."""
        self._next[name].extend(reactions)
        if always is not None:
            self._always[name] = always

    @property
    def numbers(self) -> list[int]:
        """The numbers of what was sent, in order."""
        return [sent.number for sent in self.sent]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what the writer shall have seen; fails after five real seconds."""
        with anyio.fail_after(5):
            while not is_so():
                await self._news.wait()

    def tell(self) -> None:
        """Something has happened."""
        self._news.set()
        self._news = anyio.Event()

    async def take(self, item: DeliveryItem, association: int) -> Outcome | Ended:
        """Answer for one instance."""
        name = item.sop_instance_uid
        study = name.rsplit(".", 2)[0]
        self.sent.append(Sent(study, number_of(item), association, self.in_flight))
        self.in_flight += 1
        self.tell()
        try:
            await checkpoint()
            if self.hold is not None:
                await self.hold.wait()
            waiting = self._next[name]
            reaction = waiting.popleft() if waiting else self._always.get(name, STORED)
            if isinstance(reaction, Exception):
                raise reaction
            if reaction == STORED:
                self.stored.append(name)
            return reaction
        finally:
            self.in_flight -= 1
            self.tell()

    async def commit(self, references: Sequence[Reference]) -> CommitmentReport:
        """Report on instances."""
        self.asked.append([reference.sop_instance_uid for reference in references])
        self.tell()
        await checkpoint()
        if self.report is not None:
            await self.report.wait()
        lost = self.lost.popleft() if self.lost else {}
        if isinstance(lost, Exception):
            raise lost
        return CommitmentReport(
            "2.25.1",
            tuple(one for one in references if one.sop_instance_uid not in lost),
            tuple(
                (one, lost[one.sop_instance_uid])
                for one in references
                if one.sop_instance_uid in lost
            ),
            self.meanings,
        )


@dataclass
class Session:
    """Implements ``ports.DestinationSession``."""

    writer: Writer
    number: int
    sop_classes: frozenset[str]
    is_open: bool = True

    def carries(self, item: DeliveryItem) -> bool:
        return self.is_open and item.sop_class_uid in self.sop_classes

    async def send(self, item: DeliveryItem) -> Outcome:
        answer = await self.writer.take(item, self.number)
        if isinstance(answer, Ended):
            self.is_open = False
            return answer.outcome
        return answer


@dataclass
class Writers:
    """Implements ``ports.Destination``: writers by AE title."""

    by_ae_title: dict[str, Writer] = field(default_factory=dict)

    def __getitem__(self, ae_title: str) -> Writer:
        return self.by_ae_title.setdefault(ae_title, Writer())

    @asynccontextmanager
    async def open(
        self, candidate: Candidate, items: Sequence[DeliveryItem]
    ) -> AsyncIterator[Session]:
        writer = self[candidate.ae_title]
        writer.tried += 1
        writer.hosts.append(candidate.host)
        writer.tell()
        await checkpoint()
        if writer.open_error is not None:
            raise writer.open_error
        if not writer.is_up:
            raise AssociationLost(f"{candidate.ae_title}: connection refused")
        if writer.open_now >= writer.associations_at_most:
            raise AssociationRejected(f"{candidate.ae_title}: local limit exceeded")
        writer.opened += 1
        writer.open_now += 1
        writer.tell()
        try:
            yield Session(writer, writer.opened, frozenset(item.sop_class_uid for item in items))
        finally:
            writer.open_now -= 1
            writer.tell()

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        references = tuple(dict.fromkeys(map(Reference.to, items)))
        return await self[candidate.ae_title].commit(references)

    async def probe(self, candidate: Candidate) -> None:
        writer = self[candidate.ae_title]
        writer.probed += 1
        writer.tell()
        await checkpoint()
        if writer.probe_error is not None:
            raise writer.probe_error
        if not writer.is_up:
            raise AssociationLost(f"{candidate.ae_title}: connection refused")


def uid(number: int, study: str = "1.2.3") -> str:
    """SOP Instance UID of one instance, as the builders make it."""
    return f"{study}.1.{number}"


def uids(numbers: Iterable[int], study: str = "1.2.3") -> list[str]:
    """SOP Instance UIDs of several instances of a study."""
    return [uid(number, study) for number in numbers]
