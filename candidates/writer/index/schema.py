"""The index's tables: four levels with main tags, attachments, changes, removals.

The migrations create the same schema step by step; a test holds the two together.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
)

from candidates.writer.attachments import Compression
from candidates.writer.tags import MAIN_TAGS, Level, column_of
from router.sql.columns import ROW_ID, TEXT, UtcDateTime, empty_metadata, short_text, words


class ChangeKind(StrEnum):
    """What happened to a patient, study, series or instance."""

    ADDED = "added"
    REPLACED = "replaced"  # an instance that came again
    REMOVED = "removed"


def _main_tags(level: Level) -> list[Column[str]]:
    return [Column(column_of(keyword), TEXT, nullable=False) for keyword in MAIN_TAGS[level]]


metadata = empty_metadata()

patient = Table(
    "patient",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    *_main_tags(Level.PATIENT),
    UniqueConstraint("patient_id"),
)

study = Table(
    "study",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("parent_id", ROW_ID, ForeignKey("patient.id"), nullable=False),
    *_main_tags(Level.STUDY),
    Column("last_arrival_at", UtcDateTime, nullable=False),
    UniqueConstraint("study_instance_uid"),
    Index(None, "parent_id"),
    Index(None, "study_date"),
    Index(None, "accession_number"),
    Index(None, "last_arrival_at"),
)

series = Table(
    "series",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("parent_id", ROW_ID, ForeignKey("study.id"), nullable=False),
    *_main_tags(Level.SERIES),
    UniqueConstraint("parent_id", "series_instance_uid"),
    Index(None, "series_instance_uid"),
)

instance = Table(
    "instance",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("parent_id", ROW_ID, ForeignKey("series.id"), nullable=False),
    *_main_tags(Level.INSTANCE),
    Column("transfer_syntax_uid", short_text(64), nullable=False),
    Column("calling_ae_title", short_text(16), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    UniqueConstraint("parent_id", "sop_instance_uid"),
    Index(None, "sop_instance_uid"),
)

attachment = Table(
    "attachment",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("instance_id", ROW_ID, ForeignKey("instance.id"), nullable=False),
    Column("uuid", short_text(36), nullable=False),
    Column("compression", words(Compression), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("md5", short_text(32), nullable=False),
    Column("stored_size", BigInteger, nullable=False),
    Column("stored_md5", short_text(32), nullable=False),
    UniqueConstraint("uuid"),
    Index(None, "instance_id"),
)

change = Table(
    "change",
    metadata,
    Column("sequence", ROW_ID, primary_key=True),
    Column("kind", words(ChangeKind), nullable=False),
    Column("level", words(Level), nullable=False),
    Column("uid", TEXT, nullable=False),  # of a patient, the Patient ID
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,  # no number comes twice
)

area = Table(
    "area",
    metadata,
    Column("id", short_text(36), primary_key=True),
    Column("owner", short_text(36), nullable=False),
)
"""The one storage area that it is the index of, and which start of a writer took it last.

Only a database that may be lost to another process while the writer runs says who took it.
"""

removal = Table(
    "removal",
    metadata,
    Column("uuid", short_text(36), primary_key=True),
)
"""Attachments that have no row any more, and whose files are to be removed."""

LEVELS = {
    Level.PATIENT: patient,
    Level.STUDY: study,
    Level.SERIES: series,
    Level.INSTANCE: instance,
}
