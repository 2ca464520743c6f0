"""Retention gives back the bytes that nobody needs any more, and those only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import anyio

from router.delivery.retention import LOOK_EVERY_S, Retention, RetentionPolicy
from router.domain.commitment import (
    CommitmentRequest,
    Reference,
    Requester,
    TransactionState,
)
from router.domain.delivery import DeliveryState
from router.domain.instance import Disposition, Instance
from router.ledger.ledger import SqlLedger, open_ledger
from router.spool.log import LocalSpool
from tests.clock import NOON, ManualClock
from tests.ledger.builders import decision, refusal, route
from tests.spool.helpers import a_spool, scanned, store

DAY_S = 86400.0
POLICY = RetentionPolicy(
    timedelta(minutes=10), timedelta(days=30), timedelta(days=90), timedelta(days=60)
)
ASKED = CommitmentRequest("1.2.77", (Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"),))
MODALITY = Requester("CT1", "ROUTER", "192.0.2.1")


@dataclass(slots=True)
class Keeping:
    """A retention at work on a real spool and ledger."""

    spool: LocalSpool
    ledger: SqlLedger
    clock: ManualClock

    async def record(self, number: int, disposition: Disposition) -> Instance:
        """An instance that arrives now."""
        stored = await store(self.spool, number)
        arrival = replace(
            stored,
            disposition=disposition,
            provenance=replace(stored.provenance, received_at=self.clock.now()),
        )
        await self.ledger.record([arrival])
        return arrival

    async def after(self, seconds: float) -> None:
        """So much later, when retention has looked and sleeps again."""
        self.clock.advance(seconds)
        await self.clock.asleep_until(self.clock.monotonic() + LOOK_EVERY_S)


@asynccontextmanager
async def keeping(directory: Path) -> AsyncIterator[Keeping]:
    clock = ManualClock()
    async with (
        a_spool(directory / "spool") as spool,
        open_ledger(directory / "ledger.db") as ledger,
        anyio.create_task_group() as tasks,
    ):
        retention = Retention(ledger, spool, clock, POLICY)
        await tasks.start(retention.run)
        await clock.asleep_until(LOOK_EVERY_S)
        yield Keeping(spool, ledger, clock)
        tasks.cancel_scope.cancel()


async def left(directory: Path) -> Sequence[str]:
    """What is still in the spool, by the last part of its SOP Instance UID."""
    async with a_spool(directory / "spool") as spool:
        found = await scanned(spool)
    return sorted(one.identity.sop_instance_uid.rpartition(".")[2] for one in found)


async def test_settled_bytes_go_when_they_were_retained_for_long_enough(tmp_path: Path) -> None:
    async with keeping(tmp_path) as work:
        await work.record(1, Disposition.ACCEPTED)
        (revision,) = await work.ledger.open_revisions()
        (delivery,) = await route(work.ledger, revision.key, decision("ARCHIVE"))
        await work.ledger.begin_attempt(delivery.id, NOON)
        await work.ledger.end_attempt(delivery.id, DeliveryState.DELIVERED, NOON, None, "")
        await work.after(599)
        assert work.spool.used_bytes > 0
        await work.after(LOOK_EVERY_S)
        assert work.spool.used_bytes == 0


async def test_a_duplicate_goes_at_the_next_look_and_the_original_stays(tmp_path: Path) -> None:
    async with keeping(tmp_path) as work:
        await work.record(1, Disposition.ACCEPTED)
        await work.record(1, Disposition.ACCEPTED)
        await work.record(2, Disposition.ACCEPTED)
        await work.after(LOOK_EVERY_S)
    assert await left(tmp_path) == ["1", "2"]


async def test_quarantined_bytes_stay_for_their_time_and_their_record_for_ever(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as work:
        await work.record(1, Disposition.QUARANTINED)
        await work.after(29 * DAY_S)
        assert work.spool.used_bytes > 0
        await work.after(DAY_S + 1)
        assert work.spool.used_bytes == 0
        assert (await work.ledger.views.counts()).quarantined == 1


async def test_records_of_refusals_stay_for_their_time(tmp_path: Path) -> None:
    async with keeping(tmp_path) as work:
        await work.ledger.record([refusal()])
        await work.after(89 * DAY_S)
        assert len((await work.ledger.views.refusals()).items) == 1
        await work.after(DAY_S + 1)
        assert (await work.ledger.views.refusals()).items == []


async def test_records_of_commitments_stay_for_their_time_after_the_report(tmp_path: Path) -> None:
    async with keeping(tmp_path) as work:
        transaction = await work.ledger.begin_commitment(ASKED, MODALITY, NOON)
        assert transaction is not None
        await work.after(61 * DAY_S)
        now = work.clock.now()
        assert len(await work.ledger.open_commitments()) == 1
        await work.ledger.end_commitment(transaction.id, TransactionState.REPORTED, now, [0], "")
        await work.after(59 * DAY_S)
        assert len(await work.ledger.references(transaction.id)) == 1
        await work.after(DAY_S + 1)
        assert await work.ledger.references(transaction.id) == []
