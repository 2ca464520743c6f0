"""What people decide about deliveries, as the ledger keeps it."""

from __future__ import annotations

import pytest

from router.domain.delivery import Delivery, DeliveryState, OutcomeKind
from router.domain.determination import Decision
from router.domain.errors import StateConflict, UnknownDelivery, UnknownStudy
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
from tests.ledger.test_deliveries import deliver, fail, item_ids, routed


async def state_of(ledger: SqlLedger) -> RevisionState | None:
    return (await ledger.views.study("1.2.3")).summary.state


async def reclaim(ledger: SqlLedger) -> None:
    """Take the bytes of all that is settled."""
    page = await ledger.reclaimable(later(9000), 100)
    await ledger.reclaimed([number for number, _ in page], later(9000))


async def refuse_one_for_good(ledger: SqlLedger, delivery: Delivery) -> None:
    """Deliver all but the first instance, which is refused for good."""
    await ledger.begin_attempt(delivery.id, NOON)
    first, *rest = await item_ids(ledger, delivery)
    refused = result(first, OutcomeKind.PERMANENT, status=0xC000, reason="cannot understand")
    await ledger.record_results(delivery.id, [refused, *(result(number) for number in rest)])
    await ledger.end_attempt(delivery.id, DeliveryState.DEAD, later(9), None, "refused")


async def test_a_revived_delivery_is_pending_again_with_what_was_refused(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger)
    await refuse_one_for_good(ledger, delivery)

    (revived,) = (await ledger.revive(delivery.id, later(60))).wanted

    assert (revived.state, revived.delivered, revived.refused) == (DeliveryState.PENDING, 2, 0)
    assert revived.remaining_bytes == DATA_SET_LENGTH
    assert (revived.created_at, revived.tried_since) == (NOON, later(60))
    assert len(await item_ids(ledger, delivery)) == 1
    assert await ledger.unfinished_deliveries() == [revived]


async def test_a_delivery_that_is_under_way_or_delivered_is_not_revived(ledger: SqlLedger) -> None:
    active, done = await routed(ledger, choice("XRAY"), choice("ARCHIVE"))
    await ledger.begin_attempt(active.id, NOON)
    await deliver(ledger, done)

    for delivery, state in ((active, "active"), (done, "delivered")):
        with pytest.raises(StateConflict, match=f"cannot revive a delivery that is {state}"):
            await ledger.revive(delivery.id, later(60))


async def test_an_unknown_delivery_is_said_to_be_unknown(ledger: SqlLedger) -> None:
    with pytest.raises(UnknownDelivery, match="4711"):
        await ledger.revive(4711, NOON)
    with pytest.raises(UnknownDelivery, match="4711"):
        await ledger.dismiss(4711, NOON, "")
    with pytest.raises(UnknownDelivery, match="4711"):
        await ledger.redirect(4711, "XRAY", NOON)


async def test_what_a_person_revives_is_required_and_keeps_the_bytes(ledger: SqlLedger) -> None:
    needed, optional = await routed(ledger, choice("ARCHIVE"), choice("XRAY", required=False))
    await fail(ledger, optional, DeliveryState.DEAD)
    await deliver(ledger, needed)
    assert await state_of(ledger) is RevisionState.SETTLED

    (revived,) = (await ledger.revive(optional.id, later(60))).wanted

    assert revived.required
    assert await state_of(ledger) is RevisionState.ROUTED
    assert await ledger.reclaimable(later(9000), 100) == []
    assert await deliver(ledger, revived)


async def test_nothing_is_revived_whose_bytes_are_gone(ledger: SqlLedger) -> None:
    needed, optional = await routed(ledger, choice("ARCHIVE"), choice("XRAY", required=False))
    await fail(ledger, optional, DeliveryState.DEAD)
    await deliver(ledger, needed)
    await reclaim(ledger)

    with pytest.raises(StateConflict, match="left the spool"):
        await ledger.revive(optional.id, later(9001))
    with pytest.raises(StateConflict, match="left the spool"):
        await ledger.redirect(optional.id, "CT", later(9001))

    assert await state_of(ledger) is RevisionState.RECLAIMED
    kept = (await ledger.views.delivery(optional.id)).delivery
    assert (kept.state, kept.required) == (DeliveryState.DEAD, False)


async def test_a_dismissed_delivery_lets_its_revision_settle(ledger: SqlLedger) -> None:
    dead, done = await routed(ledger, choice("XRAY"), choice("ARCHIVE"))
    await fail(ledger, dead, DeliveryState.DEAD)
    assert not await deliver(ledger, done)

    change = await ledger.dismiss(dead.id, later(60), "the writer is gone")

    (dismissed,) = change.dismissed
    assert (dismissed.state, dismissed.reason) == (DeliveryState.DISMISSED, "the writer is gone")
    assert change.settled is not None
    assert await state_of(ledger) is RevisionState.SETTLED
    assert await ledger.unfinished_deliveries() == []


async def test_dismissing_does_not_settle_what_others_wait_for(ledger: SqlLedger) -> None:
    dead, waiting = await routed(ledger, choice("XRAY"), choice("ARCHIVE", required=False))
    await fail(ledger, dead, DeliveryState.DEAD)

    assert (await ledger.dismiss(dead.id, later(60), "")).settled is None
    assert await deliver(ledger, waiting)


async def test_a_delivery_that_is_under_way_is_not_dismissed(ledger: SqlLedger) -> None:
    (delivery,) = await routed(ledger)
    await ledger.begin_attempt(delivery.id, NOON)

    with pytest.raises(StateConflict, match="cannot dismiss a delivery that is active"):
        await ledger.dismiss(delivery.id, later(60), "")


async def test_a_redirected_delivery_gives_all_its_instances_to_the_other_candidate(
    ledger: SqlLedger,
) -> None:
    (delivery,) = await routed(ledger, choice("XRAY", priority=0))
    await refuse_one_for_good(ledger, delivery)

    change = await ledger.redirect(delivery.id, "ARCHIVE", later(60))

    (new,) = change.wanted
    (old,) = change.dismissed
    assert (new.ae_title, new.state, new.instances, new.priority) == (
        "ARCHIVE",
        DeliveryState.PENDING,
        3,
        0,
    )
    assert (old.id, old.state) == (delivery.id, DeliveryState.DISMISSED)
    assert old.reason == f"redirected to ARCHIVE: delivery {new.id}"
    assert change.settled is None
    assert await deliver(ledger, new)


async def test_nothing_is_redirected_to_who_has_it_already(ledger: SqlLedger) -> None:
    dead, done = await routed(ledger, choice("XRAY"), choice("ARCHIVE"))
    await fail(ledger, dead, DeliveryState.DEAD)

    with pytest.raises(StateConflict, match=f"{done.id}, pending; retry that one"):
        await ledger.redirect(dead.id, "ARCHIVE", later(60))


async def test_a_study_is_sent_again_to_all_that_it_was_given_to(ledger: SqlLedger) -> None:
    first, second = await routed(ledger, choice("XRAY"), choice("ARCHIVE"))
    await deliver(ledger, first)
    await deliver(ledger, second)

    wanted = (await ledger.resend("1.2.3", None, later(60))).wanted

    assert [(one.ae_title, one.instances) for one in wanted] == [("XRAY", 3), ("ARCHIVE", 3)]
    assert await state_of(ledger) is RevisionState.ROUTED
    assert [await deliver(ledger, one) for one in wanted] == [False, True]


async def test_a_study_is_sent_again_whole_to_a_candidate_that_is_new(ledger: SqlLedger) -> None:
    (key, *_) = await ledger.record([instance(number) for number in range(3)])
    assert key is not None
    first = (await ledger.instances(key.id))[0][0]
    (delivery,) = await route(ledger, key, Decision((choice("XRAY", instance_ids=(first,)),)))
    await deliver(ledger, delivery)

    former, new = (await ledger.resend("1.2.3", ["XRAY", "ARCHIVE"], later(60))).wanted

    assert (former.instances, new.instances) == (1, 3)


async def test_a_dead_delivery_makes_way_for_the_one_that_is_sent_again(ledger: SqlLedger) -> None:
    (dead,) = await routed(ledger)
    await fail(ledger, dead, DeliveryState.DEAD)

    change = await ledger.resend("1.2.3", None, later(60))

    (new,) = change.wanted
    assert [(one.id, one.reason) for one in change.dismissed] == [
        (dead.id, f"sent again: delivery {new.id}")
    ]
    assert await deliver(ledger, new)


async def test_what_is_on_its_way_is_not_sent_twice(ledger: SqlLedger) -> None:
    await routed(ledger)

    with pytest.raises(StateConflict, match="on its way"):
        await ledger.resend("1.2.3", ["ARCHIVE"], later(60))


async def test_a_held_study_can_be_given_to_a_candidate_by_hand(ledger: SqlLedger) -> None:
    (key, *_) = await ledger.record([instance(0)])
    await route(ledger, key, decision(unmatched=("XRAY",)))
    with pytest.raises(StateConflict, match="no candidate yet"):
        await ledger.resend("1.2.3", None, later(60))

    (new,) = (await ledger.resend("1.2.3", ["ARCHIVE"], later(60))).wanted

    assert await ledger.unrouted_revisions() == []
    assert await deliver(ledger, new)


async def test_a_study_that_is_reclaimed_arriving_or_unknown_is_not_sent_again(
    ledger: SqlLedger,
) -> None:
    await ledger.record([instance(0, study="1.2.4", segment="segment-2")])
    with pytest.raises(StateConflict, match="still arriving"):
        await ledger.resend("1.2.4", ["ARCHIVE"], later(60))
    with pytest.raises(UnknownStudy):
        await ledger.resend("9.9.9", ["ARCHIVE"], later(60))
    (delivery,) = await routed(ledger)
    await deliver(ledger, delivery)
    await reclaim(ledger)
    with pytest.raises(StateConflict, match="left the spool"):
        await ledger.resend("1.2.3", None, later(9001))
