"""Closing revisions, keeping decisions, creating deliveries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, insert, literal, select, update

from router.domain.delivery import Delivery, DeliveryState, ItemState
from router.domain.determination import Choice, Decision
from router.domain.errors import StateConflict
from router.domain.instance import Instance
from router.domain.study import GROWING, RevisionKey, RevisionState
from router.ledger.chunks import chunks
from router.ledger.rows import (
    SELECT_DELIVERIES,
    SELECT_INSTANCES,
    SELECT_REVISION_KEYS,
    Values,
    delivery_of,
    instance_of,
    revision_key,
)
from router.ledger.schema import decision as decision_table
from router.ledger.schema import delivery, delivery_item, instance, revision

DATA_SET_LENGTH = instance.c.file_length - instance.c.data_set_skip


def unrouted_revisions(connection: Connection) -> Sequence[RevisionKey]:
    """See ``ports.Ledger.unrouted_revisions``."""
    rows = connection.execute(
        SELECT_REVISION_KEYS.where(revision.c.state == RevisionState.UNROUTED).order_by(
            revision.c.id
        )
    )
    return [revision_key(row) for row in rows]


def instances(connection: Connection, revision_id: int) -> Sequence[tuple[int, Instance]]:
    """See ``ports.Ledger.instances``."""
    rows = connection.execute(
        SELECT_INSTANCES.where(instance.c.revision_id == revision_id).order_by(instance.c.id)
    )
    return [(row.id, instance_of(row)) for row in rows]


def complete(connection: Connection, key: RevisionKey, at: datetime, completed_by: str) -> None:
    """See ``ports.Ledger.complete``."""
    state = _load_state(connection, key, (*GROWING, RevisionState.UNROUTED))
    if state in GROWING:
        connection.execute(
            update(revision)
            .where(revision.c.id == key.id)
            .values(state=RevisionState.UNROUTED, completed_at=at, completed_by=completed_by)
        )


def hold(connection: Connection, key: RevisionKey, reason: str) -> None:
    """See ``ports.Ledger.hold``."""
    _load_state(connection, key, GROWING)
    connection.execute(
        update(revision)
        .where(revision.c.id == key.id)
        .values(state=RevisionState.HELD, completed_by=reason)
    )


def discard(connection: Connection, key: RevisionKey, at: datetime, reason: str) -> None:
    """See ``ports.Ledger.discard``."""
    _load_state(connection, key, (RevisionState.OPEN,))
    connection.execute(
        update(revision)
        .where(revision.c.id == key.id)
        .values(state=RevisionState.DISCARDED, settled_at=at, completed_by=reason)
    )


def route(
    connection: Connection, key: RevisionKey, at: datetime, decision: Decision
) -> Sequence[Delivery]:
    """See ``ports.Ledger.route``."""
    _load_state(connection, key, (RevisionState.UNROUTED,))
    _keep(connection, key.id, at, decision)
    if not decision.chosen:
        return []
    connection.execute(
        update(revision).where(revision.c.id == key.id).values(state=RevisionState.ROUTED)
    )
    _create_deliveries(connection, key.id, at, decision.chosen)
    rows = connection.execute(
        SELECT_DELIVERIES.where(delivery.c.revision_id == key.id).order_by(delivery.c.id)
    )
    return [delivery_of(row) for row in rows]


def _load_state(
    connection: Connection, key: RevisionKey, allowed: Collection[RevisionState]
) -> RevisionState:
    state = connection.execute(
        select(revision.c.state).where(revision.c.id == key.id).with_for_update()
    ).scalar_one_or_none()
    if state is None:
        raise StateConflict(
            f"the ledger holds no revision {key.number} of study {key.study_instance_uid}"
        )
    if state not in allowed:
        raise StateConflict(
            f"revision {key.number} of study {key.study_instance_uid} is {state}, "
            f"and would have to be {' or '.join(allowed)}"
        )
    return RevisionState(state)


def _keep(connection: Connection, revision_id: int, at: datetime, decision: Decision) -> None:
    """Keep the decision, unless the last one said the same: held studies are decided often."""
    choices = [_choice_values(choice) for choice in decision.choices]
    last = connection.execute(
        select(decision_table.c.choices)
        .where(decision_table.c.revision_id == revision_id)
        .order_by(decision_table.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    if last != choices:
        connection.execute(
            insert(decision_table).values(revision_id=revision_id, decided_at=at, choices=choices)
        )


def _choice_values(choice: Choice) -> Values:
    """Put a choice as JSON. ``delivery_item`` holds which instances it names; this, how many."""
    return {
        "ae_title": choice.ae_title,
        "matched": choice.matched,
        "reason": choice.reason,
        "priority": choice.priority,
        "required": choice.required,
        "instances": None if choice.instance_ids is None else len(choice.instance_ids),
    }


def _create_deliveries(
    connection: Connection, revision_id: int, at: datetime, chosen: Sequence[Choice]
) -> None:
    """Few statements, however many candidates get the whole revision."""
    count, size = count_instances(connection, instance.c.revision_id == revision_id)
    made = connection.execute(
        insert(delivery).returning(delivery.c.id, sort_by_parameter_order=True),
        [_delivery_values(revision_id, at, choice, count, size) for choice in chosen],
    ).scalars()
    by_id = dict(zip(made, chosen, strict=True))
    whole = [number for number, choice in by_id.items() if choice.instance_ids is None]
    for some in chunks(whole):
        create_items(connection, revision_id, delivery.c.id.in_(some))
    for number, choice in by_id.items():
        if choice.instance_ids is not None:
            _name_items(connection, revision_id, number, choice.ae_title, choice.instance_ids)


def _delivery_values(
    revision_id: int, at: datetime, choice: Choice, count: int, size: int
) -> Values:
    return {
        **NEW_DELIVERY,
        "revision_id": revision_id,
        "ae_title": choice.ae_title,
        "priority": choice.priority,
        "required": choice.required,
        "created_at": at,
        "instances": count,
        "total_bytes": size,
        "remaining_bytes": size,
    }


def _name_items(
    connection: Connection,
    revision_id: int,
    delivery_id: int,
    ae_title: str,
    instance_ids: Collection[int],
) -> None:
    """The items of a delivery that gets some of the revision only."""
    for some in chunks(instance_ids):
        create_items(connection, revision_id, delivery.c.id == delivery_id, instance.c.id.in_(some))
    if count_up(connection, delivery_id) != len(set(instance_ids)):
        raise StateConflict(
            f"the decision sends {ae_title} instances that its revision does not hold"
        )


NEW_DELIVERY: Values = {
    "state": DeliveryState.PENDING,
    "attempts": 0,
    "reason": "",
    "instances": 0,
    "delivered": 0,
    "refused": 0,
    "total_bytes": 0,
    "remaining_bytes": 0,
}


def insert_delivery(
    connection: Connection,
    revision_id: int,
    ae_title: str,
    at: datetime,
    *,
    priority: int,
    required: bool,
) -> int:
    """Create a pending delivery that has no items yet; its id."""
    delivery_id: int = connection.execute(
        insert(delivery)
        .values(
            **NEW_DELIVERY,
            revision_id=revision_id,
            ae_title=ae_title,
            priority=priority,
            required=required,
            created_at=at,
        )
        .returning(delivery.c.id)
    ).scalar_one()
    return delivery_id


def create_items(connection: Connection, revision_id: int, *which: ColumnElement[bool]) -> None:
    """One pending item for each of these deliveries and each of these instances of the revision."""
    chosen = select(
        delivery.c.id,
        instance.c.id,
        literal(ItemState.PENDING, delivery_item.c.state.type),
        literal(0),
        literal(""),
    ).join_from(delivery, instance, delivery.c.revision_id == instance.c.revision_id)
    connection.execute(
        insert(delivery_item).from_select(
            ["delivery_id", "instance_id", "state", "attempts", "reason"],
            chosen.where(instance.c.revision_id == revision_id, *which),
        )
    )


def count_up(connection: Connection, delivery_id: int) -> int:
    """Write into a new delivery how many items it has, and of how many bytes; their number."""
    count, size = count_items(connection, delivery_item.c.delivery_id == delivery_id)
    connection.execute(
        update(delivery)
        .where(delivery.c.id == delivery_id)
        .values(instances=count, total_bytes=size, remaining_bytes=size)
    )
    return count


def count_instances(connection: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    """How many instances there are of some, and how many bytes of data sets."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(DATA_SET_LENGTH), 0)).where(which)
    ).one()
    return row[0], int(row[1])


def count_items(connection: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    """How many items there are of some, and how many bytes of data sets."""
    row = connection.execute(
        select(func.count().label("items"), func.coalesce(func.sum(DATA_SET_LENGTH), 0))
        .select_from(delivery_item)
        .join(instance, delivery_item.c.instance_id == instance.c.id)
        .where(which)
    ).one()
    return row[0], int(row[1])
