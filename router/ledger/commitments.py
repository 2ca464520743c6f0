"""Storage commitment transactions, and what is known of the instances that they list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from router.domain.commitment import (
    CommitmentRequest,
    Holding,
    Reference,
    Requester,
    Transaction,
    TransactionState,
)
from router.domain.delivery import DeliveryState, ItemState
from router.domain.instance import Disposition
from router.domain.study import GROWING, RevisionKey, RevisionState
from router.ledger.chunks import chunks
from router.ledger.rows import SELECT_REVISION_KEYS, Values, revision_key
from router.ledger.schema import (
    commitment,
    commitment_item,
    delivery,
    delivery_item,
    instance,
    revision,
)


def begin(
    connection: Connection, request: CommitmentRequest, requester: Requester, at: datetime
) -> Transaction | None:
    """See ``ports.CommitmentLedger.begin_commitment``."""
    known = connection.execute(
        select(commitment.c.id).where(
            commitment.c.calling_ae_title == requester.calling_ae_title,
            commitment.c.transaction_uid == request.transaction_uid,
        )
    ).scalar_one_or_none()
    if known is None:
        return _load(connection, _insert(connection, request, requester, at))
    if tuple(references(connection, known)) != request.references:
        return None
    connection.execute(
        update(commitment)
        .where(commitment.c.id == known)
        .values(**_opened(requester, at), next_attempt_at=None, ended_at=None)
    )
    return _load(connection, known)


def _insert(
    connection: Connection, request: CommitmentRequest, requester: Requester, at: datetime
) -> int:
    number: int = connection.execute(
        insert(commitment)
        .values(
            transaction_uid=request.transaction_uid,
            calling_ae_title=requester.calling_ae_title,
            **_opened(requester, at),
        )
        .returning(commitment.c.id)
    ).scalar_one()
    connection.execute(
        insert(commitment_item),
        [
            {
                "commitment_id": number,
                "number": position,
                "sop_class_uid": reference.sop_class_uid,
                "sop_instance_uid": reference.sop_instance_uid,
            }
            for position, reference in enumerate(request.references)
        ],
    )
    return number


def _opened(requester: Requester, at: datetime) -> Values:
    """What holds from each request on, the first one or a repeated one."""
    return {
        "called_ae_title": requester.called_ae_title,
        "address": requester.address,
        "requested_at": at,
        "state": TransactionState.OPEN,
        "attempts": 0,
        "reason": "",
    }


def _load(connection: Connection, number: int) -> Transaction:
    return _transaction(
        connection.execute(select(commitment).where(commitment.c.id == number)).one()
    )


def _transaction(row: Row[Any]) -> Transaction:
    return Transaction(
        id=row.id,
        transaction_uid=row.transaction_uid,
        requester=Requester(row.calling_ae_title, row.called_ae_title, row.address),
        requested_at=row.requested_at,
        state=row.state,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        reason=row.reason,
    )


def open_transactions(connection: Connection) -> Sequence[Transaction]:
    """See ``ports.CommitmentLedger.open_commitments``."""
    rows = connection.execute(
        select(commitment)
        .where(commitment.c.state == TransactionState.OPEN)
        .order_by(commitment.c.id)
    )
    return [_transaction(row) for row in rows]


def references(connection: Connection, transaction_id: int) -> Sequence[Reference]:
    """See ``ports.CommitmentLedger.references``."""
    rows = connection.execute(
        select(commitment_item.c.sop_class_uid, commitment_item.c.sop_instance_uid)
        .where(commitment_item.c.commitment_id == transaction_id)
        .order_by(commitment_item.c.number)
    )
    return [Reference(row.sop_class_uid, row.sop_instance_uid) for row in rows]


def holdings(connection: Connection, sop_instance_uids: Collection[str]) -> Mapping[str, Holding]:
    """See ``ports.CommitmentLedger.holdings``."""
    newest = _newest(connection, sop_instance_uids)
    revisions = {row.revision_id for row in newest.values() if row.revision_id is not None}
    determined = _determined(connection, revisions)
    required = _required(connection, [row.id for row in newest.values()])
    return {
        uid: Holding(
            sop_class_uid=row.sop_class_uid,
            is_accepted=row.disposition is Disposition.ACCEPTED
            and not _is_given_up(row.revision_state),
            required=tuple(required[row.id]) if row.revision_id in determined else None,
        )
        for uid, row in newest.items()
    }


def _newest(connection: Connection, uids: Collection[str]) -> dict[str, Any]:
    """Of instances that came more than once, the last one that counts.

    What only repeats another is delivered to nobody: the one that is kept answers for it. What was
    discarded with its revision says nothing of another that was not.
    """
    found: dict[str, Any] = {}
    for some in chunks(uids):
        rows = connection.execute(
            select(
                instance.c.id,
                instance.c.sop_instance_uid,
                instance.c.sop_class_uid,
                instance.c.disposition,
                instance.c.revision_id,
                revision.c.state.label("revision_state"),
            )
            .join_from(instance, revision, instance.c.revision_id == revision.c.id, isouter=True)
            .where(
                instance.c.sop_instance_uid.in_(some),
                instance.c.disposition.in_((Disposition.ACCEPTED, Disposition.QUARANTINED)),
            )
            .order_by(instance.c.id)
        )
        for row in rows:
            if not (_is_given_up(row.revision_state) and row.sop_instance_uid in found):
                found[row.sop_instance_uid] = row
    return found


def _is_given_up(state: RevisionState | None) -> bool:
    return state is RevisionState.DISCARDED


def _determined(connection: Connection, revision_ids: Collection[int]) -> set[int]:
    undecided = (*GROWING, RevisionState.UNROUTED)
    return {
        row.id
        for some in chunks(revision_ids)
        for row in connection.execute(
            select(revision.c.id).where(revision.c.id.in_(some), revision.c.state.not_in(undecided))
        )
    }


def _required(
    connection: Connection, instance_ids: Collection[int]
) -> Mapping[int, list[tuple[DeliveryState, ItemState]]]:
    """What required deliveries make of each instance; where none is required, what all do."""
    by_instance: dict[int, list[tuple[bool, DeliveryState, ItemState]]] = defaultdict(list)
    for some in chunks(instance_ids):
        rows = connection.execute(
            select(
                instance.c.id,
                delivery.c.required,
                delivery.c.state,
                delivery_item.c.state.label("item_state"),
            )
            .select_from(instance)
            .join(delivery, delivery.c.revision_id == instance.c.revision_id)
            .join(
                delivery_item,
                (delivery_item.c.delivery_id == delivery.c.id)
                & (delivery_item.c.instance_id == instance.c.id),
            )
            .where(instance.c.id.in_(some))
        )
        for row in rows:
            by_instance[row.id].append((row.required, row.state, row.item_state))
    chosen: dict[int, list[tuple[DeliveryState, ItemState]]] = defaultdict(list)
    for number, fates in by_instance.items():
        awaited = [fate for fate in fates if fate[0]] or fates
        chosen[number] = [(state, item) for _, state, item in awaited]
    return chosen


def listed_whole(connection: Connection, transaction_id: int) -> Sequence[RevisionKey]:
    """See ``ports.CommitmentLedger.open_revisions_listed_whole``."""
    listed = select(commitment_item.c.sop_instance_uid).where(
        commitment_item.c.commitment_id == transaction_id
    )
    touched = (
        select(revision.c.id)
        .join_from(revision, instance, instance.c.revision_id == revision.c.id)
        .where(
            revision.c.state == RevisionState.OPEN,
            instance.c.sop_instance_uid.in_(listed),
        )
        .distinct()
    )
    missing = (
        select(func.count())
        .select_from(instance)
        .where(
            instance.c.revision_id == revision.c.id,
            instance.c.sop_instance_uid.not_in(listed),
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        SELECT_REVISION_KEYS.where(revision.c.id.in_(touched), missing == 0).order_by(revision.c.id)
    )
    return [revision_key(row) for row in rows]


def postpone(
    connection: Connection, transaction_id: int, next_attempt_at: datetime, reason: str
) -> None:
    """See ``ports.CommitmentLedger.postpone_report``."""
    connection.execute(
        update(commitment)
        .where(commitment.c.id == transaction_id)
        .values(attempts=commitment.c.attempts + 1, next_attempt_at=next_attempt_at, reason=reason)
    )


def end(
    connection: Connection,
    transaction_id: int,
    state: TransactionState,
    at: datetime,
    results: Sequence[int],
    reason: str,
) -> None:
    """See ``ports.CommitmentLedger.end_commitment``."""
    connection.execute(
        update(commitment)
        .where(commitment.c.id == transaction_id)
        .values(state=state, ended_at=at, next_attempt_at=None, reason=reason)
    )
    if results:
        connection.execute(
            update(commitment_item)
            .where(
                commitment_item.c.commitment_id == transaction_id,
                commitment_item.c.number == bindparam("item"),
            )
            .values(result=bindparam("said")),
            [{"item": number, "said": result} for number, result in enumerate(results)],
        )
