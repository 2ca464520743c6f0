"""What people decide about deliveries: another attempt, another candidate, none at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select, update

from router.domain.candidate import Priority
from router.domain.delivery import (
    Delivery,
    DeliveryEvent,
    DeliveryState,
    ItemState,
    next_delivery_state,
)
from router.domain.errors import StateConflict, UnknownStudy
from router.domain.study import RevisionState
from router.ledger.deliveries import settle
from router.ledger.routing import count_items, count_up, create_items, insert_delivery
from router.ledger.rows import SELECT_DELIVERIES, delivery_of, load_delivery
from router.ledger.schema import delivery, delivery_item, instance, revision, study
from router.ports import Intervention

RECLAIMED = "its bytes have left the spool: ask the source to send the study again"
_CLOSED = (RevisionState.UNROUTED, RevisionState.ROUTED, RevisionState.SETTLED)


def revive(connection: Connection, delivery_id: int, at: datetime) -> Intervention:
    """See ``ports.InterventionLedger.revive``."""
    current = load_delivery(connection, delivery_id)
    state = next_delivery_state(current.state, DeliveryEvent.REVIVE)
    _reopen(connection, current.revision_id)
    of_delivery = delivery_item.c.delivery_id == delivery_id
    _check_retained(connection, of_delivery & (delivery_item.c.state != ItemState.DELIVERED))
    connection.execute(
        update(delivery_item)
        .where(of_delivery, delivery_item.c.state != ItemState.DELIVERED)
        .values(state=ItemState.PENDING, drops=0)
    )
    _, remaining = count_items(
        connection, of_delivery & (delivery_item.c.state == ItemState.PENDING)
    )
    connection.execute(
        update(delivery)
        .where(delivery.c.id == delivery_id)
        .values(
            state=state,
            required=True,
            refused=0,
            remaining_bytes=remaining,
            next_attempt_at=None,
            revived_at=at,
        )
    )
    return Intervention(wanted=(load_delivery(connection, delivery_id),))


def dismiss(connection: Connection, delivery_id: int, at: datetime, reason: str) -> Intervention:
    """See ``ports.InterventionLedger.dismiss``."""
    dismissed = _dismiss(connection, load_delivery(connection, delivery_id), reason)
    settled = settle(connection, dismissed.revision_id, at)
    return Intervention(dismissed=(dismissed,), settled=settled)


def redirect(connection: Connection, delivery_id: int, ae_title: str, at: datetime) -> Intervention:
    """See ``ports.InterventionLedger.redirect``."""
    current = load_delivery(connection, delivery_id)
    next_delivery_state(current.state, DeliveryEvent.DISMISS)
    for other in _of_revision(connection, current.revision_id):
        if other.ae_title == ae_title and other.state is not DeliveryState.DISMISSED:
            raise StateConflict(
                f"{ae_title} has a delivery of this study already: {other.id}, {other.state}; "
                "retry that one, or dismiss this one"
            )
    _reopen(connection, current.revision_id)
    new = _copy(connection, current, ae_title, at)
    old = _dismiss(connection, current, f"redirected to {ae_title}: delivery {new.id}")
    return Intervention(dismissed=(old,), wanted=(new,))


def resend(
    connection: Connection, study_instance_uid: str, ae_titles: Sequence[str] | None, at: datetime
) -> Intervention:
    """See ``ports.InterventionLedger.resend``."""
    study_id = connection.execute(
        select(study.c.id).where(study.c.study_instance_uid == study_instance_uid)
    ).scalar_one_or_none()
    if study_id is None:
        raise UnknownStudy(f"the ledger holds no study {study_instance_uid}")
    revision_ids = _retained_revisions(connection, study_id)
    if not revision_ids:
        raise StateConflict(
            f"nothing of study {study_instance_uid} can be sent: "
            f"it is still arriving, held or discarded, or {RECLAIMED}"
        )
    sent = [_resend(connection, number, ae_titles, at) for number in revision_ids]
    wanted = tuple(new for one in sent for new in one.wanted)
    if not wanted:
        raise StateConflict(
            f"nothing of study {study_instance_uid} is to be sent again: "
            + ("it was given to no candidate yet" if ae_titles is None else "it is on its way")
        )
    return Intervention(tuple(old for one in sent for old in one.dismissed), wanted)


def _resend(
    connection: Connection, revision_id: int, ae_titles: Sequence[str] | None, at: datetime
) -> Intervention:
    """The same for one revision; who waits for it anyway gets nothing more."""
    latest = {one.ae_title: one for one in _of_revision(connection, revision_id)}
    unfinished = {name for name, one in latest.items() if not one.state.is_terminal}
    wanted, dismissed = [], []
    for ae_title in dict.fromkeys(latest if ae_titles is None else ae_titles):
        if ae_title in unfinished:
            continue
        _reopen(connection, revision_id)
        former = latest.get(ae_title)
        if former is None:
            wanted.append(_create(connection, revision_id, ae_title, at, Priority.NORMAL))
            continue
        new = _copy(connection, former, ae_title, at)
        wanted.append(new)
        if former.state is DeliveryState.DEAD:
            dismissed.append(_dismiss(connection, former, f"sent again: delivery {new.id}"))
    return Intervention(tuple(dismissed), tuple(wanted))


def _retained_revisions(connection: Connection, study_id: int) -> Sequence[int]:
    """Complete revisions all of whose bytes are in the spool, the oldest first."""
    reclaimed = (
        select(instance.c.id)
        .where(instance.c.revision_id == revision.c.id, instance.c.reclaimed_at.is_not(None))
        .exists()
    )
    return (
        connection.execute(
            select(revision.c.id)
            .where(revision.c.study_id == study_id, revision.c.state.in_(_CLOSED), ~reclaimed)
            .order_by(revision.c.number)
            .with_for_update()
        )
        .scalars()
        .all()
    )


def _of_revision(connection: Connection, revision_id: int) -> Sequence[Delivery]:
    rows = connection.execute(
        SELECT_DELIVERIES.where(delivery.c.revision_id == revision_id).order_by(delivery.c.id)
    )
    return [delivery_of(row) for row in rows]


def _reopen(connection: Connection, revision_id: int) -> None:
    """Let the revision wait for its deliveries again, so that its bytes stay."""
    connection.execute(
        update(revision)
        .where(
            revision.c.id == revision_id,
            revision.c.state.in_((RevisionState.UNROUTED, RevisionState.SETTLED)),
        )
        .values(state=RevisionState.ROUTED, settled_at=None)
    )


def _dismiss(connection: Connection, current: Delivery, reason: str) -> Delivery:
    connection.execute(
        update(delivery)
        .where(delivery.c.id == current.id)
        .values(
            state=next_delivery_state(current.state, DeliveryEvent.DISMISS),
            next_attempt_at=None,
            reason=reason,
        )
    )
    return load_delivery(connection, current.id)


def _copy(connection: Connection, former: Delivery, ae_title: str, at: datetime) -> Delivery:
    """Create a delivery of the same instances."""
    instances = select(delivery_item.c.instance_id).where(delivery_item.c.delivery_id == former.id)
    return _create(
        connection,
        former.revision_id,
        ae_title,
        at,
        former.priority,
        instance.c.id.in_(instances),
    )


def _create(
    connection: Connection,
    revision_id: int,
    ae_title: str,
    at: datetime,
    priority: int,
    *which: ColumnElement[bool],
) -> Delivery:
    """Create a delivery of instances of a revision: of all, or of some ``which``."""
    delivery_id = insert_delivery(
        connection, revision_id, ae_title, at, priority=priority, required=True
    )
    create_items(connection, revision_id, delivery.c.id == delivery_id, *which)
    _check_retained(connection, delivery_item.c.delivery_id == delivery_id)
    count_up(connection, delivery_id)
    return load_delivery(connection, delivery_id)


def _check_retained(connection: Connection, which: ColumnElement[bool]) -> None:
    """Raise ``StateConflict`` if bytes of any of these items have left the spool."""
    gone = connection.execute(
        select(func.count())
        .select_from(delivery_item)
        .join(instance, delivery_item.c.instance_id == instance.c.id)
        .where(which, instance.c.reclaimed_at.is_not(None))
    ).scalar_one()
    if gone:
        raise StateConflict(f"the study cannot be sent again: {RECLAIMED}")
