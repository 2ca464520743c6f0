"""The ledger's tables, in SQLAlchemy's dialect-neutral terms.

The migrations under ``migrations/versions`` create the same schema step by step; a test holds the
two together. Rows are joined by integer keys. Counters on ``revision``, ``delivery`` and ``study``
are kept in the transaction that changes what they count, so that no view ever has to count
instances.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

from router.domain.commitment import TransactionState
from router.domain.delivery import DeliveryState, ItemState
from router.domain.instance import Disposition
from router.domain.study import RevisionState
from router.sql.columns import ROW_ID, UtcDateTime, empty_metadata, words

WHERE = "where"
"""Key of an index's ``info``: the condition of the rows that are in it."""

_Uid = String(64)  # PS3.5 section 9.1
_AETitle = String(16)  # PS3.5 section 6.2, VR AE

metadata = empty_metadata()

study = Table(
    "study",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("study_instance_uid", _Uid, nullable=False, unique=True),
    Column("patient_id", Text, nullable=False),  # of the first instance that names one
    Column("first_arrival_at", UtcDateTime, nullable=False),
    Column("last_arrival_at", UtcDateTime, nullable=False),
    Column("quarantined", Integer, nullable=False),
    Index(None, "patient_id", "id"),
)

revision = Table(
    "revision",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("study_id", ROW_ID, ForeignKey("study.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", words(RevisionState), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("last_instance_at", UtcDateTime, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),  # of data sets
    Column("completed_at", UtcDateTime),
    Column("completed_by", Text, nullable=False),
    Column("settled_at", UtcDateTime),
    Column("reclaimed_at", UtcDateTime),
    UniqueConstraint("study_id", "number"),
    Index(None, "state", "study_id"),
    Index(None, "state", "settled_at"),
    Index(
        "uq_revision_open",  # a study has one open revision at most, however many routers record
        "study_id",
        unique=True,
        info={WHERE: text("state = 'open'")},
    ),
)

segment = Table(
    "segment",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("recorded_through", BigInteger, nullable=False),
)

IN_QUARANTINE = text("disposition = 'quarantined'")
"""Part of an index, which serves only queries that say it in the same words, without parameters."""
REPEATED = text("reason <> '' AND disposition <> 'quarantined'")
"""Likewise: instances that repeat one that the spool held, delivered or not."""
HELD_FOR_NOBODY = text("revision_id IS NULL AND reclaimed_at IS NULL")
"""Likewise: bytes in the spool that belong to no revision."""

instance = Table(
    "instance",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("study_id", ROW_ID, ForeignKey("study.id"), nullable=False),
    Column("revision_id", ROW_ID, ForeignKey("revision.id")),  # NULL if it is not to be delivered
    Column("sop_class_uid", _Uid, nullable=False),
    Column("sop_instance_uid", _Uid, nullable=False),
    Column("series_instance_uid", _Uid, nullable=False),
    Column("transfer_syntax_uid", _Uid, nullable=False),
    Column("calling_ae_title", _AETitle, nullable=False),
    Column("called_ae_title", _AETitle, nullable=False),
    Column("address", Text, nullable=False),
    Column("association_id", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("segment_id", ROW_ID, ForeignKey("segment.id"), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("file_offset", BigInteger, nullable=False),
    Column("file_length", BigInteger, nullable=False),
    Column("data_set_skip", Integer, nullable=False),
    Column("checksum", String(16), nullable=False),
    Column("disposition", words(Disposition), nullable=False),
    Column("reason", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("reclaimed_at", UtcDateTime),
    UniqueConstraint("segment_id", "offset"),
    Index(None, "revision_id"),
    Index(None, "sop_instance_uid"),
    Index(
        "ix_instance_quarantined",
        "study_id",
        "id",
        info={WHERE: IN_QUARANTINE},
    ),
    Index("ix_instance_repeated", "study_id", "id", info={WHERE: REPEATED}),
    Index("ix_instance_held_for_nobody", "id", info={WHERE: HELD_FOR_NOBODY}),
)

refusal = Table(
    "refusal",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("sop_class_uid", _Uid, nullable=False),
    Column("sop_instance_uid", _Uid, nullable=False),
    Column("study_instance_uid", _Uid, nullable=False),
    Column("series_instance_uid", _Uid, nullable=False),
    Column("transfer_syntax_uid", _Uid, nullable=False),
    Column("calling_ae_title", _AETitle, nullable=False),
    Column("called_ae_title", _AETitle, nullable=False),
    Column("address", Text, nullable=False),
    Column("association_id", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("disposition", words(Disposition), nullable=False),
    Column("status", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Index(None, "study_instance_uid", "id"),
    Index(None, "disposition", "id"),
)

decision = Table(
    "decision",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("revision_id", ROW_ID, ForeignKey("revision.id"), nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("choices", JSON, nullable=False),
    Index(None, "revision_id"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("revision_id", ROW_ID, ForeignKey("revision.id"), nullable=False),
    Column("ae_title", _AETitle, nullable=False),
    Column("state", words(DeliveryState), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("required", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime),
    Column("revived_at", UtcDateTime),
    Column("reason", Text, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),  # of data sets
    Column("remaining_bytes", BigInteger, nullable=False),  # of items that are pending
    Index(None, "revision_id"),
    Index(None, "state", "id"),
    Index(None, "ae_title", "state", "id"),
    Index(None, "ae_title", "id"),
)

delivery_item = Table(
    "delivery_item",
    metadata,
    Column("delivery_id", ROW_ID, ForeignKey("delivery.id"), primary_key=True),
    Column("instance_id", ROW_ID, ForeignKey("instance.id"), primary_key=True),
    Column("state", words(ItemState), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("drops", Integer, nullable=False, server_default=text("0")),  # of associations, on it
    Column("status", Integer),  # the last answer, NULL where none came
    Column("reason", Text, nullable=False),
    Column("answered_at", UtcDateTime),
    sqlite_with_rowid=False,
)

attempt = Table(
    "attempt",
    metadata,
    Column("delivery_id", ROW_ID, ForeignKey("delivery.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", words(DeliveryState)),  # NULL while it lasts
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

registration = Table(
    "registration",
    metadata,
    Column("ae_title", _AETitle, primary_key=True),
    Column("body", Text, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("lease_expires_at", UtcDateTime, nullable=False),
    Column("draining", Boolean, nullable=False),
)

commitment = Table(
    "commitment",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("transaction_uid", _Uid, nullable=False),
    Column("calling_ae_title", _AETitle, nullable=False),
    Column("called_ae_title", _AETitle, nullable=False),
    Column("address", Text, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("state", words(TransactionState), nullable=False),
    Column("attempts", Integer, nullable=False),  # to report
    Column("next_attempt_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("reason", Text, nullable=False),
    UniqueConstraint("calling_ae_title", "transaction_uid"),
    Index(None, "state", "id"),
)

commitment_item = Table(
    "commitment_item",
    metadata,
    Column("commitment_id", ROW_ID, ForeignKey("commitment.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("sop_class_uid", _Uid, nullable=False),
    Column("sop_instance_uid", _Uid, nullable=False),
    Column("result", Integer),  # as reported: 0, or the failure reason; NULL before
    sqlite_with_rowid=False,
)


@event.listens_for(metadata, "before_create")
def _limit_indexes(_metadata: MetaData, connection: Connection, **_: object) -> None:
    """Tell the dialect that creates the tables which indexes are partial.

    SQLAlchemy takes it per dialect, and imports each dialect that is named to it: only the one that
    is used shall be.
    """
    for table in metadata.sorted_tables:
        for index in table.indexes:
            if WHERE in index.info:
                index.dialect_kwargs[f"{connection.dialect.name}_where"] = index.info[WHERE]
