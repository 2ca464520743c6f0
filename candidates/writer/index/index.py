"""What the writer asks of its index. All of it blocks; each method is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select

from candidates.writer.attachments import Attachment
from candidates.writer.index import recording
from candidates.writer.index.database import Database
from candidates.writer.index.recording import Arrival, KnownIds
from candidates.writer.index.schema import (
    LEVELS,
    area,
    attachment,
    instance,
    patient,
    removal,
    series,
    study,
)
from candidates.writer.tags import ABOVE_INSTANCES, MAIN_TAGS, Level, column_of
from router.domain.instance import Facts
from router.ledger.chunks import chunks


@dataclass(frozen=True, slots=True)
class QuietStudy:
    """A study of which nothing has arrived for a while."""

    id: int
    study_instance_uid: str
    instances: int


class Index:
    """The index of a writer; what a method has written is on stable storage when it returns."""

    def __init__(self, database: Database):
        """Create or upgrade; raises ``IndexFailed``, as every method does."""
        self.database = database
        self._known = KnownIds()
        database.prepare()

    def close(self) -> None:
        """Close the database, and let others own it."""
        self.database.close()

    def area(self) -> str | None:
        """The storage area that it belongs to; None: to none yet."""
        with self.database.reading() as connection:
            return connection.scalar(select(area.c.id))

    def belong_to(self, storage_area: str) -> None:
        """From now on it is the index of this storage area and of no other one."""
        with self.database.writing() as connection:
            connection.execute(insert(area).values(id=storage_area, owner=""))

    def record(
        self, arrivals: Sequence[Arrival], removed: Iterable[str] = (), *, were_noted: bool = False
    ) -> list[str]:
        """Write a batch of instances; the UUIDs of attachments that are to be removed for it.

        ``removed`` have been removed since. What ``were_noted`` is not to be removed any more.
        """
        self._known.bound()
        try:
            with self.database.writing() as connection:
                _forget(connection, removed)
                superseded = recording.record(connection, arrivals, self._known)
                if were_noted:
                    uuids = {arrival.attachment.uuid for arrival in arrivals}
                    _forget(connection, uuids.difference(superseded))
                return superseded
        except BaseException:
            self._known.clear()
            raise

    def remove_study(
        self, study_instance_uid: str, at: datetime, unless_since: datetime
    ) -> list[str]:
        """Take a study out; the UUIDs of attachments that are to be removed for it.

        A study of which something has arrived since then stays.
        """
        self._known.clear()
        with self.database.writing() as connection:
            return recording.remove_study(connection, study_instance_uid, at, unless_since)

    def quiet_studies(self, before: datetime, after_id: int, limit: int) -> list[QuietStudy]:
        """Studies of which nothing has arrived since ``before``, in order, behind an id."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(study.c.id, study.c.study_instance_uid)
                .where(study.c.last_arrival_at < before, study.c.id > after_id)
                .order_by(study.c.id)
                .limit(limit)
            ).all()
            return [
                QuietStudy(
                    row.id,
                    row.study_instance_uid,
                    connection.scalar(
                        select(func.count())
                        .select_from(instance.join(series, instance.c.parent_id == series.c.id))
                        .where(series.c.parent_id == row.id)
                    )
                    or 0,
                )
                for row in rows
            ]

    def facts_of(self, study_id: int) -> Facts:
        """The main tags of a study, its patient and its series: every value of each."""
        found: dict[str, set[str]] = {}
        joined = study.join(patient, study.c.parent_id == patient.c.id).join(
            series, series.c.parent_id == study.c.id
        )
        told = [
            LEVELS[level].c[column_of(keyword)].label(keyword)
            for level in ABOVE_INSTANCES
            for keyword in MAIN_TAGS[level]
        ]
        with self.database.reading() as connection:
            statement = select(*told).select_from(joined).where(study.c.id == study_id)
            for row in connection.execute(statement).mappings():
                for keyword, value in row.items():
                    found.setdefault(str(keyword), set()).update(filter(None, value.split("\\")))
        return {keyword: tuple(sorted(values)) for keyword, values in found.items()}

    def known(self, uuids: Iterable[str]) -> set[str]:
        """Those of these attachments that the index has, when all that has begun has ended."""
        uuids = list(uuids)
        if not uuids:
            return set()
        with self.database.writing() as connection:
            return {
                uuid
                for some in chunks(uuids)
                for uuid in connection.scalars(
                    select(attachment.c.uuid).where(attachment.c.uuid.in_(some))
                )
            }

    def note(self, uuid: str) -> None:
        """Have an attachment removed at the next start, unless it is committed."""
        with self.database.writing() as connection:
            connection.execute(insert(removal).values(uuid=uuid))

    def removals(self) -> list[str]:
        """Attachments whose files are to be removed."""
        with self.database.reading() as connection:
            return list(connection.scalars(select(removal.c.uuid)))

    def forget_removals(self, uuids: Iterable[str]) -> None:
        """These files have been removed."""
        with self.database.writing() as connection:
            _forget(connection, uuids)

    def count(self, level: Level) -> int:
        """How many patients, studies, series or instances there are."""
        with self.database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(LEVELS[level])) or 0

    def folders(self) -> set[str]:
        """The first four digits of all attachments."""
        with self.database.reading() as connection:
            digits = func.substr(attachment.c.uuid, 1, 4)
            return set(connection.scalars(select(digits).distinct()))

    def attachments_in(self, folder: str) -> dict[str, Attachment]:
        """The attachments that begin with four digits, by UUID."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(attachment).where(
                    attachment.c.uuid >= folder, attachment.c.uuid < folder + "g"
                )
            )
            return {row.uuid: attachment_of(row) for row in rows}

    def attachments_of(self, sop_instance_uids: Iterable[str]) -> list[tuple[str, str, Attachment]]:
        """SOP Instance UID, SOP class and attachment of those of these instances that are there."""
        with self.database.reading() as connection:
            return [
                (row.sop_instance_uid, row.sop_class_uid, attachment_of(row))
                for some in chunks(sop_instance_uids)
                for row in connection.execute(
                    select(instance.c.sop_instance_uid, instance.c.sop_class_uid, attachment)
                    .join(attachment)
                    .where(instance.c.sop_instance_uid.in_(some))
                )
            ]

    def instance_of(self, uuid: str) -> str:
        """The SOP Instance UID of an attachment; empty if there is no such attachment."""
        with self.database.reading() as connection:
            named = select(instance.c.sop_instance_uid).join(attachment)
            return connection.scalar(named.where(attachment.c.uuid == uuid)) or ""


def _forget(connection: Connection, uuids: Iterable[str]) -> None:
    for some in chunks(uuids):
        connection.execute(delete(removal).where(removal.c.uuid.in_(some)))


def attachment_of(row: Row[tuple[object, ...]]) -> Attachment:
    """The attachment of a row that has all of its columns."""
    return Attachment(row.uuid, row.compression, row.size, row.md5, row.stored_size, row.stored_md5)
