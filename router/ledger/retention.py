"""Which bytes may leave the spool, and the record that they have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, case, delete, or_, select, update

from router.domain.commitment import TransactionState
from router.domain.delivery import DeliveryState
from router.domain.instance import Disposition, SpoolRef
from router.domain.study import RevisionState
from router.ledger.chunks import chunks
from router.ledger.rows import spool_ref
from router.ledger.schema import (
    HELD_FOR_NOBODY,
    commitment,
    commitment_item,
    delivery,
    instance,
    refusal,
    revision,
    segment,
)

GIVEN_UP = (
    "not delivered before its bytes were reclaimed: every required candidate had the study, "
    "and this candidate is not required"
)
_UNDER_WAY = (DeliveryState.ACTIVE, DeliveryState.COMMITTING)
_OVER = (RevisionState.SETTLED, RevisionState.DISCARDED)
"""Nobody waits for these any more; a discarded one stays so when its bytes have gone."""
_WAITING = (DeliveryState.PENDING, DeliveryState.RETRYING)


def reclaimable(
    connection: Connection, settled_before: datetime, limit: int
) -> Sequence[tuple[int, SpoolRef]]:
    """See ``ports.Ledger.reclaimable`` and ``SqlLedger.reclaimable``."""
    active = (
        select(delivery.c.id)
        .where(delivery.c.revision_id == revision.c.id)
        .where(delivery.c.state.in_(_UNDER_WAY))
        .exists()
    )
    rows = connection.execute(
        select(instance, segment.c.name.label("segment"))
        .join_from(instance, revision, instance.c.revision_id == revision.c.id)
        .join(segment, instance.c.segment_id == segment.c.id)
        .where(
            revision.c.state.in_(_OVER),
            revision.c.reclaimed_at.is_(None),
            revision.c.settled_at < settled_before,
            instance.c.reclaimed_at.is_(None),
            ~active,
        )
        .order_by(revision.c.settled_at, revision.c.id)
        .limit(limit)
    ).all()
    _give_up_waiting_deliveries(connection, {row.revision_id for row in rows})
    return [(row.id, spool_ref(row)) for row in rows]


def held_for_nobody(
    connection: Connection, quarantined_before: datetime, limit: int
) -> Sequence[tuple[int, SpoolRef]]:
    """See ``ports.Ledger.held_for_nobody``."""
    rows = connection.execute(
        select(instance, segment.c.name.label("segment"))
        .join_from(instance, segment, instance.c.segment_id == segment.c.id)
        .where(
            HELD_FOR_NOBODY,
            or_(
                instance.c.disposition != Disposition.QUARANTINED,
                instance.c.received_at < quarantined_before,
            ),
        )
        .order_by(instance.c.id)
        .limit(limit)
    )
    return [(row.id, spool_ref(row)) for row in rows]


def forget_refusals(connection: Connection, before: datetime, limit: int) -> int:
    """See ``ports.Ledger.forget_refusals``; looks at the oldest few, so it needs no index."""
    oldest = select(refusal.c.id).order_by(refusal.c.id).limit(limit).scalar_subquery()
    return connection.execute(
        delete(refusal).where(refusal.c.id.in_(oldest), refusal.c.received_at < before)
    ).rowcount


def forget_commitments(connection: Connection, before: datetime, limit: int) -> int:
    """See ``ports.RetentionLedger.forget_commitments``.

    Looks at the oldest few, so it needs no index. One that was asked for again stands among them
    although it ended late; it goes in its turn, and the others after it.
    """
    oldest = (
        select(commitment.c.id, commitment.c.ended_at)
        .where(commitment.c.state != TransactionState.OPEN)
        .order_by(commitment.c.id)
        .limit(limit)
    )
    over = [row.id for row in connection.execute(oldest) if row.ended_at < before]
    for some in chunks(over):
        items = commitment_item.c.commitment_id.in_(some)
        connection.execute(delete(commitment_item).where(items))
        connection.execute(delete(commitment).where(commitment.c.id.in_(some)))
    return len(over)


def reclaimed(connection: Connection, instance_ids: Sequence[int], at: datetime) -> None:
    """See ``ports.Ledger.reclaimed``."""
    for some in chunks(instance_ids):
        connection.execute(
            update(instance)
            .where(instance.c.id.in_(some), instance.c.reclaimed_at.is_(None))
            .values(reclaimed_at=at)
        )
        left = (
            select(instance.c.id)
            .where(instance.c.revision_id == revision.c.id, instance.c.reclaimed_at.is_(None))
            .exists()
        )
        touched = select(instance.c.revision_id).where(instance.c.id.in_(some))
        connection.execute(
            update(revision)
            .where(
                revision.c.id.in_(touched),
                revision.c.state.in_(_OVER),
                ~left,
            )
            .values(
                state=case(
                    (revision.c.state == RevisionState.SETTLED, RevisionState.RECLAIMED),
                    else_=revision.c.state,
                ),
                reclaimed_at=at,
            )
        )


def _give_up_waiting_deliveries(connection: Connection, revision_ids: Iterable[int]) -> None:
    """Before any byte goes: no attempt may begin that would find its bytes gone."""
    for some in chunks(revision_ids):
        connection.execute(
            update(delivery)
            .where(delivery.c.revision_id.in_(some), delivery.c.state.in_(_WAITING))
            .values(state=DeliveryState.DEAD, next_attempt_at=None, reason=GIVEN_UP)
        )
