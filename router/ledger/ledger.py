"""The ledger over SQL: every method of ``ports.Ledger`` as one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import structlog

from router.domain.candidate import Registration
from router.domain.commitment import (
    CommitmentRequest,
    Holding,
    Reference,
    Requester,
    Transaction,
    TransactionState,
)
from router.domain.delivery import Delivery, DeliveryItem, DeliveryState, ItemResult
from router.domain.determination import Decision
from router.domain.instance import Instance, Refusal, SpoolRef
from router.domain.repeats import OnConflict
from router.domain.study import OpenRevision, RevisionKey
from router.ledger import (
    commitments,
    completeness,
    deliveries,
    interventions,
    recording,
    registrations,
    retention,
    routing,
)
from router.ledger.database import Database
from router.ledger.repeats import Conflict
from router.ledger.views import SqlLedgerViews
from router.ports import Intervention

BUSY_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_ledger(
    url_or_path: str | Path,
    *,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    on_conflict: OnConflict = OnConflict.KEEP_LAST,
) -> AsyncIterator[SqlLedger]:
    """Open a ledger, created or migrated to the newest schema first; close it on the way out.

    ``on_conflict`` says which of two instances of one name is delivered. A transaction waits
    ``busy_timeout_s`` for another process to let go of the file. Raises ``LedgerFailed`` when the
    file is locked, damaged, out of reach or of a newer schema, and ``ConfigurationError`` when the
    URL names another kind of database.
    """
    database = await Database.open(url_or_path, busy_timeout_s)
    try:
        yield SqlLedger(database, on_conflict)
    finally:
        await database.close()


class SqlLedger:
    """Implements ``ports.Ledger``; every method raises ``LedgerFailed`` when the database does.

    Methods that change a revision or delivery which is past that change, or which the ledger does
    not hold, raise ``StateConflict`` and change nothing.
    """

    def __init__(self, database: Database, on_conflict: OnConflict = OnConflict.KEEP_LAST):
        self._database = database
        self._on_conflict = on_conflict

    @property
    def views(self) -> SqlLedgerViews:
        """The ledger as people look at it."""
        return SqlLedgerViews(self._database)

    async def record(
        self, arrivals: Sequence[Instance | Refusal], *, in_order: bool = True
    ) -> Sequence[RevisionKey | None]:
        """See ``ports.Ledger.record``.

        A quarantined instance is kept with its reason and belongs to its study, but to no
        revision: its key is None. So is the key of a duplicate, and of an instance that another of
        its name is preferred to (:mod:`router.domain.repeats`). A record that is in the ledger
        already gets the key of the revision that it belongs to. A power cut may take back what was
        recorded last, together with how far its segments were recorded: the spool still has it.
        """
        recorded = await self._database.write_behind(
            lambda c: recording.record(c, arrivals, self._on_conflict, in_order=in_order)
        )
        for conflict in recorded.conflicts:
            _warn(conflict)
        return recorded.keys

    async def recorded_through(self) -> Mapping[str, int]:
        """See ``ports.Ledger.recorded_through``."""
        return await self._database.read(recording.recorded_through)

    async def open_revisions(self) -> Sequence[OpenRevision]:
        """See ``ports.Ledger.open_revisions``."""
        return await self._database.read(recording.open_revisions)

    async def study_values(
        self, study_instance_uid: str, names: Collection[str], after: int
    ) -> tuple[Mapping[str, Collection[str]], int]:
        """See ``ports.Ledger.study_values``."""
        return await self._database.read(
            lambda c: completeness.study_values(c, study_instance_uid, names, after)
        )

    async def arrived_instances(self, study_instance_uid: str) -> int:
        """See ``ports.Ledger.arrived_instances``."""
        return await self._database.read(
            lambda c: completeness.arrived_instances(c, study_instance_uid)
        )

    async def unrouted_revisions(self) -> Sequence[RevisionKey]:
        """See ``ports.Ledger.unrouted_revisions``."""
        return await self._database.read(routing.unrouted_revisions)

    async def instances(self, revision_id: int) -> Sequence[tuple[int, Instance]]:
        """See ``ports.Ledger.instances``."""
        return await self._database.read(lambda c: routing.instances(c, revision_id))

    async def complete(self, revision: RevisionKey, at: datetime, completed_by: str) -> None:
        """See ``ports.Ledger.complete``. A revision that is unrouted already stays as it is."""
        await self._database.write(lambda c: routing.complete(c, revision, at, completed_by))

    async def hold(self, revision: RevisionKey, reason: str) -> None:
        """See ``ports.Ledger.hold``. A revision that is held already gets the new reason."""
        await self._database.write(lambda c: routing.hold(c, revision, reason))

    async def discard(self, revision: RevisionKey, at: datetime, reason: str) -> None:
        """See ``ports.Ledger.discard``."""
        await self._database.write(lambda c: routing.discard(c, revision, at, reason))

    async def route(
        self, revision: RevisionKey, at: datetime, decision: Decision
    ) -> Sequence[Delivery]:
        """See ``ports.Ledger.route``.

        A decision that says the same as the last one about its revision is not kept again.
        """
        return await self._database.write(lambda c: routing.route(c, revision, at, decision))

    async def unfinished_deliveries(self) -> Sequence[Delivery]:
        """See ``ports.Ledger.unfinished_deliveries``. Attempts that never ended say so."""
        return await self._database.write(deliveries.unfinished_deliveries)

    async def pending_items(
        self, delivery_id: int, limit: int, *, after: int = 0
    ) -> Sequence[DeliveryItem]:
        """See ``ports.Ledger.pending_items``."""
        return await self._database.read(
            lambda c: deliveries.pending_items(c, delivery_id, limit, after)
        )

    async def begin_attempt(
        self, delivery_id: int, at: datetime, state: DeliveryState = DeliveryState.ACTIVE
    ) -> None:
        """See ``ports.Ledger.begin_attempt``."""
        await self._database.write(lambda c: deliveries.begin_attempt(c, delivery_id, at, state))

    async def stored_items(self, delivery_id: int) -> Sequence[DeliveryItem]:
        """See ``ports.Ledger.stored_items``."""
        return await self._database.read(lambda c: deliveries.stored_items(c, delivery_id))

    async def record_uncommitted(self, delivery_id: int, results: Sequence[ItemResult]) -> Delivery:
        """See ``ports.Ledger.record_uncommitted``."""
        return await self._database.write(
            lambda c: deliveries.record_uncommitted(c, delivery_id, results)
        )

    async def record_results(self, delivery_id: int, results: Sequence[ItemResult]) -> Delivery:
        """See ``ports.Ledger.record_results``.

        What a candidate has stored stays stored, whatever a later answer says. A power cut may
        take results back until ``end_attempt`` has returned: those instances are sent again.
        """
        return await self._database.write_behind(
            lambda c: deliveries.record_results(c, delivery_id, results)
        )

    async def end_attempt(
        self,
        delivery_id: int,
        state: DeliveryState,
        at: datetime,
        next_attempt_at: datetime | None,
        reason: str,
    ) -> RevisionKey | None:
        """See ``ports.Ledger.end_attempt``.

        A revision settles when all its required deliveries are delivered; if none is required,
        when all are. A dead required delivery keeps it, and its bytes, until a person acts.
        """
        return await self._database.write(
            lambda c: deliveries.end_attempt(c, delivery_id, state, at, next_attempt_at, reason)
        )

    async def reclaimable(
        self, settled_before: datetime, limit: int
    ) -> Sequence[tuple[int, SpoolRef]]:
        """See ``ports.Ledger.reclaimable``.

        Calling it gives the bytes up: deliveries of these revisions that still wait for an
        attempt, which are optional ones, become dead and say why. An active one holds the bytes
        back until its attempt has ended.
        """
        return await self._database.write(lambda c: retention.reclaimable(c, settled_before, limit))

    async def held_for_nobody(
        self, quarantined_before: datetime, limit: int
    ) -> Sequence[tuple[int, SpoolRef]]:
        """See ``ports.Ledger.held_for_nobody``."""
        return await self._database.read(
            lambda c: retention.held_for_nobody(c, quarantined_before, limit)
        )

    async def forget_refusals(self, before: datetime, limit: int) -> int:
        """See ``ports.Ledger.forget_refusals``."""
        return await self._database.write_behind(
            lambda c: retention.forget_refusals(c, before, limit)
        )

    async def forget_commitments(self, before: datetime, limit: int) -> int:
        """See ``ports.RetentionLedger.forget_commitments``."""
        return await self._database.write_behind(
            lambda c: retention.forget_commitments(c, before, limit)
        )

    async def reclaimed(self, instance_ids: Sequence[int], at: datetime) -> None:
        """See ``ports.Ledger.reclaimed``. A revision without bytes left becomes reclaimed."""
        await self._database.write_behind(lambda c: retention.reclaimed(c, instance_ids, at))

    async def save_registration(self, registration: Registration) -> None:
        """See ``ports.Ledger.save_registration``."""
        await self._database.write(lambda c: registrations.save(c, registration))

    async def remove_registration(self, ae_title: str) -> bool:
        """See ``ports.Ledger.remove_registration``."""
        return await self._database.write(lambda c: registrations.remove(c, ae_title))

    async def registrations(self) -> Sequence[Registration]:
        """See ``ports.Ledger.registrations``."""
        return await self._database.read(registrations.load_all)

    async def revive(self, delivery_id: int, at: datetime) -> Intervention:
        """See ``ports.InterventionLedger.revive``."""
        return await self._database.write(lambda c: interventions.revive(c, delivery_id, at))

    async def dismiss(self, delivery_id: int, at: datetime, reason: str) -> Intervention:
        """See ``ports.InterventionLedger.dismiss``."""
        return await self._database.write(
            lambda c: interventions.dismiss(c, delivery_id, at, reason)
        )

    async def redirect(self, delivery_id: int, ae_title: str, at: datetime) -> Intervention:
        """See ``ports.InterventionLedger.redirect``."""
        return await self._database.write(
            lambda c: interventions.redirect(c, delivery_id, ae_title, at)
        )

    async def resend(
        self, study_instance_uid: str, ae_titles: Sequence[str] | None, at: datetime
    ) -> Intervention:
        """See ``ports.InterventionLedger.resend``."""
        return await self._database.write(
            lambda c: interventions.resend(c, study_instance_uid, ae_titles, at)
        )

    async def begin_commitment(
        self, request: CommitmentRequest, requester: Requester, at: datetime
    ) -> Transaction | None:
        """See ``ports.CommitmentLedger.begin_commitment``."""
        return await self._database.write(lambda c: commitments.begin(c, request, requester, at))

    async def open_commitments(self) -> Sequence[Transaction]:
        """See ``ports.CommitmentLedger.open_commitments``."""
        return await self._database.read(commitments.open_transactions)

    async def references(self, transaction_id: int) -> Sequence[Reference]:
        """See ``ports.CommitmentLedger.references``."""
        return await self._database.read(lambda c: commitments.references(c, transaction_id))

    async def holdings(self, sop_instance_uids: Collection[str]) -> Mapping[str, Holding]:
        """See ``ports.CommitmentLedger.holdings``."""
        return await self._database.read(lambda c: commitments.holdings(c, sop_instance_uids))

    async def open_revisions_listed_whole(self, transaction_id: int) -> Sequence[RevisionKey]:
        """See ``ports.CommitmentLedger.open_revisions_listed_whole``."""
        return await self._database.read(lambda c: commitments.listed_whole(c, transaction_id))

    async def postpone_report(
        self, transaction_id: int, next_attempt_at: datetime, reason: str
    ) -> None:
        """See ``ports.CommitmentLedger.postpone_report``."""
        await self._database.write(
            lambda c: commitments.postpone(c, transaction_id, next_attempt_at, reason)
        )

    async def end_commitment(
        self,
        transaction_id: int,
        state: TransactionState,
        at: datetime,
        results: Sequence[int],
        reason: str,
    ) -> None:
        """See ``ports.CommitmentLedger.end_commitment``."""
        await self._database.write(
            lambda c: commitments.end(c, transaction_id, state, at, results, reason)
        )


def _warn(conflict: Conflict) -> None:
    arrival = conflict.arrival
    log.warning(
        "another instance of the same SOP Instance UID has other bytes",
        sop_instance_uid=arrival.identity.sop_instance_uid,
        study_instance_uid=arrival.identity.study_instance_uid,
        calling_ae_title=arrival.provenance.calling_ae_title,
        checksum=arrival.checksum,
        other_checksum=conflict.other_checksum,
        disposition=arrival.disposition,
        reason=arrival.reason,
    )
