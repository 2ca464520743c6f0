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
    for choice in decision.chosen:
        _create_delivery(connection, key.id, at, choice)
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


def _create_delivery(
    connection: Connection, revision_id: int, at: datetime, choice: Choice
) -> None:
    delivery_id = insert_delivery(
        connection,
        revision_id,
        choice.ae_title,
        at,
        priority=choice.priority,
        required=choice.required,
    )
    for named in [None] if choice.instance_ids is None else chunks(choice.instance_ids):
        _create_items(connection, delivery_id, revision_id, named)
    count, size = count_items(connection, delivery_item.c.delivery_id == delivery_id)
    if choice.instance_ids is not None and count != len(set(choice.instance_ids)):
        raise StateConflict(
            f"the decision sends {choice.ae_title} instances that its revision does not hold"
        )
    connection.execute(
        update(delivery)
        .where(delivery.c.id == delivery_id)
        .values(instances=count, total_bytes=size, remaining_bytes=size)
    )


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
            revision_id=revision_id,
            ae_title=ae_title,
            state=DeliveryState.PENDING,
            priority=priority,
            required=required,
            created_at=at,
            attempts=0,
            reason="",
            instances=0,
            delivered=0,
            refused=0,
            total_bytes=0,
            remaining_bytes=0,
        )
        .returning(delivery.c.id)
    ).scalar_one()
    return delivery_id


def _create_items(
    connection: Connection, delivery_id: int, revision_id: int, named: Sequence[int] | None
) -> None:
    """One pending item for each named instance of the revision (None: for each instance)."""
    chosen = select(
        literal(delivery_id),
        instance.c.id,
        literal(ItemState.PENDING, delivery_item.c.state.type),
        literal(0),
        literal(""),
    ).where(instance.c.revision_id == revision_id)
    if named is not None:
        chosen = chosen.where(instance.c.id.in_(named))
    connection.execute(
        insert(delivery_item).from_select(
            ["delivery_id", "instance_id", "state", "attempts", "reason"], chosen
        )
    )


def count_items(connection: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    """How many items there are of some, and how many bytes of data sets."""
    data_set_length = instance.c.file_length - instance.c.data_set_skip
    row = connection.execute(
        select(func.count().label("items"), func.coalesce(func.sum(data_set_length), 0))
        .select_from(delivery_item)
        .join(instance, delivery_item.c.instance_id == instance.c.id)
        .where(which)
    ).one()
    return row[0], int(row[1])
