"""Arrivals whose name the ledger knows: duplicates, and other bytes of the same name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, select, update

from router.domain.delivery import ItemState
from router.domain.instance import Disposition, Instance
from router.domain.repeats import Content, Copy, OnConflict, judge
from router.domain.study import GROWING, RevisionState
from router.ledger.chunks import chunks
from router.ledger.schema import delivery, delivery_item, instance, revision

Name = tuple[int, str]
"""Study by its id, and SOP Instance UID."""
Place = tuple[str, int]
"""A record's segment and offset: what makes it the same record."""

_SELECT_COPIES: Select[Any] = select(
    instance.c.id,
    instance.c.study_id,
    instance.c.revision_id,
    instance.c.sop_instance_uid,
    instance.c.transfer_syntax_uid,
    instance.c.file_length,
    instance.c.data_set_skip,
    instance.c.checksum,
    instance.c.received_at,
    revision.c.state.label("revision_state"),
).join_from(instance, revision, instance.c.revision_id == revision.c.id)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two instances of one name with other bytes, and what was made of the newer one."""

    arrival: Instance
    other_checksum: str


@dataclass(slots=True)
class _Held:
    """A copy and where it is: a row of the ledger, or an arrival of the same batch."""

    copy: Copy
    row: Row[Any] | None = None
    place: Place | None = None


@dataclass(slots=True)
class Sorted:
    """What is to be recorded of a batch."""

    arrivals: dict[Place, Instance] = field(default_factory=dict)
    """By place, in order, with the disposition and reason that they are recorded with."""
    superseded: list[tuple[Row[Any], str]] = field(default_factory=list)
    """Rows of open revisions that are not to be delivered any more, and why."""
    conflicts: list[Conflict] = field(default_factory=list)


def place_of(arrival: Instance) -> Place:
    """Where its record is."""
    return arrival.ref.segment, arrival.ref.offset


def sort_out(
    connection: Connection,
    studies: Mapping[str, int],
    arrivals: Iterable[Instance],
    policy: OnConflict,
    *,
    in_order: bool,
) -> Sorted:
    """Find out which arrivals repeat what the spool holds, or one another.

    The study rows are locked, so nobody else records instances of these names meanwhile.
    """
    result = Sorted({place_of(arrival): arrival for arrival in arrivals})
    accepted = [
        arrival
        for arrival in result.arrivals.values()
        if arrival.disposition is Disposition.ACCEPTED
    ]
    held = _held(connection, accepted)
    for arrival in accepted:
        identity = arrival.identity
        name = studies[identity.study_instance_uid], identity.sop_instance_uid
        _sort_one(result, arrival, held[name], policy, in_order=in_order)
    return result


def _sort_one(
    result: Sorted, arrival: Instance, held: list[_Held], policy: OnConflict, *, in_order: bool
) -> None:
    place = place_of(arrival)
    if held:
        verdict = judge(arrival, [one.copy for one in held], policy, in_order=in_order)
        recorded = replace(arrival, disposition=verdict.disposition, reason=verdict.reason)
        result.arrivals[place] = recorded
        if verdict.conflicts_with is not None:
            result.conflicts.append(Conflict(recorded, verdict.conflicts_with.content.checksum))
        if verdict.supersedes_open:
            for former in [one for one in held if one.copy.is_open]:
                held.remove(former)
                _supersede(result, former, arrival)
        if verdict.disposition is not Disposition.ACCEPTED:
            return
    copy = Copy(Content.of(arrival), arrival.provenance.received_at, is_open=True)
    held.append(_Held(copy, place=place))


def _supersede(result: Sorted, former: _Held, arrival: Instance) -> None:
    reason = (
        f"superseded by other bytes of the same SOP Instance UID (checksum {arrival.checksum}) "
        f"received at {arrival.provenance.received_at.isoformat()}"
    )
    if former.row is not None:
        result.superseded.append((former.row, reason))
    if former.place is not None:
        result.arrivals[former.place] = replace(
            result.arrivals[former.place], disposition=Disposition.SUPERSEDED, reason=reason
        )


def _held(connection: Connection, arrivals: Sequence[Instance]) -> dict[Name, list[_Held]]:
    """Instances of these names that the spool holds, oldest first.

    What a candidate has refused, what could not be read intact, or what was discarded because its
    study took too long, does not count: sending it again is how people mend that.
    """
    refused = (
        select(delivery.c.id)
        .join_from(delivery, delivery_item, delivery_item.c.delivery_id == delivery.c.id)
        .where(
            delivery.c.revision_id == instance.c.revision_id,
            delivery_item.c.instance_id == instance.c.id,
            delivery_item.c.state == ItemState.REFUSED,
        )
        .exists()
    )
    found: dict[Name, list[_Held]] = defaultdict(list)
    for some in chunks({arrival.identity.sop_instance_uid for arrival in arrivals}):
        query = _SELECT_COPIES.where(
            instance.c.sop_instance_uid.in_(some),
            instance.c.reclaimed_at.is_(None),
            revision.c.state != RevisionState.DISCARDED,
            ~refused,
        )
        for row in connection.execute(query.order_by(instance.c.id).with_for_update(of=revision)):
            found[row.study_id, row.sop_instance_uid].append(_Held(_copy(row), row=row))
    return found


def _copy(row: Row[Any]) -> Copy:
    return Copy(
        Content(row.checksum, row.file_length - row.data_set_skip, row.transfer_syntax_uid),
        row.received_at,
        row.revision_state in GROWING,
    )


def take_out(connection: Connection, superseded: Sequence[tuple[Row[Any], str]]) -> None:
    """Take instances out of their open revisions; their record and the reason stay."""
    if not superseded:
        return
    connection.execute(
        update(instance)
        .where(instance.c.id == bindparam("key"))
        .values(revision_id=None, disposition=Disposition.SUPERSEDED, reason=bindparam("why")),
        [{"key": row.id, "why": reason} for row, reason in superseded],
    )
    connection.execute(
        update(revision)
        .where(revision.c.id == bindparam("key"))
        .values(instances=revision.c.instances - 1, bytes=revision.c.bytes - bindparam("less")),
        [
            {"key": row.revision_id, "less": row.file_length - row.data_set_skip}
            for row, _ in superseded
        ],
    )
