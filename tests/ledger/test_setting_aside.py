"""Revisions that took too long: held until somebody completes them, or discarded."""

from __future__ import annotations

import pytest

from router.domain.commitment import (
    CommitmentPolicy,
    CommitmentRequest,
    FailureReason,
    Reference,
    Requester,
    judge,
)
from router.domain.errors import StateConflict
from router.domain.instance import Disposition
from router.domain.study import RevisionKey, RevisionState
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import NOON, decision, instance, later, route

WHY = "not complete within 300 s of its first instance"
UID = "1.2.3.1.0"
NAMED = Reference("1.2.840.10008.5.1.4.1.1.2", UID)


async def opened(ledger: SqlLedger, count: int = 3) -> RevisionKey:
    keys = await ledger.record([instance(number) for number in range(count)])
    assert keys[0] is not None
    return keys[0]


async def test_a_held_revision_says_so_and_why(ledger: SqlLedger) -> None:
    await ledger.hold(await opened(ledger), WHY)
    detail = await ledger.views.study("1.2.3")
    assert detail.summary.state is RevisionState.HELD
    assert detail.revisions[0].completed_by == WHY
    assert detail.revisions[0].completed_at is None
    page = await ledger.views.studies(state=RevisionState.HELD)
    assert [study.study_instance_uid for study in page.items] == ["1.2.3"]


async def test_late_instances_join_a_held_revision(ledger: SqlLedger) -> None:
    key = await opened(ledger)
    await ledger.hold(key, WHY)
    assert await ledger.record([instance(7, at=later(9))]) == [key]
    (detail,) = (await ledger.views.study("1.2.3")).revisions
    assert (detail.instances, detail.state) == (4, RevisionState.HELD)


async def test_a_held_revision_is_found_at_the_next_start(ledger: SqlLedger) -> None:
    key = await opened(ledger)
    await ledger.hold(key, WHY)
    (revision,) = await ledger.open_revisions()
    assert (revision.key, revision.is_held, revision.opened_at) == (key, True, NOON)


async def test_a_held_revision_is_routed_once_somebody_completes_it(ledger: SqlLedger) -> None:
    key = await opened(ledger)
    await ledger.hold(key, WHY)
    (delivery,) = await route(ledger, key, decision("XRAY"))
    assert delivery.instances == 3


async def test_a_held_revision_is_not_routed_reclaimed_or_resent(ledger: SqlLedger) -> None:
    key = await opened(ledger)
    await ledger.hold(key, WHY)
    assert await ledger.unrouted_revisions() == []
    assert await ledger.reclaimable(later(1e6), 10) == []
    with pytest.raises(StateConflict, match="held"):
        await ledger.resend("1.2.3", ["XRAY"], NOON)


async def test_other_bytes_supersede_those_of_a_held_revision(ledger: SqlLedger) -> None:
    key = await opened(ledger)
    await ledger.hold(key, WHY)
    again = instance(0, segment="segment-2", checksum="f" * 16)
    assert await ledger.record([again]) == [key]
    (detail,) = (await ledger.views.study("1.2.3")).revisions
    assert detail.instances == 3


async def test_a_discarded_revision_says_so_and_why(ledger: SqlLedger) -> None:
    await ledger.discard(await opened(ledger), NOON, WHY)
    detail = await ledger.views.study("1.2.3")
    assert detail.summary.state is RevisionState.DISCARDED
    assert detail.revisions[0].completed_by == WHY


async def test_bytes_of_a_discarded_revision_are_reclaimed_and_its_record_stays(
    ledger: SqlLedger,
) -> None:
    await ledger.discard(await opened(ledger), NOON, WHY)
    assert await ledger.reclaimable(NOON, 10) == []
    found = await ledger.reclaimable(later(1), 10)
    assert len(found) == 3
    await ledger.reclaimed([number for number, _ in found], later(2))
    assert await ledger.reclaimable(later(9), 10) == []
    (detail,) = (await ledger.views.study("1.2.3")).revisions
    assert (detail.state, detail.reclaimed_at) == (RevisionState.DISCARDED, later(2))
    assert detail.completed_by == WHY


async def test_the_same_bytes_after_a_discard_are_new(ledger: SqlLedger) -> None:
    key = await opened(ledger)
    await ledger.discard(key, NOON, WHY)
    again = instance(0, segment="segment-2", checksum=instance(0).checksum)
    (new,) = await ledger.record([again])
    assert new is not None
    assert new.number == 2
    detail = await ledger.views.study("1.2.3")
    assert detail.repeats == ()


async def test_a_discarded_revision_cannot_be_completed_or_held(ledger: SqlLedger) -> None:
    key = await opened(ledger)
    await ledger.discard(key, NOON, WHY)
    with pytest.raises(StateConflict, match="is discarded"):
        await ledger.complete(key, NOON, "a person says so")
    with pytest.raises(StateConflict, match="is discarded"):
        await ledger.hold(key, WHY)


# -- a modality asks: is it safe? ------------------------------------------------------------------


async def committed(
    ledger: SqlLedger, policy: CommitmentPolicy = CommitmentPolicy.DELIVERED
) -> FailureReason | bool | None:
    holdings = await ledger.holdings([UID])
    return judge(NAMED, holdings.get(UID), policy)


async def test_of_what_is_held_nothing_can_be_said_yet(ledger: SqlLedger) -> None:
    await ledger.hold(await opened(ledger), WHY)
    assert await committed(ledger) is None


async def test_what_is_held_is_safe_where_the_spool_counts(ledger: SqlLedger) -> None:
    await ledger.hold(await opened(ledger), WHY)
    assert await committed(ledger, CommitmentPolicy.SPOOLED) is True


@pytest.mark.parametrize("policy", list(CommitmentPolicy))
async def test_what_is_discarded_is_not_committed(
    ledger: SqlLedger, policy: CommitmentPolicy
) -> None:
    await ledger.discard(await opened(ledger), NOON, WHY)
    assert await committed(ledger, policy) is FailureReason.NO_SUCH_OBJECT_INSTANCE


async def test_what_is_discarded_takes_nothing_back_from_what_was_delivered(
    ledger: SqlLedger,
) -> None:
    key = await opened(ledger, count=1)
    await route(ledger, key, decision("XRAY"))
    (late,) = await ledger.record([instance(0, segment="s2", checksum="e" * 16, at=later(60))])
    assert late is not None
    await ledger.discard(late, later(90), WHY)
    assert await committed(ledger) is None  # on its way


async def test_commitment_of_all_of_a_held_study_does_not_complete_it(ledger: SqlLedger) -> None:
    await ledger.hold(await opened(ledger, count=1), WHY)
    requester = Requester("CT1", "ROUTER", "10.0.0.7")
    request = CommitmentRequest("1.2.9", (NAMED,))
    transaction = await ledger.begin_commitment(request, requester, NOON)
    assert transaction is not None
    assert await ledger.open_revisions_listed_whole(transaction.id) == []


async def test_a_quarantined_instance_is_still_none(ledger: SqlLedger) -> None:
    await ledger.record([instance(0, disposition=Disposition.QUARANTINED, reason="too deep")])
    assert await committed(ledger) is FailureReason.NO_SUCH_OBJECT_INSTANCE
