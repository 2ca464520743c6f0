from __future__ import annotations

import pytest

from router.domain.delivery import DeliveryState
from router.domain.determination import Decision
from router.domain.errors import StateConflict
from router.domain.study import RevisionKey, RevisionState
from router.domain.views import RevisionDetail
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import DATA_SET_LENGTH, NOON, choice, decision, instance, later, route


async def record(ledger: SqlLedger, count: int = 3) -> RevisionKey:
    keys = await ledger.record([instance(number) for number in range(count)])
    assert keys[0] is not None
    return keys[0]


async def revision_of(ledger: SqlLedger, key: RevisionKey) -> RevisionDetail:
    return (await ledger.views.study(key.study_instance_uid)).revisions[key.number - 1]


async def test_routing_creates_one_delivery_for_each_chosen_candidate(ledger: SqlLedger) -> None:
    key = await record(ledger)
    deliveries = await route(
        ledger,
        key,
        Decision(
            (
                choice("ARCHIVE"),
                choice("XRAY", matched=False),
                choice("RESEARCH", required=False, priority=20),
            )
        ),
    )
    assert [(d.ae_title, d.required, d.priority) for d in deliveries] == [
        ("ARCHIVE", True, 10),
        ("RESEARCH", False, 20),
    ]


async def test_a_new_delivery_is_pending_and_holds_every_instance(ledger: SqlLedger) -> None:
    key = await record(ledger)
    (delivery,) = await route(ledger, key, decision("ARCHIVE"), later(60))
    assert delivery.state is DeliveryState.PENDING
    assert delivery.study_instance_uid == key.study_instance_uid
    assert (delivery.revision_id, delivery.revision_number) == (key.id, 1)
    assert (delivery.instances, delivery.delivered, delivery.refused) == (3, 0, 0)
    assert delivery.total_bytes == delivery.remaining_bytes == 3 * DATA_SET_LENGTH
    assert (delivery.attempts, delivery.next_attempt_at, delivery.reason) == (0, None, "")
    assert delivery.created_at == later(60)


async def test_a_choice_that_names_instances_delivers_only_those(ledger: SqlLedger) -> None:
    key = await record(ledger, 5)
    numbers = [number for number, _ in await ledger.instances(key.id)]
    named = (numbers[3], numbers[1])
    (delivery,) = await route(ledger, key, Decision((choice("ARCHIVE", instance_ids=named),)))
    items = await ledger.pending_items(delivery.id, 10)
    assert [item.instance_id for item in items] == sorted(named)
    assert (delivery.instances, delivery.total_bytes) == (2, 2 * DATA_SET_LENGTH)


async def test_a_choice_may_name_more_instances_than_one_in_list_takes(ledger: SqlLedger) -> None:
    key = await record(ledger, 1100)
    numbers = tuple(number for number, _ in await ledger.instances(key.id))
    (delivery,) = await route(
        ledger, key, Decision((choice("ARCHIVE", instance_ids=numbers[:1001]),))
    )
    assert delivery.instances == 1001


async def test_a_choice_that_names_foreign_instances_routes_nothing(ledger: SqlLedger) -> None:
    key = await record(ledger)
    with pytest.raises(StateConflict, match="ARCHIVE"):
        await route(ledger, key, Decision((choice("ARCHIVE", instance_ids=(4711,)),)))
    revision = await revision_of(ledger, key)
    assert revision.state is RevisionState.UNROUTED
    assert (revision.decisions, revision.deliveries) == ((), ())


async def test_a_routed_revision_keeps_its_decision_and_what_completed_it(
    ledger: SqlLedger,
) -> None:
    key = await record(ledger)
    await route(ledger, key, decision("ARCHIVE", unmatched=("XRAY",)), later(60))
    revision = await revision_of(ledger, key)
    assert revision.state is RevisionState.ROUTED
    assert (revision.completed_at, revision.completed_by) == (later(60), "stable")
    (kept,) = revision.decisions
    assert kept.decided_at == later(60)
    assert [(c.ae_title, c.matched, c.reason) for c in kept.choices] == [
        ("ARCHIVE", True, "MODALITY is {CT}"),
        ("XRAY", False, "MODALITY is {CT}"),
    ]


async def test_a_revision_without_any_choice_becomes_unrouted(ledger: SqlLedger) -> None:
    key = await record(ledger)
    assert await route(ledger, key, decision(unmatched=("XRAY",))) == []
    assert await ledger.unrouted_revisions() == [key]
    assert await ledger.open_revisions() == []


async def test_an_unrouted_revision_is_routed_when_a_candidate_matches(ledger: SqlLedger) -> None:
    key = await record(ledger)
    await route(ledger, key, decision(unmatched=("XRAY",)), later(60))
    deliveries = await route(ledger, key, decision("ARCHIVE"), later(900))
    assert [delivery.instances for delivery in deliveries] == [3]
    assert await ledger.unrouted_revisions() == []
    revision = await revision_of(ledger, key)
    assert (revision.completed_at, revision.completed_by) == (later(60), "stable")
    assert [one.decided_at for one in revision.decisions] == [later(60), later(900)]


async def test_the_same_decision_about_a_held_revision_is_kept_once(ledger: SqlLedger) -> None:
    key = await record(ledger)
    for second in (60, 120, 180):
        await route(ledger, key, decision(unmatched=("XRAY",)), later(second))
    revision = await revision_of(ledger, key)
    assert [one.decided_at for one in revision.decisions] == [later(60)]


async def test_a_routed_revision_cannot_be_routed_again(ledger: SqlLedger) -> None:
    key = await record(ledger)
    await route(ledger, key, decision("ARCHIVE"))
    with pytest.raises(StateConflict, match=r"revision 1 of study 1\.2\.3 is routed"):
        await ledger.route(key, NOON, decision("XRAY"))
    assert [d.ae_title for d in (await revision_of(ledger, key)).deliveries] == ["ARCHIVE"]


async def test_an_unknown_revision_cannot_be_routed(ledger: SqlLedger) -> None:
    with pytest.raises(StateConflict, match="no revision 1 of study"):
        await ledger.route(RevisionKey(7, "1.2.3", 1), NOON, decision("ARCHIVE"))


async def test_an_open_revision_must_be_completed_before_it_is_routed(ledger: SqlLedger) -> None:
    key = await record(ledger)
    with pytest.raises(StateConflict, match=r"is open, and would have to be unrouted"):
        await ledger.route(key, NOON, decision("ARCHIVE"))


async def test_a_completed_revision_grows_no_more_and_waits_to_be_routed(
    ledger: SqlLedger,
) -> None:
    key = await record(ledger)
    await ledger.complete(key, later(60), "stable")
    (late,) = await ledger.record([instance(9)])
    assert late is not None
    assert late.number == 2
    assert await ledger.unrouted_revisions() == [key]
    (delivery,) = await route(ledger, key, decision("ARCHIVE"), later(61))
    assert delivery.instances == 3
    assert (await revision_of(ledger, key)).completed_by == "stable"


async def test_completing_a_completed_revision_changes_nothing(ledger: SqlLedger) -> None:
    key = await record(ledger)
    await ledger.complete(key, later(60), "stable")
    await ledger.complete(key, later(70), "quiet")
    revision = await revision_of(ledger, key)
    assert (revision.completed_at, revision.completed_by) == (later(60), "stable")


async def test_a_routed_revision_cannot_be_completed(ledger: SqlLedger) -> None:
    key = await record(ledger)
    await route(ledger, key, decision("ARCHIVE"))
    with pytest.raises(StateConflict):
        await ledger.complete(key, later(60), "stable")
