from __future__ import annotations

import pytest

from router.domain.delivery import Delivery, DeliveryState
from router.domain.determination import Decision
from router.domain.errors import StateConflict
from router.domain.instance import Disposition
from router.domain.study import RevisionState
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import NOON, choice, decision, instance, later, refusal, route


async def settled(ledger: SqlLedger, wanted: Decision, count: int = 3) -> list[Delivery]:
    """Deliver the first delivery of a new revision at noon."""
    keys = await ledger.record([instance(number) for number in range(count)])
    assert keys[0] is not None
    deliveries = list(await route(ledger, keys[0], wanted))
    await ledger.begin_attempt(deliveries[0].id, NOON)
    await ledger.end_attempt(deliveries[0].id, DeliveryState.DELIVERED, NOON, None, "")
    return deliveries


async def state_of_the_revision(ledger: SqlLedger) -> RevisionState:
    (revision,) = (await ledger.views.study("1.2.3")).revisions
    return revision.state


async def test_instances_of_a_settled_revision_are_reclaimable(ledger: SqlLedger) -> None:
    await settled(ledger, decision("ARCHIVE"))
    found = await ledger.reclaimable(later(1), 10)
    assert [ref for _, ref in found] == [instance(number).ref for number in range(3)]
    assert len(await ledger.reclaimable(later(1), 2)) == 2


async def test_nothing_is_reclaimable_before_its_time(ledger: SqlLedger) -> None:
    await settled(ledger, decision("ARCHIVE"))
    assert await ledger.reclaimable(NOON, 10) == []


async def test_nothing_is_reclaimable_while_a_required_delivery_is_open(ledger: SqlLedger) -> None:
    await settled(ledger, decision("ARCHIVE", "XRAY"))
    assert await ledger.reclaimable(later(10_000), 10) == []


async def test_nothing_of_an_unrouted_revision_or_a_quarantine_is_reclaimable(
    ledger: SqlLedger,
) -> None:
    key, _ = await ledger.record([instance(0), instance(1, disposition=Disposition.QUARANTINED)])
    assert key is not None
    await route(ledger, key, decision(unmatched=("XRAY",)))
    assert await ledger.reclaimable(later(10_000), 10) == []


async def test_what_is_reclaimed_is_not_reclaimable_again(ledger: SqlLedger) -> None:
    await settled(ledger, decision("ARCHIVE"))
    numbers = [number for number, _ in await ledger.reclaimable(later(1), 2)]
    await ledger.reclaimed(numbers, later(2))
    (rest,) = await ledger.reclaimable(later(3), 10)
    assert rest[0] not in numbers


async def test_a_revision_is_reclaimed_when_all_its_bytes_have_left(ledger: SqlLedger) -> None:
    await settled(ledger, decision("ARCHIVE"))
    numbers = [number for number, _ in await ledger.reclaimable(later(1), 10)]
    await ledger.reclaimed(numbers[:2], later(2))
    assert await state_of_the_revision(ledger) is RevisionState.SETTLED
    await ledger.reclaimed(numbers[2:], later(3))
    assert await state_of_the_revision(ledger) is RevisionState.RECLAIMED


async def test_reclaiming_twice_changes_nothing(ledger: SqlLedger) -> None:
    await settled(ledger, decision("ARCHIVE"))
    numbers = [number for number, _ in await ledger.reclaimable(later(1), 10)]
    await ledger.reclaimed(numbers, later(2))
    await ledger.reclaimed(numbers, later(99))
    (revision,) = (await ledger.views.study("1.2.3")).revisions
    assert revision.reclaimed_at == later(2)


async def test_the_record_of_where_instances_went_outlives_their_bytes(ledger: SqlLedger) -> None:
    (delivery,) = await settled(ledger, decision("ARCHIVE"))
    await ledger.reclaimed([n for n, _ in await ledger.reclaimable(later(1), 10)], later(2))
    assert (await ledger.views.delivery(delivery.id)).delivery.instances == 3
    assert len(await ledger.instances(delivery.revision_id)) == 3


async def test_an_optional_delivery_that_waits_when_the_bytes_go_is_dead_and_says_why(
    ledger: SqlLedger,
) -> None:
    _, optional = await settled(ledger, Decision((choice("A"), choice("B", required=False))))
    await ledger.begin_attempt(optional.id, NOON)
    await ledger.end_attempt(optional.id, DeliveryState.RETRYING, NOON, later(5), "no answer")
    assert len(await ledger.reclaimable(later(1), 10)) == 3
    assert await ledger.unfinished_deliveries() == []
    after = (await ledger.views.delivery(optional.id)).delivery
    assert (after.state, after.next_attempt_at) == (DeliveryState.DEAD, None)
    assert "bytes were reclaimed" in after.reason
    with pytest.raises(StateConflict, match="bytes were reclaimed"):
        await ledger.begin_attempt(optional.id, later(5))


async def test_an_attempt_under_way_holds_the_bytes(ledger: SqlLedger) -> None:
    _, optional = await settled(ledger, Decision((choice("A"), choice("B", required=False))))
    await ledger.begin_attempt(optional.id, NOON)
    assert await ledger.reclaimable(later(10_000), 10) == []
    await ledger.end_attempt(optional.id, DeliveryState.DELIVERED, later(1), None, "")
    assert len(await ledger.reclaimable(later(10_000), 10)) == 3


async def test_bytes_that_repeat_others_are_held_for_nobody(ledger: SqlLedger) -> None:
    duplicate = instance(0, segment="again", at=later(1))
    new = instance(1, segment="again", checksum="b" * 16, at=later(1))
    await ledger.record([instance(0), instance(1), duplicate, new])
    found = await ledger.held_for_nobody(NOON, 10)
    assert [ref for _, ref in found] == [instance(1).ref, duplicate.ref]
    await ledger.reclaimed([number for number, _ in found], later(2))
    assert await ledger.held_for_nobody(NOON, 10) == []
    repeats = (await ledger.views.study("1.2.3")).repeats
    assert [entry.reclaimed_at for entry in repeats] == [None, later(2), later(2)]


async def test_bytes_in_quarantine_are_held_until_their_time_is_over(ledger: SqlLedger) -> None:
    await ledger.record([instance(0, disposition=Disposition.QUARANTINED, reason="too deep")])
    assert await ledger.held_for_nobody(NOON, 10) == []
    ((number, ref),) = await ledger.held_for_nobody(later(1), 10)
    assert ref == instance(0).ref
    await ledger.reclaimed([number], later(2))
    (entry,) = (await ledger.views.quarantine()).items
    assert (entry.instance.reason, entry.reclaimed_at) == ("too deep", later(2))


async def test_old_refusals_are_forgotten_a_few_at_a_time(ledger: SqlLedger) -> None:
    await ledger.record([refusal(reason=str(number)) for number in range(5)])
    assert await ledger.forget_refusals(NOON, 3) == 0
    assert await ledger.forget_refusals(later(1), 3) == 3
    assert await ledger.forget_refusals(later(1), 3) == 2
    assert (await ledger.views.refusals()).items == []
