"""What became of deliveries: attempts, answers, exact counts, settlement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from router.domain.delivery import (
    Delivery,
    DeliveryItem,
    DeliveryState,
    ItemResult,
    ItemState,
    OutcomeKind,
    is_settled,
)
from router.domain.errors import StateConflict
from router.domain.study import RevisionKey, RevisionState
from router.ledger.chunks import chunks
from router.ledger.rows import (
    SELECT_DELIVERIES,
    SELECT_ITEMS,
    SELECT_REVISION_KEYS,
    delivery_of,
    item_of,
    load_delivery,
    revision_key,
)
from router.ledger.schema import attempt, delivery, delivery_item, instance, revision
from router.ledger.suspicion import with_suspicions

UNFINISHED = tuple(state for state in DeliveryState if not state.is_terminal)
INTERRUPTED = "the router stopped before the attempt ended"

_STATE_AFTER = {
    OutcomeKind.STORED: ItemState.DELIVERED,
    OutcomeKind.TEMPORARY: ItemState.PENDING,
    OutcomeKind.PERMANENT: ItemState.REFUSED,
}


def unfinished_deliveries(connection: Connection) -> Sequence[Delivery]:
    """See ``ports.Ledger.unfinished_deliveries``."""
    active = select(delivery.c.id).where(
        delivery.c.state.in_((DeliveryState.ACTIVE, DeliveryState.COMMITTING))
    )
    connection.execute(
        update(attempt)
        .where(attempt.c.delivery_id.in_(active), attempt.c.outcome.is_(None))
        .values(outcome=DeliveryState.PENDING, reason=INTERRUPTED)
    )
    connection.execute(
        update(delivery)
        .where(delivery.c.state == DeliveryState.ACTIVE)
        .values(state=DeliveryState.PENDING, reason=INTERRUPTED)
    )
    rows = connection.execute(
        SELECT_DELIVERIES.where(delivery.c.state.in_(UNFINISHED)).order_by(delivery.c.id)
    )
    return [delivery_of(row) for row in rows]


def pending_items(
    connection: Connection, delivery_id: int, limit: int, after: int
) -> Sequence[DeliveryItem]:
    """See ``ports.Ledger.pending_items``."""
    rows = connection.execute(
        SELECT_ITEMS.where(
            delivery_item.c.delivery_id == delivery_id,
            delivery_item.c.state == ItemState.PENDING,
            delivery_item.c.instance_id > after,
        )
        .order_by(delivery_item.c.instance_id)
        .limit(limit)
    )
    items = [item_of(row) for row in rows.all()]
    return with_suspicions(connection, delivery_id, items)


def begin_attempt(
    connection: Connection, delivery_id: int, at: datetime, state: DeliveryState
) -> None:
    """See ``ports.Ledger.begin_attempt``."""
    current = _load_unfinished(connection, delivery_id)
    connection.execute(
        update(delivery)
        .where(delivery.c.id == delivery_id)
        .values(state=state, attempts=current.attempts + 1, next_attempt_at=None)
    )
    connection.execute(
        insert(attempt).values(
            delivery_id=delivery_id, number=current.attempts + 1, began_at=at, reason=""
        )
    )


def record_results(
    connection: Connection, delivery_id: int, results: Sequence[ItemResult]
) -> Delivery:
    """See ``ports.Ledger.record_results``."""
    return _record(connection, delivery_id, results, overrules=False)


def record_uncommitted(
    connection: Connection, delivery_id: int, results: Sequence[ItemResult]
) -> Delivery:
    """See ``ports.Ledger.record_uncommitted``."""
    _load_unfinished(connection, delivery_id)
    return _record(connection, delivery_id, results, overrules=True)


def stored_items(connection: Connection, delivery_id: int) -> Sequence[DeliveryItem]:
    """See ``ports.Ledger.stored_items``."""
    rows = connection.execute(
        SELECT_ITEMS.where(
            delivery_item.c.delivery_id == delivery_id,
            delivery_item.c.state == ItemState.DELIVERED,
        ).order_by(delivery_item.c.instance_id)
    )
    return [item_of(row) for row in rows]


def _record(
    connection: Connection, delivery_id: int, results: Sequence[ItemResult], *, overrules: bool
) -> Delivery:
    current = load_delivery(connection, delivery_id)
    if not results:
        return current
    items = _load_items(connection, current, {result.instance_id for result in results})
    for result in results:
        items[result.instance_id].take(result, overrules=overrules)
    changed = [item for item in items.values() if item.last is not None]
    _store_items(connection, delivery_id, changed)
    remaining_bytes = (
        current.remaining_bytes
        - sum(item.bytes for item in changed if item.was is ItemState.PENDING)
        + sum(item.bytes for item in changed if item.state is ItemState.PENDING)
    )
    after = replace(
        current,
        delivered=current.delivered + _gained(changed, ItemState.DELIVERED),
        refused=current.refused + _gained(changed, ItemState.REFUSED),
        remaining_bytes=remaining_bytes,
    )
    connection.execute(
        update(delivery)
        .where(delivery.c.id == delivery_id)
        .values(
            delivered=after.delivered,
            refused=after.refused,
            remaining_bytes=after.remaining_bytes,
        )
    )
    return after


def end_attempt(
    connection: Connection,
    delivery_id: int,
    state: DeliveryState,
    at: datetime,
    next_attempt_at: datetime | None,
    reason: str,
) -> RevisionKey | None:
    """See ``ports.Ledger.end_attempt``."""
    current = _load_unfinished(connection, delivery_id)
    connection.execute(
        update(delivery)
        .where(delivery.c.id == delivery_id)
        .values(state=state, next_attempt_at=next_attempt_at, reason=reason)
    )
    connection.execute(
        update(attempt)
        .where(attempt.c.delivery_id == delivery_id, attempt.c.number == current.attempts)
        .where(attempt.c.outcome.is_(None))
        .values(ended_at=at, outcome=state, reason=reason)
    )
    if state is not DeliveryState.DELIVERED:
        return None
    return settle(connection, current.revision_id, at)


@dataclass(slots=True)
class _Item:
    """One item as the results change it."""

    instance_id: int
    was: ItemState
    state: ItemState
    attempts: int
    bytes: int
    last: ItemResult | None = None

    def take(self, result: ItemResult, *, overrules: bool) -> None:
        """Follow the answer; but what is stored stays stored, whatever a late answer says.

        Only who stored it can say that it has it no more: that ``overrules``, and is no attempt.
        """
        if overrules or self.state is not ItemState.DELIVERED:
            self.state = _STATE_AFTER[result.outcome.kind]
            self.attempts += not overrules
            self.last = result


def _gained(items: Sequence[_Item], state: ItemState) -> int:
    return sum((item.state is state) - (item.was is state) for item in items)


def _load_unfinished(connection: Connection, delivery_id: int) -> Delivery:
    current = load_delivery(connection, delivery_id)
    if current.state.is_terminal:
        raise StateConflict(
            f"the delivery of study {current.study_instance_uid} to {current.ae_title} is over: "
            f"{current.state}" + (f", {current.reason}" if current.reason else "")
        )
    return current


def _load_items(
    connection: Connection, current: Delivery, instance_ids: Collection[int]
) -> dict[int, _Item]:
    items = {
        instance_id: _Item(instance_id, state, state, attempts, file_length - data_set_skip)
        for some in chunks(instance_ids)
        for instance_id, state, attempts, file_length, data_set_skip in connection.execute(
            select(
                delivery_item.c.instance_id,
                delivery_item.c.state,
                delivery_item.c.attempts,
                instance.c.file_length,
                instance.c.data_set_skip,
            )
            .join_from(delivery_item, instance, delivery_item.c.instance_id == instance.c.id)
            .where(delivery_item.c.delivery_id == current.id, delivery_item.c.instance_id.in_(some))
        ).all()
    }
    if len(items) < len(instance_ids):
        raise StateConflict(
            f"the delivery of study {current.study_instance_uid} to {current.ae_title} has no "
            f"instances {sorted(set(instance_ids) - set(items))}"
        )
    return items


def _store_items(connection: Connection, delivery_id: int, items: Sequence[_Item]) -> None:
    if not items:
        return
    connection.execute(
        update(delivery_item)
        .where(
            delivery_item.c.delivery_id == delivery_id,
            delivery_item.c.instance_id == bindparam("item"),
        )
        .values(
            state=bindparam("state"),
            attempts=bindparam("attempts"),
            drops=bindparam("drops"),
            status=bindparam("status"),
            reason=bindparam("reason"),
            answered_at=bindparam("answered_at"),
        ),
        [
            {
                "item": item.instance_id,
                "state": item.state,
                "attempts": item.attempts,
                "drops": item.last.drops,
                "status": item.last.outcome.status,
                "reason": item.last.outcome.reason,
                "answered_at": item.last.at,
            }
            for item in items
            if item.last is not None
        ],
    )


def settle(connection: Connection, revision_id: int, at: datetime) -> RevisionKey | None:
    """Settle a routed revision if its deliveries allow it; its key if they do."""
    row = connection.execute(
        SELECT_REVISION_KEYS.where(
            revision.c.id == revision_id, revision.c.state == RevisionState.ROUTED
        ).with_for_update(of=revision)
    ).one_or_none()
    if row is None:
        return None
    fates = connection.execute(
        select(delivery.c.state, delivery.c.required).where(delivery.c.revision_id == revision_id)
    ).all()
    if not is_settled((fate.state, fate.required) for fate in fates):
        return None
    connection.execute(
        update(revision)
        .where(revision.c.id == revision_id)
        .values(state=RevisionState.SETTLED, settled_at=at)
    )
    return revision_key(row)
