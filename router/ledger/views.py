"""Queries behind the HTTP API and the command line.

Lists are paged by key, newest first, so that a page costs the same however deep it lies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, select

from router.domain.delivery import Delivery, DeliveryState, ItemState
from router.domain.errors import UnknownStudy
from router.domain.instance import Disposition
from router.domain.study import RevisionState
from router.domain.views import (
    AttemptView,
    ChoiceView,
    Counts,
    DecisionView,
    DeliveryDetail,
    Page,
    QuarantineEntry,
    RefusalEntry,
    RepeatEntry,
    RevisionDetail,
    StudyDetail,
    StudySummary,
    UndeliveredItem,
)
from router.ledger.chunks import chunks
from router.ledger.database import Database
from router.ledger.rows import (
    SELECT_DELIVERIES,
    SELECT_INSTANCES,
    delivery_of,
    instance_of,
    load_delivery,
    refusal_of,
)
from router.ledger.schema import (
    IN_QUARANTINE,
    REPEATED,
    attempt,
    decision,
    delivery,
    delivery_item,
    instance,
    refusal,
    revision,
    study,
)

T = TypeVar("T")

PAGE = 100
"""Entries of a page, unless the caller says otherwise."""
SHOWN = 100
"""Entries of a list inside a detail."""


class SqlLedgerViews:
    """The ledger as people look at it; implements ``ports.LedgerViews``."""

    def __init__(self, database: Database):
        self._database = database

    async def studies(
        self,
        *,
        limit: int = PAGE,
        after: int | None = None,
        state: RevisionState | None = None,
        patient_id: str | None = None,
    ) -> Page[StudySummary]:
        """See ``ports.LedgerViews.studies``."""
        return await self._database.read(
            lambda connection: _studies(connection, limit, after, state, patient_id)
        )

    async def study(self, study_instance_uid: str) -> StudyDetail:
        """See ``ports.LedgerViews.study``."""
        return await self._database.read(lambda connection: _study(connection, study_instance_uid))

    async def deliveries(
        self,
        *,
        limit: int = PAGE,
        after: int | None = None,
        state: DeliveryState | None = None,
        ae_title: str | None = None,
    ) -> Page[Delivery]:
        """See ``ports.LedgerViews.deliveries``."""
        query = SELECT_DELIVERIES
        if state is not None:
            query = query.where(delivery.c.state == state)
        if ae_title is not None:
            query = query.where(delivery.c.ae_title == ae_title)
        return await self._database.read(
            lambda connection: _page(connection, query, delivery, limit, after, delivery_of)
        )

    async def delivery(self, delivery_id: int) -> DeliveryDetail:
        """See ``ports.LedgerViews.delivery``."""
        return await self._database.read(lambda connection: _delivery(connection, delivery_id))

    async def refusals(
        self,
        *,
        limit: int = PAGE,
        after: int | None = None,
        disposition: Disposition | None = None,
    ) -> Page[RefusalEntry]:
        """See ``ports.LedgerViews.refusals``."""
        query: Select[Any] = select(refusal)
        if disposition is not None:
            query = query.where(refusal.c.disposition == disposition)
        return await self._database.read(
            lambda connection: _page(connection, query, refusal, limit, after, _refusal_entry)
        )

    async def quarantine(
        self, *, limit: int = PAGE, after: int | None = None
    ) -> Page[QuarantineEntry]:
        """See ``ports.LedgerViews.quarantine``."""
        query = SELECT_INSTANCES.where(IN_QUARANTINE)
        return await self._database.read(
            lambda connection: _page(connection, query, instance, limit, after, _quarantine_entry)
        )

    async def counts(self) -> Counts:
        """See ``ports.LedgerViews.counts``."""
        return await self._database.read(_counts)


def _page(
    connection: Connection,
    query: Select[Any],
    table: Table,
    limit: int,
    after: int | None,
    convert: Callable[[Row[Any]], T],
) -> Page[T]:
    """One page of the query, by descending id of ``table``; one row more tells if it goes on."""
    if after is not None:
        query = query.where(table.c.id < after)
    rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit + 1)).all()
    return Page([convert(row) for row in rows[:limit]], _cursor(rows, limit))


def _cursor(rows: Sequence[Row[Any]], limit: int) -> int | None:
    return rows[limit - 1].id if len(rows) > limit else None


def _refusal_entry(row: Row[Any]) -> RefusalEntry:
    return RefusalEntry(row.id, refusal_of(row))


def _quarantine_entry(row: Row[Any]) -> QuarantineEntry:
    return QuarantineEntry(row.id, instance_of(row), row.reclaimed_at)


def _repeat_entry(row: Row[Any]) -> RepeatEntry:
    return RepeatEntry(row.id, instance_of(row), row.reclaimed_at)


def _studies(
    connection: Connection,
    limit: int,
    after: int | None,
    state: RevisionState | None,
    patient_id: str | None,
) -> Page[StudySummary]:
    query: Select[Any] = select(study)
    if patient_id is not None:
        query = query.where(study.c.patient_id == patient_id)
    if state is not None:
        query = query.where(_has_revision(state, limit, after, few=patient_id is not None))
    found = _page(connection, query, study, limit, after, lambda row: row)
    return Page(_summaries(connection, found.items), found.next)


def _has_revision(
    state: RevisionState, limit: int, after: int | None, *, few: bool
) -> ColumnElement[bool]:
    """Studies of one page that have a revision in a state.

    Among few studies each is asked; among all, the index names the newest ones in that state.
    """
    inside = select(revision.c.study_id).where(revision.c.state == state)
    if few:
        return inside.where(revision.c.study_id == study.c.id).exists()
    if after is not None:
        inside = inside.where(revision.c.study_id < after)
    newest = inside.distinct().order_by(revision.c.study_id.desc()).limit(limit + 1)
    return study.c.id.in_(newest)


def _summaries(connection: Connection, rows: Sequence[Row[Any]]) -> list[StudySummary]:
    ids = [row.id for row in rows]
    revisions: dict[int, list[Row[Any]]] = defaultdict(list)
    deliveries: dict[int, dict[DeliveryState, int]] = defaultdict(dict)
    for some in chunks(ids):
        for row in connection.execute(
            select(revision).where(revision.c.study_id.in_(some)).order_by(revision.c.number)
        ):
            revisions[row.study_id].append(row)
        for row in connection.execute(
            select(revision.c.study_id, delivery.c.state, func.count().label("deliveries"))
            .join_from(delivery, revision, delivery.c.revision_id == revision.c.id)
            .where(revision.c.study_id.in_(some))
            .group_by(revision.c.study_id, delivery.c.state)
        ):
            deliveries[row.study_id][row.state] = row.deliveries
    return [_summary(row, revisions[row.id], deliveries[row.id]) for row in rows]


def _summary(
    row: Row[Any], revisions: Sequence[Row[Any]], deliveries: dict[DeliveryState, int]
) -> StudySummary:
    return StudySummary(
        study_instance_uid=row.study_instance_uid,
        patient_id=row.patient_id,
        first_arrival_at=row.first_arrival_at,
        last_arrival_at=row.last_arrival_at,
        revisions=len(revisions),
        state=revisions[-1].state if revisions else None,
        instances=sum(one.instances for one in revisions),
        bytes=sum(one.bytes for one in revisions),
        quarantined=row.quarantined,
        deliveries=deliveries,
    )


def _study(connection: Connection, study_instance_uid: str) -> StudyDetail:
    row = connection.execute(
        select(study).where(study.c.study_instance_uid == study_instance_uid)
    ).one_or_none()
    if row is None:
        raise UnknownStudy(f"the ledger holds no study {study_instance_uid}")
    (summary,) = _summaries(connection, [row])
    refusals = select(refusal).where(refusal.c.study_instance_uid == study_instance_uid)
    quarantine = SELECT_INSTANCES.where(instance.c.study_id == row.id, IN_QUARANTINE)
    repeats = SELECT_INSTANCES.where(instance.c.study_id == row.id, REPEATED)
    return StudyDetail(
        summary=summary,
        revisions=tuple(_revisions(connection, row.id)),
        quarantine=tuple(
            _page(connection, quarantine, instance, SHOWN, None, _quarantine_entry).items
        ),
        repeated=_count(
            connection, select(instance.c.id).where(instance.c.study_id == row.id, REPEATED)
        ),
        repeats=tuple(_page(connection, repeats, instance, SHOWN, None, _repeat_entry).items),
        refused=_count(connection, refusals),
        refusals=tuple(_page(connection, refusals, refusal, SHOWN, None, _refusal_entry).items),
    )


def _count(connection: Connection, query: Select[Any]) -> int:
    count: int = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    return count


def _revisions(connection: Connection, study_id: int) -> Sequence[RevisionDetail]:
    of_study = select(revision.c.id).where(revision.c.study_id == study_id)
    decisions: dict[int, list[DecisionView]] = defaultdict(list)
    for row in connection.execute(
        select(decision).where(decision.c.revision_id.in_(of_study)).order_by(decision.c.id)
    ):
        choices = tuple(ChoiceView(**choice) for choice in row.choices)
        decisions[row.revision_id].append(DecisionView(row.decided_at, choices))
    deliveries: dict[int, list[Delivery]] = defaultdict(list)
    for row in connection.execute(
        SELECT_DELIVERIES.where(delivery.c.revision_id.in_(of_study)).order_by(delivery.c.id)
    ):
        deliveries[row.revision_id].append(delivery_of(row))
    rows = connection.execute(
        select(revision).where(revision.c.study_id == study_id).order_by(revision.c.number)
    )
    return [_revision(row, decisions[row.id], deliveries[row.id]) for row in rows]


def _revision(
    row: Row[Any], decisions: Sequence[DecisionView], deliveries: Sequence[Delivery]
) -> RevisionDetail:
    return RevisionDetail(
        id=row.id,
        number=row.number,
        state=row.state,
        opened_at=row.opened_at,
        last_instance_at=row.last_instance_at,
        completed_at=row.completed_at,
        completed_by=row.completed_by,
        settled_at=row.settled_at,
        reclaimed_at=row.reclaimed_at,
        instances=row.instances,
        bytes=row.bytes,
        decisions=tuple(decisions),
        deliveries=tuple(deliveries),
    )


_SELECT_UNDELIVERED: Select[Any] = (
    select(
        delivery_item.c.instance_id,
        instance.c.sop_instance_uid,
        delivery_item.c.state,
        delivery_item.c.attempts,
        delivery_item.c.status,
        delivery_item.c.reason,
    )
    .join_from(delivery_item, instance, delivery_item.c.instance_id == instance.c.id)
    .where(delivery_item.c.state != ItemState.DELIVERED, delivery_item.c.attempts > 0)
    .order_by(delivery_item.c.instance_id)
    .limit(SHOWN)
)


def _delivery(connection: Connection, delivery_id: int) -> DeliveryDetail:
    attempts = connection.execute(
        select(attempt).where(attempt.c.delivery_id == delivery_id).order_by(attempt.c.number)
    )
    items = connection.execute(
        _SELECT_UNDELIVERED.where(delivery_item.c.delivery_id == delivery_id)
    )
    return DeliveryDetail(
        delivery=load_delivery(connection, delivery_id),
        attempts=tuple(
            AttemptView(row.number, row.began_at, row.ended_at, row.outcome, row.reason)
            for row in attempts
        ),
        undelivered=tuple(_undelivered(row) for row in items),
    )


def _undelivered(row: Row[Any]) -> UndeliveredItem:
    return UndeliveredItem(
        instance_id=row.instance_id,
        sop_instance_uid=row.sop_instance_uid,
        refused=row.state is ItemState.REFUSED,
        attempts=row.attempts,
        status=row.status,
        reason=row.reason,
    )


def _counts(connection: Connection) -> Counts:
    arrived = connection.execute(
        select(
            func.coalesce(func.sum(revision.c.instances), 0).label("instances"),
            func.coalesce(func.sum(revision.c.bytes), 0).label("bytes"),
        )
    ).one()
    known = connection.execute(
        select(
            func.count().label("studies"),
            func.coalesce(func.sum(study.c.quarantined), 0).label("quarantined"),
        ).select_from(study)
    ).one()
    return Counts(
        studies=known.studies,
        instances=int(arrived.instances),
        bytes=int(arrived.bytes),
        quarantined=int(known.quarantined),
        revisions=_tally(connection, revision),
        deliveries=_tally(connection, delivery),
        refusals=_tally(connection, refusal, "disposition"),
    )


def _tally(connection: Connection, table: Table, column: str = "state") -> dict[Any, int]:
    """How many rows of the table have each word in this column."""
    word = table.c[column]
    rows = connection.execute(select(word, func.count()).group_by(word))
    return {row[0]: row[1] for row in rows}
