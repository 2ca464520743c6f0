from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.delivery import Delivery, DeliveryState, OutcomeKind
from router.domain.determination import Choice, Decision
from router.domain.errors import StateConflict
from router.domain.study import RevisionState
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import (
    DATA_SET_LENGTH,
    NOON,
    choice,
    decision,
    instance,
    later,
    result,
    route,
)


async def routed(ledger: SqlLedger, *choices: Choice, count: int = 3) -> list[Delivery]:
    keys = await ledger.record([instance(number) for number in range(count)])
    assert keys[0] is not None
    wanted = Decision(choices) if choices else decision("ARCHIVE")
    return list(await route(ledger, keys[0], wanted))


async def item_ids(ledger: SqlLedger, delivery: Delivery) -> list[int]:
    return [item.instance_id for item in await ledger.pending_items(delivery.id, 1000)]


async def deliver(ledger: SqlLedger, delivery: Delivery) -> bool:
    """Deliver all of it; whether that settled the revision."""
    await ledger.begin_attempt(delivery.id, NOON)
    await ledger.record_results(
        delivery.id, [result(number) for number in await item_ids(ledger, delivery)]
    )
    state = DeliveryState.DELIVERED
    return await ledger.end_attempt(delivery.id, state, later(9), None, "") is not None


async def fail(ledger: SqlLedger, delivery: Delivery, state: DeliveryState) -> bool:
    """Fail an attempt; whether that settled the revision."""
    await ledger.begin_attempt(delivery.id, NOON)
    return await ledger.end_attempt(delivery.id, state, later(9), None, "refused") is not None


async def test_pending_items_come_in_order_of_arrival_with_what_sending_needs(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger)
    items = await ledger.pending_items(delivery.id, 2)
    arrivals = [instance(0), instance(1)]
    assert [item.ref for item in items] == [arrival.ref for arrival in arrivals]
    assert [item.checksum for item in items] == [arrival.checksum for arrival in arrivals]
    assert [item.sop_instance_uid for item in items] == ["1.2.3.1.0", "1.2.3.1.1"]
    assert {item.calling_ae_title for item in items} == {"CT1"}
    assert [item.attempts for item in items] == [0, 0]


async def test_pending_items_can_be_walked_page_by_page(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger, count=5)
    first, second, third, *rest = await item_ids(ledger, delivery)
    await ledger.record_results(delivery.id, [result(third)])
    page = await ledger.pending_items(delivery.id, 2, after=first)
    assert [item.instance_id for item in page] == [second, rest[0]]
    assert await ledger.pending_items(delivery.id, 2, after=rest[-1]) == []


async def test_a_stored_instance_is_counted_and_not_sent_again(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    first, *rest = await item_ids(ledger, delivery)
    after = await ledger.record_results(delivery.id, [result(first)])
    assert (after.delivered, after.refused) == (1, 0)
    assert after.remaining_bytes == 2 * DATA_SET_LENGTH
    assert after.total_bytes == 3 * DATA_SET_LENGTH
    assert await item_ids(ledger, delivery) == rest


async def test_a_temporary_failure_stays_to_be_sent_and_counts_its_attempts(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger, count=1)
    (number,) = await item_ids(ledger, delivery)
    busy = result(number, OutcomeKind.TEMPORARY, status=0xA700, reason="out of resources")
    after = await ledger.record_results(delivery.id, [busy, busy])
    assert (after.delivered, after.refused, after.remaining_bytes) == (0, 0, DATA_SET_LENGTH)
    (item,) = await ledger.pending_items(delivery.id, 10)
    assert item.attempts == 2


async def test_drops_of_associations_on_an_instance_are_kept_until_a_person_revives_it(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger, count=1)
    (number,) = await item_ids(ledger, delivery)
    dropped = replace(result(number, OutcomeKind.TEMPORARY, status=None), drops=2)
    await ledger.record_results(delivery.id, [dropped])
    (item,) = await ledger.pending_items(delivery.id, 10)
    assert item.drops == 2

    await fail(ledger, delivery, DeliveryState.RETRYING)
    await ledger.revive(delivery.id, later(60))

    (item,) = await ledger.pending_items(delivery.id, 10)
    assert item.drops == 0


async def test_a_permanent_refusal_is_counted_and_not_sent_again(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger, count=2)
    first, second = await item_ids(ledger, delivery)
    refused = result(first, OutcomeKind.PERMANENT, status=0xC000, reason="cannot understand")
    after = await ledger.record_results(delivery.id, [refused])
    assert (after.delivered, after.refused, after.remaining_bytes) == (0, 1, DATA_SET_LENGTH)
    assert await item_ids(ledger, delivery) == [second]


async def test_an_answer_that_is_recorded_twice_is_counted_once(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    first = (await item_ids(ledger, delivery))[0]
    await ledger.record_results(delivery.id, [result(first), result(first)])
    after = await ledger.record_results(delivery.id, [result(first)])
    assert (after.delivered, after.remaining_bytes) == (1, 2 * DATA_SET_LENGTH)


async def test_what_is_stored_stays_stored_whatever_a_late_answer_says(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger, count=1)
    (number,) = await item_ids(ledger, delivery)
    await ledger.record_results(delivery.id, [result(number)])
    for kind in (OutcomeKind.TEMPORARY, OutcomeKind.PERMANENT):
        after = await ledger.record_results(delivery.id, [result(number, kind)])
        assert (after.delivered, after.refused, after.remaining_bytes) == (1, 0, 0)


async def test_a_refused_instance_that_is_stored_after_all_counts_as_delivered(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger, count=1)
    (number,) = await item_ids(ledger, delivery)
    await ledger.record_results(delivery.id, [result(number, OutcomeKind.PERMANENT)])
    after = await ledger.record_results(delivery.id, [result(number)])
    assert (after.delivered, after.refused, after.remaining_bytes) == (1, 0, 0)


async def test_no_results_give_the_delivery_as_it_stands(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    assert await ledger.record_results(delivery.id, []) == delivery


async def test_an_answer_for_a_foreign_instance_is_a_conflict_and_keeps_nothing(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger)
    first = (await item_ids(ledger, delivery))[0]
    with pytest.raises(StateConflict, match="4711"):
        await ledger.record_results(delivery.id, [result(first), result(4711)])
    assert (await ledger.record_results(delivery.id, [])).delivered == 0


async def test_an_attempt_is_counted_before_anything_is_sent(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    await ledger.begin_attempt(delivery.id, later(1))
    active = await ledger.record_results(delivery.id, [])
    assert (active.state, active.attempts) == (DeliveryState.ACTIVE, 1)


async def test_every_attempt_keeps_its_times_and_its_reason(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    for number in (1, 2):
        await ledger.begin_attempt(delivery.id, later(number))
        await ledger.end_attempt(
            delivery.id, DeliveryState.RETRYING, later(number + 0.5), later(60), f"reason {number}"
        )
    await ledger.begin_attempt(delivery.id, later(3))
    attempts = (await ledger.views.delivery(delivery.id)).attempts
    assert [(a.number, a.began_at, a.ended_at, a.outcome, a.reason) for a in attempts] == [
        (1, later(1), later(1.5), DeliveryState.RETRYING, "reason 1"),
        (2, later(2), later(2.5), DeliveryState.RETRYING, "reason 2"),
        (3, later(3), None, None, ""),
    ]


async def test_a_retrying_delivery_knows_when_and_why(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    await ledger.begin_attempt(delivery.id, NOON)
    await ledger.end_attempt(delivery.id, DeliveryState.RETRYING, later(1), later(31), "no answer")
    (after,) = await ledger.unfinished_deliveries()
    assert (after.state, after.next_attempt_at, after.reason) == (
        DeliveryState.RETRYING,
        later(31),
        "no answer",
    )


async def test_unfinished_deliveries_leave_out_what_is_delivered_or_dead(
    ledger: SqlLedger,
) -> None:
    done, dead, open_one = await routed(ledger, choice("A"), choice("B"), choice("C"))
    await deliver(ledger, done)
    await fail(ledger, dead, DeliveryState.DEAD)
    assert [delivery.id for delivery in await ledger.unfinished_deliveries()] == [open_one.id]


async def test_an_active_delivery_becomes_pending_at_start_up_and_its_attempt_says_why(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger)
    await ledger.begin_attempt(delivery.id, NOON)
    (after,) = await ledger.unfinished_deliveries()
    assert (after.state, after.attempts) == (DeliveryState.PENDING, 1)
    (attempt,) = (await ledger.views.delivery(delivery.id)).attempts
    assert (attempt.ended_at, attempt.outcome) == (None, DeliveryState.PENDING)
    assert "the router stopped" in attempt.reason


@pytest.mark.parametrize("over", [DeliveryState.DELIVERED, DeliveryState.DEAD])
async def test_no_attempt_begins_or_ends_on_a_delivery_that_is_over(
    ledger: SqlLedger, over: DeliveryState
) -> None:
    (delivery,) = await routed(ledger)
    await fail(ledger, delivery, over)
    with pytest.raises(StateConflict, match="to ARCHIVE is over"):
        await ledger.begin_attempt(delivery.id, NOON)
    with pytest.raises(StateConflict, match="to ARCHIVE is over"):
        await ledger.end_attempt(delivery.id, DeliveryState.RETRYING, NOON, None, "")


async def test_an_unknown_delivery_is_a_conflict(ledger: SqlLedger) -> None:
    with pytest.raises(StateConflict, match="no delivery 7"):
        await ledger.begin_attempt(7, NOON)


async def test_the_last_required_delivery_settles_the_revision(ledger: SqlLedger) -> None:
    first, last = await routed(ledger, choice("A"), choice("B"))
    assert not await deliver(ledger, first)
    assert await deliver(ledger, last)
    (revision,) = (await ledger.views.study("1.2.3")).revisions
    assert (revision.state, revision.settled_at) == (RevisionState.SETTLED, later(9))


async def test_settling_names_the_revision(ledger: SqlLedger) -> None:
    (key,) = await ledger.record([instance(0)])
    assert key is not None
    (delivery,) = await route(ledger, key, decision("ARCHIVE"))
    await ledger.begin_attempt(delivery.id, NOON)
    settled = await ledger.end_attempt(delivery.id, DeliveryState.DELIVERED, NOON, None, "")
    assert settled == key


async def test_an_optional_delivery_is_not_waited_for(ledger: SqlLedger) -> None:
    required, optional = await routed(ledger, choice("A"), choice("B", required=False))
    assert await deliver(ledger, required)
    assert not await deliver(ledger, optional)


async def test_an_optional_delivery_does_not_settle_for_the_required_one(
    ledger: SqlLedger,
) -> None:
    required, optional = await routed(ledger, choice("A"), choice("B", required=False))
    assert not await deliver(ledger, optional)
    assert await deliver(ledger, required)


async def test_where_none_is_required_all_deliveries_settle_the_revision(
    ledger: SqlLedger,
) -> None:
    first, last = await routed(ledger, choice("A", required=False), choice("B", required=False))
    assert not await deliver(ledger, first)
    assert await deliver(ledger, last)


async def test_a_dead_required_delivery_keeps_the_revision_unsettled(ledger: SqlLedger) -> None:
    dead, delivered = await routed(ledger, choice("A"), choice("B"))
    assert not await fail(ledger, dead, DeliveryState.DEAD)
    assert not await deliver(ledger, delivered)
    assert await ledger.reclaimable(later(10_000), 10) == []


# -- storage commitment ------------------------------------------------------------------------


async def stored(ledger: SqlLedger, delivery: Delivery) -> list[int]:
    """Have everything stored, so that the candidate is to be asked; the instances."""
    await ledger.begin_attempt(delivery.id, NOON)
    numbers = await item_ids(ledger, delivery)
    await ledger.record_results(delivery.id, [result(number) for number in numbers])
    await ledger.end_attempt(delivery.id, DeliveryState.COMMITTING, later(9), None, "")
    return numbers


async def test_what_a_candidate_has_stored_can_be_asked_for(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    first, *_ = await item_ids(ledger, delivery)
    await ledger.record_results(delivery.id, [result(first)])
    (item,) = await ledger.stored_items(delivery.id)
    assert (item.instance_id, item.sop_instance_uid) == (first, "1.2.3.1.0")
    assert (item.sop_class_uid, item.ref.data_set_length) == (
        "1.2.840.10008.5.1.4.1.1.2",
        DATA_SET_LENGTH,
    )


async def test_what_a_candidate_has_lost_is_pending_again_or_refused(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    first, second, _ = await stored(ledger, delivery)
    lost = result(first, OutcomeKind.TEMPORARY, status=0x0112, reason="not committed")
    gone = result(second, OutcomeKind.PERMANENT, status=0x0112, reason="not committed")

    after = await ledger.record_uncommitted(delivery.id, [lost, gone])

    assert (after.delivered, after.refused, after.remaining_bytes) == (1, 1, DATA_SET_LENGTH)
    assert await item_ids(ledger, delivery) == [first]
    undelivered = (await ledger.views.delivery(delivery.id)).undelivered
    assert [(one.attempts, one.status) for one in undelivered] == [(1, 0x0112), (1, 0x0112)]


async def test_nothing_is_lost_of_a_delivery_that_is_over(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    numbers = await stored(ledger, delivery)
    await ledger.end_attempt(delivery.id, DeliveryState.DELIVERED, later(9), None, "")
    with pytest.raises(StateConflict, match="is over"):
        await ledger.record_uncommitted(
            delivery.id, [result(numbers[0], OutcomeKind.TEMPORARY, status=0x0112)]
        )


async def test_a_request_that_the_end_of_the_router_interrupted_is_to_be_made_again(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger)
    await stored(ledger, delivery)
    await ledger.begin_attempt(delivery.id, later(10), DeliveryState.COMMITTING)

    (unfinished,) = await ledger.unfinished_deliveries()

    assert unfinished.state is DeliveryState.COMMITTING
    sent, asked = (await ledger.views.delivery(delivery.id)).attempts
    assert sent.outcome is DeliveryState.COMMITTING
    assert "the router stopped" in asked.reason


async def test_a_delivery_that_is_to_be_committed_does_not_settle_and_holds_the_bytes(
    ledger: SqlLedger,
) -> None:
    needed, optional = await routed(ledger, choice("ARCHIVE"), choice("XRAY", required=False))
    await stored(ledger, optional)
    assert await deliver(ledger, needed)
    assert await ledger.reclaimable(later(9000), 100) == []
    await ledger.end_attempt(optional.id, DeliveryState.DELIVERED, later(20), None, "")
    assert len(await ledger.reclaimable(later(9000), 100)) == 3
