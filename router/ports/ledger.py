"""The database as the services use it, a protocol for what each of them needs of it.

Each method is one transaction; no session or cursor leaks out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from router.domain.candidate import Registration
from router.domain.delivery import Delivery, DeliveryItem, DeliveryState, ItemResult
from router.domain.determination import Decision
from router.domain.instance import Instance, Refusal, SpoolRef
from router.domain.study import OpenRevision, RevisionKey


class ArrivalLedger(Protocol):
    """What has arrived: ingress writes it, recovery asks how far it is."""

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


class RevisionLedger(Protocol):
    """Revisions from their first instance until they are routed."""

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


class DeliveryLedger(Protocol):
    """Deliveries and their attempts."""

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


class RetentionLedger(Protocol):
    """Which bytes and records may go."""

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

    async def forget_commitments(self, before: datetime, limit: int) -> int:
        """Remove the records of storage commitment transactions that were over before then.

        ``limit`` at most, with all that they list; how many there were.
        """
        ...

    async def reclaimed(self, instance_ids: Sequence[int], at: datetime) -> None:
        """The bytes of these instances have left the spool."""
        ...


class RegistrationLedger(Protocol):
    """The candidates that registered themselves."""

    async def save_registration(self, registration: Registration) -> None:
        """Insert or replace by AE title."""
        ...

    async def remove_registration(self, ae_title: str) -> bool:
        """Forget a registration; whether there was one."""
        ...

    async def registrations(self) -> Sequence[Registration]:
        """All registrations."""
        ...


class Ledger(
    ArrivalLedger, RevisionLedger, DeliveryLedger, RetentionLedger, RegistrationLedger, Protocol
):
    """The whole of it, as it is opened and handed out."""
