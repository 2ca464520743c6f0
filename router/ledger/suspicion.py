"""Instances that took a candidate down, as the deliveries of the same revision know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, or_, select

from router.domain.delivery import DeliveryItem, ItemState, Suspicion
from router.ledger.schema import delivery, delivery_item

own = delivery.alias("own")
"""The delivery that the items are of."""


def with_suspicions(
    connection: Connection, delivery_id: int, items: Sequence[DeliveryItem]
) -> Sequence[DeliveryItem]:
    """The items of a delivery, in order, each with what speaks against it at another candidate.

    Nothing does once a person has asked for this delivery since. That a third one has stored it
    does not clear it: some receivers look into nothing that they store. Of a delivery that stored
    nothing and set several instances aside it is the candidate that is thought to be at fault.
    """
    if not items:
        return items
    found = _accused(connection, delivery_id, items[0].instance_id, items[-1].instance_id)
    if not found:
        return items
    return [replace(item, suspicion=found.get(item.instance_id)) for item in items]


def _accused(
    connection: Connection, delivery_id: int, first: int, last: int
) -> dict[int, Suspicion]:
    rows = connection.execute(
        select(delivery.c.ae_title, delivery_item, own.c.revived_at)
        .join_from(own, delivery, delivery.c.revision_id == own.c.revision_id)
        .join(delivery_item, delivery_item.c.delivery_id == delivery.c.id)
        .where(
            own.c.id == delivery_id,
            delivery.c.ae_title != own.c.ae_title,
            delivery.c.refused > 0,  # most often there is none, and nothing more is looked at
            or_(delivery.c.delivered > 0, delivery.c.refused == 1),
            delivery_item.c.instance_id.between(first, last),
            delivery_item.c.state == ItemState.REFUSED,
            delivery_item.c.drops > 0,
        )
    )
    return {
        row.instance_id: Suspicion(row.ae_title, row.drops)
        for row in rows
        if row.revived_at is None or row.revived_at < row.answered_at
    }
