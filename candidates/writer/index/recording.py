"""Writing instances into the index: a batch in a dozen statements, however long it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, delete, insert, literal, select, update

from candidates.writer.attachments import Attachment
from candidates.writer.index.schema import (
    LEVELS,
    ChangeKind,
    attachment,
    change,
    instance,
    patient,
    removal,
    series,
    study,
)
from candidates.writer.tags import MAIN_TAGS, Level, column_of
from router.domain.instance import Facts
from router.ledger.chunks import chunks

Key = tuple[int, str]
"""The id of the parent (0: it has none), and the UID."""
K = TypeVar("K")
Values = dict[str, Any]

SORTED_BY = frozenset({"PatientID", "StudyDate", "AccessionNumber"})
"""Attributes that the database has a search tree of, besides UIDs, which are short."""
MAX_SORTED = 512
"""Characters of them that are kept: PostgreSQL's trees take no more than 2,704 bytes."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance whose attachment is sealed."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    received_at: datetime
    facts: Facts  # of the data set, by keyword
    attachment: Attachment

    def value(self, keyword: str) -> str:
        """The values of an attribute, as DICOM writes them, and as any database takes them.

        What is far longer than any value may be is cut where the database sorts by it.
        """
        if keyword == "SOPInstanceUID":
            return self.sop_instance_uid
        if keyword == "SOPClassUID":
            return self.sop_class_uid.replace("\0", "")
        text = "\\".join(self.facts.get(keyword, ())).replace("\0", "")  # PostgreSQL has no NUL
        return text[:MAX_SORTED] if keyword in SORTED_BY else text

    def names(self) -> tuple[str, str, str]:
        """The UIDs of study, series and instance."""
        return (
            self.value("StudyInstanceUID"),
            self.value("SeriesInstanceUID"),
            self.sop_instance_uid,
        )


class KnownIds:
    """Ids of studies and series that were written lately: most of what comes belongs to them.

    To be cleared when a transaction fails, or takes rows out.
    """

    MOST = 10_000

    def __init__(self) -> None:
        self.studies: dict[str, int] = {}  # by Study Instance UID
        self.series: dict[Key, int] = {}

    def clear(self) -> None:
        """Know nothing."""
        self.studies.clear()
        self.series.clear()

    def bound(self) -> None:
        """Do not grow for ever."""
        if len(self.studies) + len(self.series) > self.MOST:
            self.clear()


def record(connection: Connection, arrivals: Sequence[Arrival], known: KnownIds) -> list[str]:
    """Write a batch of instances; UUIDs of the attachments that it replaces.

    An instance that came before is replaced; of the same instance twice in a batch the last one
    counts. Main tags of patient, study and series are those of the first instance.
    """
    latest = {arrival.names(): arrival for arrival in arrivals}
    counted = list(latest.values())
    book = _Book(connection, counted[-1].received_at)
    studies = book.studies(counted, known.studies)
    in_series = _first(
        ((studies[one.value("StudyInstanceUID")], one.value("SeriesInstanceUID")), one)
        for one in counted
    )
    all_series = book.ensure(Level.SERIES, in_series, known.series)
    known.studies.update(studies)
    known.series.update(all_series)
    rows = {
        (
            all_series[studies[one.value("StudyInstanceUID")], one.value("SeriesInstanceUID")],
            one.sop_instance_uid,
        ): one
        for one in counted
    }
    replaced = book.write_instances(rows)
    book.write_changes()
    kept = {one.attachment.uuid for one in counted}
    return [
        *replaced,
        *(one.attachment.uuid for one in arrivals if one.attachment.uuid not in kept),
    ]


def _first(pairs: Iterable[tuple[K, Arrival]]) -> dict[K, Arrival]:
    """For each key the first one that has it, in their order."""
    first: dict[K, Arrival] = {}
    for key, arrival in pairs:
        first.setdefault(key, arrival)
    return first


class _Book:
    """One batch while it is written."""

    def __init__(self, connection: Connection, at: datetime):
        self._connection = connection
        self._at = at
        self._changes: list[Values] = []

    def studies(self, arrivals: Sequence[Arrival], known: Mapping[str, int]) -> dict[str, int]:
        """The ids of the studies of these instances, by UID; some may be known.

        A study keeps the patient that it came with first, whatever later instances say.
        """
        first = _first((one.value("StudyInstanceUID"), one) for one in arrivals)
        found = {uid: known[uid] for uid in first if uid in known}
        others = self._find(Level.STUDY, (uid for uid in first if uid not in found))
        found |= {uid: number for (_, uid), number in others.items()}
        self._connection.execute(
            update(study).where(study.c.id == bindparam("key")).values(last_arrival_at=self._at),
            [{"key": number} for number in found.values()] or [{"key": -1}],
        )
        new = {uid: one for uid, one in first.items() if uid not in found}
        patients = self.ensure(
            Level.PATIENT, _first(((0, one.value("PatientID")), one) for one in new.values())
        )
        added = self.ensure(
            Level.STUDY,
            {(patients[0, one.value("PatientID")], uid): one for uid, one in new.items()},
        )
        return found | {uid: number for (_, uid), number in added.items()}

    def ensure(
        self, level: Level, wanted: Mapping[Key, Arrival], known: Mapping[Key, int] | None = None
    ) -> dict[Key, int]:
        """The ids of rows, by key, of which some may be known; what is not there is added."""
        found = {key: known[key] for key in wanted if key in known} if known else {}
        found |= self._find(level, [key[1] for key in wanted if key not in found])
        missing = {key: one for key, one in wanted.items() if key not in found}
        if missing:
            found |= self._insert(level, missing)
        return {key: found[key] for key in wanted}

    def _insert(self, level: Level, missing: Mapping[Key, Arrival]) -> dict[Key, int]:
        """Add rows; their ids."""
        table = LEVELS[level]
        ids = self._connection.scalars(
            insert(table).returning(table.c.id, sort_by_parameter_order=True),
            [self._values(level, key, one) for key, one in missing.items()],
        )
        self._note(ChangeKind.ADDED, level, (uid for _, uid in missing))
        return dict(zip(missing, ids, strict=True))

    def _find(self, level: Level, uids: Iterable[str]) -> dict[Key, int]:
        """All rows with these UIDs, whatever their parents."""
        table = LEVELS[level]
        uid = table.c[column_of(MAIN_TAGS[level][0])]
        parent = literal(0) if level is Level.PATIENT else table.c.parent_id
        return {
            (row[1], row[2]): row[0]
            for some in chunks(dict.fromkeys(uids))
            for row in self._connection.execute(
                select(table.c.id, parent, uid).where(uid.in_(some))
            )
        }

    def _values(self, level: Level, key: Key, arrival: Arrival) -> Values:
        values: Values = {column_of(one): arrival.value(one) for one in MAIN_TAGS[level]}
        if level is not Level.PATIENT:
            values["parent_id"] = key[0]
        if level is Level.STUDY:
            values["last_arrival_at"] = self._at
        if level is Level.INSTANCE:
            values["transfer_syntax_uid"] = arrival.transfer_syntax_uid
            values["calling_ae_title"] = arrival.calling_ae_title
            values["received_at"] = arrival.received_at
        return values

    def write_instances(self, rows: Mapping[Key, Arrival]) -> list[str]:
        """Add or replace instances with their attachments; the UUIDs that are replaced."""
        found = self._find(Level.INSTANCE, (uid for _, uid in rows))
        before = {key: number for key, number in found.items() if key in rows}
        replaced = take_attachments(self._connection, before.values())
        for key, number in before.items():
            self._connection.execute(
                update(instance)
                .where(instance.c.id == number)
                .values(**self._values(Level.INSTANCE, key, rows[key]))
            )
        self._note(ChangeKind.REPLACED, Level.INSTANCE, (uid for _, uid in before))
        new = {key: one for key, one in rows.items() if key not in before}
        ids = before | (self._insert(Level.INSTANCE, new) if new else {})
        self._connection.execute(
            insert(attachment),
            [
                {
                    "instance_id": ids[key],
                    "uuid": one.attachment.uuid,
                    "compression": one.attachment.compression,
                    "size": one.attachment.size,
                    "md5": one.attachment.md5,
                    "stored_size": one.attachment.stored_size,
                    "stored_md5": one.attachment.stored_md5,
                }
                for key, one in rows.items()
            ],
        )
        return replaced

    def write_changes(self) -> None:
        """Write the history of the batch."""
        self._connection.execute(insert(change), self._changes)

    def removed(self, level: Level, uids: Iterable[str]) -> None:
        """Rows of this level are gone."""
        self._note(ChangeKind.REMOVED, level, uids)

    def _note(self, kind: ChangeKind, level: Level, uids: Iterable[str]) -> None:
        self._changes += [
            {"kind": kind, "level": level, "uid": uid, "at": self._at} for uid in uids
        ]


def take_attachments(connection: Connection, instance_ids: Iterable[int]) -> list[str]:
    """Take the attachments of instances out of the index; their UUIDs, to be removed."""
    taken: list[str] = []
    for some in chunks(instance_ids):
        of_these = attachment.c.instance_id.in_(some)
        taken += connection.scalars(select(attachment.c.uuid).where(of_these))
        connection.execute(delete(attachment).where(of_these))
    if taken:
        connection.execute(insert(removal), [{"uuid": uuid} for uuid in taken])
    return taken


def remove_study(
    connection: Connection, study_instance_uid: str, at: datetime, unless_since: datetime
) -> list[str]:
    """Take a study out of the index, and a patient without others; UUIDs to be removed.

    Something of it that has arrived since then keeps all of it.
    """
    found = connection.execute(
        select(study.c.id, study.c.parent_id).where(
            study.c.study_instance_uid == study_instance_uid,
            study.c.last_arrival_at < unless_since,
        )
    ).one_or_none()
    if found is None:
        return []
    book = _Book(connection, at)
    of_study = select(series.c.id).where(series.c.parent_id == found.id)
    instances = connection.execute(
        select(instance.c.id, instance.c.sop_instance_uid).where(instance.c.parent_id.in_(of_study))
    ).all()
    taken = take_attachments(connection, [row.id for row in instances])
    series_uids = connection.scalars(
        select(series.c.series_instance_uid).where(series.c.parent_id == found.id)
    ).all()
    connection.execute(delete(instance).where(instance.c.parent_id.in_(of_study)))
    connection.execute(delete(series).where(series.c.parent_id == found.id))
    connection.execute(delete(study).where(study.c.id == found.id))
    book.removed(Level.INSTANCE, [row.sop_instance_uid for row in instances])
    book.removed(Level.SERIES, series_uids)
    book.removed(Level.STUDY, [study_instance_uid])
    others = select(study.c.id).where(study.c.parent_id == found.parent_id).limit(1)
    if connection.scalar(others) is None:
        name = connection.scalar(
            select(patient.c.patient_id).where(patient.c.id == found.parent_id)
        )
        connection.execute(delete(patient).where(patient.c.id == found.parent_id))
        book.removed(Level.PATIENT, [name or ""])
    book.write_changes()
    return taken
