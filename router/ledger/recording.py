"""Recording what came through the door, a batch in a dozen statements, however long the batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, case, func, insert, select, update

from router.domain.instance import Disposition, Instance, Refusal
from router.domain.repeats import OnConflict
from router.domain.study import GROWING, OpenRevision, RevisionKey, RevisionState
from router.ledger.chunks import chunks
from router.ledger.dialect import upsert
from router.ledger.repeats import Conflict, Place, Sorted, place_of, sort_out, take_out
from router.ledger.rows import (
    SELECT_REVISION_KEYS,
    Values,
    instance_values,
    refusal_values,
    revision_key,
)
from router.ledger.schema import instance, refusal, revision, segment, study

PATIENT_ID = "PatientID"


@dataclass(slots=True)
class _Growth:
    """What a batch adds to one study, or to one revision."""

    since: datetime
    until: datetime
    instances: int = 0
    bytes: int = 0
    quarantined: int = 0

    def add(self, arrival: Instance) -> None:
        received_at = arrival.provenance.received_at
        self.since = min(self.since, received_at)
        self.until = max(self.until, received_at)
        self.instances += 1
        self.bytes += arrival.ref.data_set_length
        self.quarantined += arrival.disposition is Disposition.QUARANTINED


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recording a batch has led to."""

    keys: Sequence[RevisionKey | None]
    """For each arrival, the revision that it belongs to."""
    conflicts: Sequence[Conflict]


def record(
    connection: Connection,
    arrivals: Sequence[Instance | Refusal],
    on_conflict: OnConflict,
    *,
    in_order: bool,
) -> Recorded:
    """See ``ports.Ledger.record``."""
    instances = [arrival for arrival in arrivals if isinstance(arrival, Instance)]
    refusals = [arrival for arrival in arrivals if isinstance(arrival, Refusal)]
    keys, conflicts = _record_instances(connection, instances, on_conflict, in_order=in_order)
    if refusals:
        connection.execute(insert(refusal), [refusal_values(arrival) for arrival in refusals])
    return Recorded(
        [
            keys.get(place_of(arrival)) if isinstance(arrival, Instance) else None
            for arrival in arrivals
        ],
        conflicts,
    )


def recorded_through(connection: Connection) -> dict[str, int]:
    """See ``ports.Ledger.recorded_through``."""
    return {
        row.name: row.recorded_through
        for row in connection.execute(select(segment.c.name, segment.c.recorded_through))
    }


def open_revisions(connection: Connection) -> Sequence[OpenRevision]:
    """See ``ports.Ledger.open_revisions``."""
    senders: dict[int, set[str]] = defaultdict(set)
    for revision_id, calling_ae_title in connection.execute(
        select(instance.c.revision_id, instance.c.calling_ae_title)
        .join_from(instance, revision, instance.c.revision_id == revision.c.id)
        .where(revision.c.state.in_(GROWING))
        .distinct()
    ):
        senders[revision_id].add(calling_ae_title)
    rows = connection.execute(
        SELECT_REVISION_KEYS.add_columns(
            revision.c.state,
            revision.c.opened_at,
            revision.c.last_instance_at,
            revision.c.instances,
        )
        .where(revision.c.state.in_(GROWING))
        .order_by(revision.c.id)
    )
    return [
        OpenRevision(
            key=revision_key(row),
            opened_at=row.opened_at,
            last_instance_at=row.last_instance_at,
            instances=row.instances,
            calling_ae_titles=frozenset(senders[row.id]),
            is_held=row.state is RevisionState.HELD,
        )
        for row in rows
    ]


def _record_instances(
    connection: Connection, arrivals: Sequence[Instance], on_conflict: OnConflict, *, in_order: bool
) -> tuple[dict[Place, RevisionKey | None], Sequence[Conflict]]:
    if not arrivals:
        return {}, ()
    segments = _segments(connection, arrivals)
    keys = _already_recorded(connection, segments, arrivals)
    new = [arrival for arrival in arrivals if place_of(arrival) not in keys]
    if not new:
        return keys, ()
    studies = _studies(connection, new)
    found = sort_out(connection, studies, new, on_conflict, in_order=in_order)
    take_out(connection, found.superseded)
    _insert(connection, segments, studies, found, keys)
    _advance(connection, segments, new)
    return keys, found.conflicts


def _insert(
    connection: Connection,
    segments: dict[str, _Segment],
    studies: dict[str, int],
    found: Sorted,
    keys: dict[Place, RevisionKey | None],
) -> None:
    """Write the rows; ``keys`` learns the revision that each belongs to."""
    revisions = _revisions(connection, studies, found.arrivals.values())
    rows: list[Values] = []
    for place, arrival in found.arrivals.items():
        study_uid = arrival.identity.study_instance_uid
        accepted = arrival.disposition is Disposition.ACCEPTED
        keys[place] = key = revisions[study_uid] if accepted else None
        rows.append(
            instance_values(
                arrival, studies[study_uid], key.id if key else None, segments[place[0]].id
            )
        )
    connection.execute(insert(instance), rows)


@dataclass(frozen=True, slots=True)
class _Segment:
    id: int
    recorded_through: int


def _segments(connection: Connection, arrivals: Sequence[Instance]) -> dict[str, _Segment]:
    names = sorted({arrival.ref.segment for arrival in arrivals})
    connection.execute(
        upsert(connection.dialect.name, segment).on_conflict_do_nothing(),
        [{"name": name, "recorded_through": 0} for name in names],
    )
    return {
        row.name: _Segment(row.id, row.recorded_through)
        for some in chunks(names)
        for row in connection.execute(select(segment).where(segment.c.name.in_(some)))
    }


def _already_recorded(
    connection: Connection, segments: dict[str, _Segment], arrivals: Sequence[Instance]
) -> dict[Place, RevisionKey | None]:
    """Find the records that are in the ledger, and the revision that each belongs to.

    ``recorded_through`` is the end of the last record of a segment that the ledger holds. What
    begins past it is new for certain; only what begins before it, after a crash, is looked up.
    """
    suspects: dict[str, list[int]] = defaultdict(list)
    for arrival in arrivals:
        if arrival.ref.offset < segments[arrival.ref.segment].recorded_through:
            suspects[arrival.ref.segment].append(arrival.ref.offset)
    known: dict[Place, int | None] = {}
    for name, offsets in suspects.items():
        for some in chunks(offsets):
            for row in connection.execute(
                select(instance.c.offset, instance.c.revision_id).where(
                    instance.c.segment_id == segments[name].id, instance.c.offset.in_(some)
                )
            ):
                known[name, row.offset] = row.revision_id
    keys = _keys(connection, {number for number in known.values() if number is not None})
    return {place: None if number is None else keys[number] for place, number in known.items()}


def _keys(connection: Connection, revision_ids: Iterable[int]) -> dict[int, RevisionKey]:
    return {
        row.id: revision_key(row)
        for some in chunks(revision_ids)
        for row in connection.execute(SELECT_REVISION_KEYS.where(revision.c.id.in_(some)))
    }


def _studies(connection: Connection, arrivals: Sequence[Instance]) -> dict[str, int]:
    """Study Instance UID to id, of studies created or grown by these arrivals.

    The rows stay locked until the transaction ends, so that routers which share a ledger open
    one revision, not two; in the order of their UIDs, so that they never wait for each other
    in a circle.
    """
    growths = _growths(arrivals)
    patients: dict[str, str] = {}
    for arrival in arrivals:
        named = arrival.facts.get(PATIENT_ID)
        if named:
            patients.setdefault(arrival.identity.study_instance_uid, named[0])
    statement = upsert(connection.dialect.name, study)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[study.c.study_instance_uid],
            set_={
                "patient_id": case(
                    (study.c.patient_id == "", new.patient_id), else_=study.c.patient_id
                ),
                "last_arrival_at": case(
                    (study.c.last_arrival_at < new.last_arrival_at, new.last_arrival_at),
                    else_=study.c.last_arrival_at,
                ),
                "quarantined": study.c.quarantined + new.quarantined,
            },
        ),
        [
            {
                "study_instance_uid": study_uid,
                "patient_id": patients.get(study_uid, ""),
                "first_arrival_at": growth.since,
                "last_arrival_at": growth.until,
                "quarantined": growth.quarantined,
            }
            for study_uid, growth in sorted(growths.items())
        ],
    )
    return {
        row.study_instance_uid: row.id
        for some in chunks(growths)
        for row in connection.execute(
            select(study.c.id, study.c.study_instance_uid).where(
                study.c.study_instance_uid.in_(some)
            )
        )
    }


def _growths(arrivals: Iterable[Instance]) -> dict[str, _Growth]:
    """By Study Instance UID."""
    growths: dict[str, _Growth] = {}
    for arrival in arrivals:
        at = arrival.provenance.received_at
        growths.setdefault(arrival.identity.study_instance_uid, _Growth(at, at)).add(arrival)
    return growths


def _revisions(
    connection: Connection, studies: dict[str, int], arrivals: Iterable[Instance]
) -> dict[str, RevisionKey]:
    """Study Instance UID to the open or held revision that its accepted arrivals have joined."""
    growths = _growths(a for a in arrivals if a.disposition is Disposition.ACCEPTED)
    if not growths:
        return {}
    keys = _open_keys(connection, [studies[study_uid] for study_uid in growths])
    missing = {studies[uid]: growths[uid].since for uid in growths if uid not in keys}
    if missing:
        _open(connection, missing)
        keys |= _open_keys(connection, missing)
    at = bindparam("at", type_=revision.c.last_instance_at.type)
    connection.execute(
        update(revision)
        .where(revision.c.id == bindparam("key"))
        .values(
            instances=revision.c.instances + bindparam("more"),
            bytes=revision.c.bytes + bindparam("more_bytes"),
            last_instance_at=case(
                (revision.c.last_instance_at < at, at), else_=revision.c.last_instance_at
            ),
        ),
        [
            {
                "key": keys[study_uid].id,
                "more": growth.instances,
                "more_bytes": growth.bytes,
                "at": growth.until,
            }
            for study_uid, growth in growths.items()
        ],
    )
    return keys


def _open_keys(connection: Connection, study_ids: Iterable[int]) -> dict[str, RevisionKey]:
    return {
        row.study_instance_uid: revision_key(row)
        for some in chunks(study_ids)
        for row in connection.execute(
            SELECT_REVISION_KEYS.where(
                revision.c.state.in_(GROWING), revision.c.study_id.in_(some)
            ).with_for_update(of=revision)
        )
    }


def _open(connection: Connection, since: dict[int, datetime]) -> None:
    """Open the next revision of each of these studies (by id)."""
    last = {
        row.study_id: row.number
        for some in chunks(since)
        for row in connection.execute(
            select(revision.c.study_id, func.max(revision.c.number).label("number"))
            .where(revision.c.study_id.in_(some))
            .group_by(revision.c.study_id)
        )
    }
    connection.execute(
        insert(revision),
        [
            {
                "study_id": study_id,
                "number": last.get(study_id, 0) + 1,
                "state": RevisionState.OPEN,
                "opened_at": at,
                "last_instance_at": at,
                "instances": 0,
                "bytes": 0,
                "completed_by": "",
            }
            for study_id, at in since.items()
        ],
    )


def _advance(
    connection: Connection, segments: dict[str, _Segment], arrivals: Iterable[Instance]
) -> None:
    """Note how far each segment is recorded: records of one segment are sealed in order."""
    ends: dict[int, int] = {}
    for arrival in arrivals:
        number = segments[arrival.ref.segment].id
        ends[number] = max(ends.get(number, 0), arrival.ref.offset + arrival.ref.length)
    connection.execute(
        update(segment)
        .where(segment.c.id == bindparam("key"), segment.c.recorded_through < bindparam("end"))
        .values(recorded_through=bindparam("end")),
        [{"key": number, "end": end} for number, end in ends.items()],
    )
