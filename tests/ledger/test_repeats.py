"""What the ledger makes of instances that come again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.domain.delivery import DeliveryState, OutcomeKind
from router.domain.instance import Disposition
from router.domain.repeats import OnConflict
from router.domain.study import RevisionKey
from router.ledger.ledger import SqlLedger, open_ledger
from tests.ledger.builders import (
    DATA_SET_LENGTH,
    NOON,
    decision,
    instance,
    later,
    result,
    route,
)

OLD, NEW = "a" * 16, "b" * 16


async def delivered(ledger: SqlLedger, key: RevisionKey | None) -> list[str]:
    """Checksums of what a revision would deliver, in order."""
    assert key is not None
    return [arrival.checksum for _, arrival in await ledger.instances(key.id)]


async def repeats(ledger: SqlLedger) -> list[tuple[Disposition, str]]:
    """What repeats others, newest first."""
    entries = (await ledger.views.study("1.2.3")).repeats
    return [(entry.instance.disposition, entry.instance.checksum) for entry in entries]


async def sizes(ledger: SqlLedger) -> list[tuple[int, int]]:
    """Instances and bytes of each revision, as they are counted."""
    detail = await ledger.views.study("1.2.3")
    return [(revision.instances, revision.bytes) for revision in detail.revisions]


@pytest.fixture
async def keep_first(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    """Open a ledger that prefers what came first."""
    async with open_ledger(tmp_path / "first.db", on_conflict=OnConflict.KEEP_FIRST) as opened:
        yield opened


@pytest.fixture
async def keep_both(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    """Open a ledger that prefers neither."""
    async with open_ledger(tmp_path / "both.db", on_conflict=OnConflict.KEEP_BOTH) as opened:
        yield opened


async def test_the_same_bytes_again_are_a_duplicate_that_belongs_to_no_revision(
    ledger: SqlLedger,
) -> None:
    (key,) = await ledger.record([instance(0)])
    assert await ledger.record([instance(0, segment="again", at=later(1))]) == [None]
    assert len(await delivered(ledger, key)) == 1
    assert await sizes(ledger) == [(1, DATA_SET_LENGTH)]
    ((disposition, _),) = await repeats(ledger)
    assert disposition is Disposition.DUPLICATE
    detail = await ledger.views.study("1.2.3")
    assert detail.repeated == 1
    assert "same bytes" in detail.repeats[0].instance.reason


async def test_duplicates_within_one_batch_are_found_too(ledger: SqlLedger) -> None:
    keys = await ledger.record(
        [instance(0), instance(0, segment="s2"), instance(0, segment="s3"), instance(1)]
    )
    assert keys[1:3] == [None, None]
    assert len(await delivered(ledger, keys[0])) == 2
    assert await sizes(ledger) == [(2, 2 * DATA_SET_LENGTH)]
    assert (await ledger.views.study("1.2.3")).repeated == 2


async def test_a_duplicate_of_a_delivered_instance_opens_no_revision(ledger: SqlLedger) -> None:
    (key,) = await ledger.record([instance(0)])
    await route(ledger, key, decision("ARCHIVE"))
    assert await ledger.record([instance(0, segment="again")]) == [None]
    assert await ledger.open_revisions() == []


async def test_a_record_that_is_repeated_is_no_duplicate_of_itself(ledger: SqlLedger) -> None:
    arrivals = [instance(0), instance(0, segment="again")]
    keys = await ledger.record(arrivals)
    assert await ledger.record(arrivals) == keys
    assert len(await delivered(ledger, keys[0])) == 1
    assert (await ledger.views.study("1.2.3")).repeated == 1


async def test_an_instance_whose_copy_was_reclaimed_is_new(ledger: SqlLedger) -> None:
    (first,) = await ledger.record([instance(0)])
    (delivery,) = await route(ledger, first, decision("ARCHIVE"))
    await ledger.begin_attempt(delivery.id, NOON)
    await ledger.end_attempt(delivery.id, DeliveryState.DELIVERED, NOON, None, "")
    ids = [number for number, _ in await ledger.reclaimable(later(1), 10)]
    await ledger.reclaimed(ids, later(2))
    (second,) = await ledger.record([instance(0, segment="again")])
    assert second is not None
    assert second.number == 2


async def test_an_instance_that_was_refused_before_is_new(ledger: SqlLedger) -> None:
    (first,) = await ledger.record([instance(0)])
    (delivery,) = await route(ledger, first, decision("ARCHIVE"))
    ((number, _),) = await ledger.instances(delivery.revision_id)
    await ledger.begin_attempt(delivery.id, NOON)
    damaged = result(number, OutcomeKind.PERMANENT, status=None, reason="checksum")
    await ledger.record_results(delivery.id, [damaged])
    (second,) = await ledger.record([instance(0, segment="again")])
    assert second is not None
    assert second.number == 2


async def test_the_same_instance_uid_in_another_study_is_another_instance(
    ledger: SqlLedger,
) -> None:
    other = instance(0, study="9.9", segment="other")
    keys = await ledger.record([instance(0), other])
    assert None not in keys


async def test_what_is_in_quarantine_is_no_copy(ledger: SqlLedger) -> None:
    await ledger.record([instance(0, disposition=Disposition.QUARANTINED)])
    (key,) = await ledger.record([instance(0, segment="again")])
    assert len(await delivered(ledger, key)) == 1


async def test_other_bytes_supersede_those_of_the_open_revision(ledger: SqlLedger) -> None:
    (key,) = await ledger.record([instance(0, checksum=OLD)])
    with capture_logs() as logs:
        new = instance(0, segment="again", checksum=NEW, at=later(1))
        assert await ledger.record([new]) == [key]
    assert await delivered(ledger, key) == [NEW]
    assert await sizes(ledger) == [(1, DATA_SET_LENGTH)]
    assert await repeats(ledger) == [(Disposition.ACCEPTED, NEW), (Disposition.SUPERSEDED, OLD)]
    assert NEW in (await ledger.views.study("1.2.3")).repeats[1].instance.reason
    (warning,) = logs
    assert (warning["log_level"], warning["checksum"], warning["other_checksum"]) == (
        "warning",
        NEW,
        OLD,
    )


async def test_other_bytes_within_one_batch_supersede_each_other(ledger: SqlLedger) -> None:
    arrivals = [instance(0, segment=f"s{n}", checksum=str(n) * 16, at=later(n)) for n in range(3)]
    keys = await ledger.record(arrivals)
    assert keys[:2] == [None, None]
    assert await delivered(ledger, keys[2]) == ["2" * 16]
    assert await sizes(ledger) == [(1, DATA_SET_LENGTH)]
    assert await ledger.record(arrivals) == keys


async def test_what_comes_back_after_a_conflict_is_the_last_again(ledger: SqlLedger) -> None:
    await ledger.record([instance(0, checksum=OLD)])
    await ledger.record([instance(0, segment="s2", checksum=NEW, at=later(1))])
    (key,) = await ledger.record([instance(0, segment="s3", checksum=OLD, at=later(2))])
    assert await delivered(ledger, key) == [OLD]
    assert await repeats(ledger) == [
        (Disposition.ACCEPTED, OLD),
        (Disposition.SUPERSEDED, NEW),
        (Disposition.SUPERSEDED, OLD),
    ]


async def test_other_bytes_of_a_closed_revision_are_a_late_instance(ledger: SqlLedger) -> None:
    (first,) = await ledger.record([instance(0, checksum=OLD)])
    await route(ledger, first, decision("ARCHIVE"))
    (second,) = await ledger.record([instance(0, segment="s2", checksum=NEW, at=later(1))])
    assert second is not None
    assert second.number == 2
    assert await delivered(ledger, first) == [OLD]
    assert await delivered(ledger, second) == [NEW]
    assert await repeats(ledger) == [(Disposition.ACCEPTED, NEW)]
    assert OLD in (await ledger.views.study("1.2.3")).repeats[0].instance.reason


async def test_a_clock_that_steps_back_does_not_make_the_last_the_first(
    ledger: SqlLedger,
) -> None:
    await ledger.record([instance(0, checksum=OLD, at=later(3600))])
    (key,) = await ledger.record([instance(0, segment="s2", checksum=NEW, at=NOON)])
    assert await delivered(ledger, key) == [NEW]


async def test_a_rebuilt_ledger_prefers_the_last_whatever_segment_comes_first(
    ledger: SqlLedger,
) -> None:
    (key,) = await ledger.record([instance(0, segment="s2", checksum=NEW, at=later(1))])
    old = instance(0, checksum=OLD, at=NOON)
    assert await ledger.record([old], in_order=False) == [None]
    assert await delivered(ledger, key) == [NEW]


async def test_who_keeps_the_first_does_not_deliver_what_comes_later(
    keep_first: SqlLedger,
) -> None:
    (key,) = await keep_first.record([instance(0, checksum=OLD)])
    new = instance(0, segment="s2", checksum=NEW, at=later(1))
    assert await keep_first.record([new]) == [None]
    assert await delivered(keep_first, key) == [OLD]
    assert await repeats(keep_first) == [(Disposition.SUPERSEDED, NEW)]


async def test_who_keeps_both_delivers_both_and_says_so(keep_both: SqlLedger) -> None:
    (key,) = await keep_both.record([instance(0, checksum=OLD)])
    with capture_logs() as logs:
        await keep_both.record([instance(0, segment="s2", checksum=NEW, at=later(1))])
        await keep_both.record([instance(0, segment="s3", checksum=NEW, at=later(2))])
    assert await delivered(keep_both, key) == [OLD, NEW]
    assert await repeats(keep_both) == [(Disposition.DUPLICATE, NEW), (Disposition.ACCEPTED, NEW)]
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_storage_commitment_looks_at_the_copy_that_is_kept(ledger: SqlLedger) -> None:
    (key,) = await ledger.record([instance(0)])
    (delivery,) = await route(ledger, key, decision("ARCHIVE"))
    await ledger.record([instance(0, segment="again")])
    uid = instance(0).identity.sop_instance_uid
    holding = (await ledger.holdings([uid]))[uid]
    assert holding.is_accepted
    assert holding.required is not None
    assert delivery.state in {state for state, _ in holding.required}
