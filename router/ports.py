"""What the services need from the outside, as small protocols.

Adapters implement them (``spool``, ``ledger``, ``net``, ``delivery.destinations``); services and
tests know nothing else. Each method's docstring is its contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from router.domain.candidate import Candidate, Registration
from router.domain.commitment import (
    CommitmentReport,
    CommitmentRequest,
    Holding,
    Reference,
    Requester,
    Transaction,
    TransactionState,
)
from router.domain.delivery import Delivery, DeliveryItem, DeliveryState, ItemResult, Outcome
from router.domain.determination import Decision
from router.domain.errors import RouterError
from router.domain.instance import (
    Disposition,
    Facts,
    Identity,
    Instance,
    Provenance,
    Refusal,
    SpoolRef,
)
from router.domain.study import OpenRevision, RevisionKey, RevisionState
from router.domain.views import (
    Counts,
    DeliveryDetail,
    Page,
    QuarantineEntry,
    RefusalEntry,
    StudyDetail,
    StudySummary,
)

Sealed = Callable[[Instance | RouterError], None]
"""Called on the event loop once, with the durable instance or with what went wrong."""


class SpoolWriter(Protocol):
    """One record being written. It owns its place in the spool until ``seal`` or ``discard``."""

    @property
    def data_set_bytes(self) -> int:
        """Bytes of data set written so far."""
        ...

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append to the data set, without keeping the views; runs on the event loop.

        Raises ``SpoolFull`` or ``SpoolFailed``; after that only ``discard`` may follow.
        """
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the data set written so far (for worker threads)."""
        ...

    def seal(
        self,
        identity: Identity,
        provenance: Provenance,
        facts: Facts,
        disposition: Disposition,
        reason: str,
        sealed: Sealed,
    ) -> None:
        """Make the record durable off the event loop, then call ``sealed`` on it.

        When ``sealed`` gets an ``Instance``, every byte and all that is needed to recover the
        instance without the ledger is on stable storage.
        """
        ...

    def discard(self) -> None:
        """Give the place back; nothing of the record remains."""
        ...


class SpoolReader(Protocol):
    """Reads the data set of one record."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes read at ``offset`` of the data set if memory holds them; None if a disk must."""
        ...

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """Bytes read at ``offset`` of the data set; raises ``SpoolFailed`` on a disk error."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at ``offset`` of the data set; blocks, so for worker threads only."""
        ...

    def close(self) -> None:
        """Release the segment."""
        ...


class Spool(Protocol):
    """Where instance bytes live between acknowledgement and settlement."""

    def create(self, header: bytes) -> SpoolWriter:
        """Begin a record with its Part 10 header (preamble, prefix, File Meta group).

        Raises ``SpoolFull`` above the high-water mark.
        """
        ...

    def open(self, ref: SpoolRef) -> SpoolReader:
        """A reader of one record's data set. Raises ``SpoolFailed`` if its segment is gone."""
        ...

    async def reclaim(self, refs: Sequence[SpoolRef]) -> None:
        """Free the bytes of these records; idempotent."""
        ...

    def scan(self, recorded_through: Mapping[str, int]) -> AsyncIterator[Instance]:
        """Every intact record past these offsets (segment to offset), for recovery.

        Segments that are not named are read from their start. Bytes are verified against their
        checksum; a torn record ends its segment.
        """
        ...


class Ledger(Protocol):
    """The database. Each method is one transaction; no session or cursor leaks out."""

    async def record(
        self, arrivals: Sequence[Instance | Refusal], *, in_order: bool = True
    ) -> Sequence[RevisionKey | None]:
        """Write arrivals; for each, the open revision it joined (None for a refusal).

        An accepted instance joins the open revision of its study, or opens the next one; one that
        repeats what the spool holds joins none. ``in_order``: they arrived in this order, after
        everything that is in the ledger.
        Recording the same spool record twice changes nothing (recovery may repeat itself).
        """
        ...

    async def recorded_through(self) -> Mapping[str, int]:
        """For each segment, the end offset up to which every record is in the ledger."""
        ...

    async def open_revisions(self) -> Sequence[OpenRevision]:
        """All revisions that can still grow, open and held ones, for start-up."""
        ...

    async def study_values(
        self, study_instance_uid: str, names: Collection[str], after: int
    ) -> tuple[Mapping[str, Collection[str]], int]:
        """Values of these attributes in accepted instances of a study, and the last ledger id.

        Of those past the ledger id ``after``, in all revisions but discarded ones, as they were
        read on arrival.
        """
        ...

    async def arrived_instances(self, study_instance_uid: str) -> int:
        """How many instances of a study have come, each SOP Instance UID once.

        In quarantine or discarded by a filter, too, for their source has them; but not what was
        discarded with its revision, which would have to come again, and not what was refused.
        """
        ...

    async def unrouted_revisions(self) -> Sequence[RevisionKey]:
        """All complete revisions without a decision that chose anyone, for start-up and later."""
        ...

    async def instances(self, revision_id: int) -> Sequence[tuple[int, Instance]]:
        """Accepted instances of a revision, with their ledger ids, in order of arrival."""
        ...

    async def complete(self, revision: RevisionKey, at: datetime, completed_by: str) -> None:
        """Close an open or held revision: it grows no more, and is unrouted until it is routed."""
        ...

    async def hold(self, revision: RevisionKey, reason: str) -> None:
        """Set an open revision aside: it may grow, and waits until it is completed."""
        ...

    async def discard(self, revision: RevisionKey, at: datetime, reason: str) -> None:
        """Give an open revision up: nobody gets it, its bytes may be reclaimed, its record stays.

        Its instances count as never having come: the same bytes again are new.
        """
        ...

    async def route(
        self, revision: RevisionKey, at: datetime, decision: Decision
    ) -> Sequence[Delivery]:
        """Keep the decision about an unrouted revision, and create its deliveries.

        One transaction: state, decision, one delivery per chosen candidate and one item per
        instance it shall get. Without any choice the revision becomes unrouted.
        """
        ...

    async def unfinished_deliveries(self) -> Sequence[Delivery]:
        """All deliveries that are not terminal, for start-up; active ones become pending."""
        ...

    async def pending_items(
        self, delivery_id: int, limit: int, *, after: int = 0
    ) -> Sequence[DeliveryItem]:
        """Items of a delivery that are still to be sent, in order of arrival.

        At most ``limit``, past the item whose ``instance_id`` is ``after``. Each says whether it
        took another candidate down.
        """
        ...

    async def begin_attempt(
        self, delivery_id: int, at: datetime, state: DeliveryState = DeliveryState.ACTIVE
    ) -> None:
        """Count an attempt before anything is sent; the delivery becomes active, or committing."""
        ...

    async def stored_items(self, delivery_id: int) -> Sequence[DeliveryItem]:
        """The instances of a delivery that its candidate has stored, in order of arrival."""
        ...

    async def record_uncommitted(self, delivery_id: int, results: Sequence[ItemResult]) -> Delivery:
        """Keep that a candidate has lost what it had stored; the delivery with its new counts.

        These instances are pending again, or refused.
        """
        ...

    async def record_results(self, delivery_id: int, results: Sequence[ItemResult]) -> Delivery:
        """Keep what a candidate answered; the delivery with its new counts."""
        ...

    async def end_attempt(
        self,
        delivery_id: int,
        state: DeliveryState,
        at: datetime,
        next_attempt_at: datetime | None,
        reason: str,
    ) -> RevisionKey | None:
        """Store the delivery's new state; the revision's key if this settled the revision."""
        ...

    async def reclaimable(
        self, settled_before: datetime, limit: int
    ) -> Sequence[tuple[int, SpoolRef]]:
        """Instances of revisions settled or discarded before then, with bytes in the spool."""
        ...

    async def held_for_nobody(
        self, quarantined_before: datetime, limit: int
    ) -> Sequence[tuple[int, SpoolRef]]:
        """Instances that are not to be delivered and whose bytes are still in the spool.

        Those that repeat others, and those in quarantine that were received before then.
        """
        ...

    async def forget_refusals(self, before: datetime, limit: int) -> int:
        """Remove the records of refusals before then, ``limit`` at most; how many there were."""
        ...

    async def reclaimed(self, instance_ids: Sequence[int], at: datetime) -> None:
        """The bytes of these instances have left the spool."""
        ...

    async def save_registration(self, registration: Registration) -> None:
        """Insert or replace by AE title."""
        ...

    async def remove_registration(self, ae_title: str) -> bool:
        """Forget a registration; whether there was one."""
        ...

    async def registrations(self) -> Sequence[Registration]:
        """All registrations."""
        ...


class DestinationSession(Protocol):
    """An open way to a candidate (for DIMSE: one association)."""

    def carries(self, item: DeliveryItem) -> bool:
        """Whether this session was opened for the item's SOP class and transfer syntax."""
        ...

    async def send(self, item: DeliveryItem) -> Outcome:
        """Send one instance and wait for the answer.

        Raises ``AssociationLost`` when the session is gone: the outcome of this item is unknown.
        """
        ...


class Destination(Protocol):
    """How to reach candidates of one kind: an ``InstanceDestination`` or ``RevisionDestination``.

    What has changed on disk since it arrived never leaves the router whole.
    """

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Ask the candidate whether what it stored of a delivery is safe, and wait for its report.

        Raises a ``RouterError`` when it cannot be asked, and ``PeerTimeout`` when no report comes.
        """
        ...

    async def probe(self, candidate: Candidate) -> None:
        """Ask whether the candidate is there (C-ECHO, or a GET); raises a ``RouterError`` if not.

        ``ContextNotAccepted``: it is there, but cannot be asked.
        """
        ...


@runtime_checkable
class InstanceDestination(Destination, Protocol):
    """Candidates that take one instance after the other."""

    def open(
        self, candidate: Candidate, items: Sequence[DeliveryItem]
    ) -> AbstractAsyncContextManager[DestinationSession]:
        """Open a session fit for these items; raises ``AssociationRejected`` or ``…Lost``."""
        ...


@runtime_checkable
class RevisionDestination(Destination, Protocol):
    """Candidates that take all instances of a delivery in one transfer."""

    @property
    def is_divisible(self) -> bool:
        """Whether instances may also be transferred by themselves, when one is suspected.

        If not, a transfer is all or nothing.
        """
        ...

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """Send these instances; the outcome of each, in their order.

        Raises ``CandidateUnavailable`` when none of them is at fault, and ``AssociationLost`` when
        any may be: then their outcome is unknown.
        """
        ...


class Clock(Protocol):
    """Time as the services see it; a test may own it."""

    def now(self) -> datetime:
        """Wall time in UTC, aware: only recorded, never waited on."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back: drives every time-out."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class LedgerViews(Protocol):
    """The ledger as people look at it. Each method reads one consistent state, changes nothing.

    Lists come newest first, at most ``limit`` entries, past the cursor ``after``.
    """

    async def studies(
        self,
        *,
        limit: int = 100,
        after: int | None = None,
        state: RevisionState | None = None,
        patient_id: str | None = None,
    ) -> Page[StudySummary]:
        """Studies, optionally of one patient, or with any revision in a state."""
        ...

    async def study(self, study_instance_uid: str) -> StudyDetail:
        """All about one study; raises ``UnknownStudy``."""
        ...

    async def deliveries(
        self,
        *,
        limit: int = 100,
        after: int | None = None,
        state: DeliveryState | None = None,
        ae_title: str | None = None,
    ) -> Page[Delivery]:
        """Deliveries, optionally in one state, or to one candidate."""
        ...

    async def delivery(self, delivery_id: int) -> DeliveryDetail:
        """All about one delivery; raises ``UnknownDelivery`` if there is none."""
        ...

    async def refusals(
        self,
        *,
        limit: int = 100,
        after: int | None = None,
        disposition: Disposition | None = None,
    ) -> Page[RefusalEntry]:
        """Discarded and refused instances, with the reasons."""
        ...

    async def quarantine(
        self, *, limit: int = 100, after: int | None = None
    ) -> Page[QuarantineEntry]:
        """Instances in quarantine, with the reasons."""
        ...

    async def counts(self) -> Counts:
        """How much of everything there is."""
        ...


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a person's decision changed."""

    dismissed: tuple[Delivery, ...] = ()
    """Deliveries that are not to be made any more."""
    wanted: tuple[Delivery, ...] = ()
    """Deliveries that are to be made now: new ones, and one that is revived."""
    settled: RevisionKey | None = None
    """The revision that this settled, if it did."""


class InterventionLedger(Protocol):
    """The ledger as people change it. Each method is one transaction.

    What a person asks for is required from then on: the bytes stay until it is delivered, or
    dismissed. All raise ``UnknownDelivery`` or ``UnknownStudy``, and ``StateConflict`` where a
    delivery is under way or over, or the bytes have left the spool.
    """

    async def revive(self, delivery_id: int, at: datetime) -> Intervention:
        """Make a dead or waiting delivery pending again, and what its candidate refused, too."""
        ...

    async def dismiss(self, delivery_id: int, at: datetime, reason: str) -> Intervention:
        """End a delivery that is not under way; its revision depends on it no more."""
        ...

    async def redirect(self, delivery_id: int, ae_title: str, at: datetime) -> Intervention:
        """Give what a delivery holds to another candidate instead; the old one is dismissed."""
        ...

    async def resend(
        self, study_instance_uid: str, ae_titles: Sequence[str] | None, at: datetime
    ) -> Intervention:
        """Create deliveries of everything that is retained of a study.

        To these candidates, or to all that the study was given to. Who has a delivery of a
        revision before it gets the same instances; a dead one is dismissed for the new one, and
        one that is to be made anyway stays as it is.
        """
        ...


class CommitmentLedger(Protocol):
    """The ledger as storage commitment uses it. Each method is one transaction."""

    async def begin_commitment(
        self, request: CommitmentRequest, requester: Requester, at: datetime
    ) -> Transaction | None:
        """Keep a request. One that is repeated is open again, and reported (again).

        None if the requester has used its transaction UID for other instances before.
        """
        ...

    async def open_commitments(self) -> Sequence[Transaction]:
        """All transactions that have not been reported, oldest first."""
        ...

    async def references(self, transaction_id: int) -> Sequence[Reference]:
        """The instances that a transaction lists, in its order."""
        ...

    async def holdings(self, sop_instance_uids: Collection[str]) -> Mapping[str, Holding]:
        """What is known of these instances, by SOP Instance UID; unknown ones are left out."""
        ...

    async def open_revisions_listed_whole(self, transaction_id: int) -> Sequence[RevisionKey]:
        """Open revisions all of whose instances a transaction lists."""
        ...

    async def postpone_report(
        self, transaction_id: int, next_attempt_at: datetime, reason: str
    ) -> None:
        """The report was not taken: count the attempt, and when the next one is due."""
        ...

    async def end_commitment(
        self,
        transaction_id: int,
        state: TransactionState,
        at: datetime,
        results: Sequence[int],
        reason: str,
    ) -> None:
        """The transaction is over; ``results`` are what was said of each instance, in order."""
        ...
