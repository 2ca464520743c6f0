"""The first ledger: instances, studies, revisions, decisions, deliveries, registrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UID = sa.String(64)
_AE_TITLE = sa.String(16)
_WORD = sa.String(16)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table of the first schema."""
    _create_study()
    _create_revision()
    _create_segment()
    _create_instance()
    _create_refusal()
    _create_decision()
    _create_delivery()
    _create_delivery_item()
    _create_attempt()
    _create_registration()
    _create_commitment()
    _create_commitment_item()


def _create_study() -> None:
    op.create_table(
        "study",
        sa.Column("id", _ID, nullable=False),
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("first_arrival_at", _TIME, nullable=False),
        sa.Column("last_arrival_at", _TIME, nullable=False),
        sa.Column("quarantined", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("study_instance_uid", name="uq_study_study_instance_uid"),
    )
    op.create_index("ix_study_patient_id_id", "study", ["patient_id", "id"])


def _create_revision() -> None:
    op.create_table(
        "revision",
        sa.Column("id", _ID, nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("last_instance_at", _TIME, nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", _TIME),
        sa.Column("completed_by", sa.Text(), nullable=False),
        sa.Column("settled_at", _TIME),
        sa.Column("reclaimed_at", _TIME),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_revision_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
        sa.UniqueConstraint("study_id", "number", name="uq_revision_study_id_number"),
    )
    op.create_index("ix_revision_state_settled_at", "revision", ["state", "settled_at"])
    op.create_index("ix_revision_state_study_id", "revision", ["state", "study_id"])
    op.create_index(
        "uq_revision_open",
        "revision",
        ["study_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )


def _create_segment() -> None:
    op.create_table(
        "segment",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("recorded_through", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_segment"),
        sa.UniqueConstraint("name", name="uq_segment_name"),
    )


def _create_instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", _ID, nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("revision_id", _ID),
        sa.Column("sop_class_uid", _UID, nullable=False),
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("series_instance_uid", _UID, nullable=False),
        sa.Column("transfer_syntax_uid", _UID, nullable=False),
        sa.Column("calling_ae_title", _AE_TITLE, nullable=False),
        sa.Column("called_ae_title", _AE_TITLE, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("association_id", sa.Text(), nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("segment_id", _ID, nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("file_offset", sa.BigInteger(), nullable=False),
        sa.Column("file_length", sa.BigInteger(), nullable=False),
        sa.Column("data_set_skip", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.String(length=16), nullable=False),
        sa.Column("disposition", _WORD, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("reclaimed_at", _TIME),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"], name="fk_instance_revision_id"),
        sa.ForeignKeyConstraint(["segment_id"], ["segment.id"], name="fk_instance_segment_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_instance_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("segment_id", "offset", name="uq_instance_segment_id_offset"),
    )
    _index_some_instances("quarantined", ["study_id", "id"], "disposition = 'quarantined'")
    _index_some_instances(
        "repeated", ["study_id", "id"], "reason <> '' AND disposition <> 'quarantined'"
    )
    _index_some_instances("held_for_nobody", ["id"], "revision_id IS NULL AND reclaimed_at IS NULL")
    op.create_index("ix_instance_revision_id", "instance", ["revision_id"])
    op.create_index("ix_instance_sop_instance_uid", "instance", ["sop_instance_uid"])


def _index_some_instances(name: str, columns: list[str], condition: str) -> None:
    op.create_index(
        f"ix_instance_{name}",
        "instance",
        columns,
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )


def _create_refusal() -> None:
    op.create_table(
        "refusal",
        sa.Column("id", _ID, nullable=False),
        sa.Column("sop_class_uid", _UID, nullable=False),
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("series_instance_uid", _UID, nullable=False),
        sa.Column("transfer_syntax_uid", _UID, nullable=False),
        sa.Column("calling_ae_title", _AE_TITLE, nullable=False),
        sa.Column("called_ae_title", _AE_TITLE, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("association_id", sa.Text(), nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("disposition", _WORD, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refusal"),
    )
    op.create_index("ix_refusal_disposition_id", "refusal", ["disposition", "id"])
    op.create_index("ix_refusal_study_instance_uid_id", "refusal", ["study_instance_uid", "id"])


def _create_decision() -> None:
    op.create_table(
        "decision",
        sa.Column("id", _ID, nullable=False),
        sa.Column("revision_id", _ID, nullable=False),
        sa.Column("decided_at", _TIME, nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"], name="fk_decision_revision_id"),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
    )
    op.create_index("ix_decision_revision_id", "decision", ["revision_id"])


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", _ID, nullable=False),
        sa.Column("revision_id", _ID, nullable=False),
        sa.Column("ae_title", _AE_TITLE, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", _TIME),
        sa.Column("revived_at", _TIME),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.Column("remaining_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"], name="fk_delivery_revision_id"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
    )
    op.create_index("ix_delivery_ae_title_id", "delivery", ["ae_title", "id"])
    op.create_index("ix_delivery_ae_title_state_id", "delivery", ["ae_title", "state", "id"])
    op.create_index("ix_delivery_revision_id", "delivery", ["revision_id"])
    op.create_index("ix_delivery_state_id", "delivery", ["state", "id"])


def _create_delivery_item() -> None:
    op.create_table(
        "delivery_item",
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("instance_id", _ID, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("drops", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("status", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("answered_at", _TIME),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name="fk_delivery_item_delivery_id"
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name="fk_delivery_item_instance_id"
        ),
        sa.PrimaryKeyConstraint("delivery_id", "instance_id", name="pk_delivery_item"),
        sqlite_with_rowid=False,
    )


def _create_attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("outcome", _WORD),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name="fk_attempt_delivery_id"),
        sa.PrimaryKeyConstraint("delivery_id", "number", name="pk_attempt"),
        sqlite_with_rowid=False,
    )


def _create_registration() -> None:
    op.create_table(
        "registration",
        sa.Column("ae_title", _AE_TITLE, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("registered_at", _TIME, nullable=False),
        sa.Column("last_seen_at", _TIME, nullable=False),
        sa.Column("lease_expires_at", _TIME, nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("ae_title", name="pk_registration"),
    )


def _create_commitment() -> None:
    op.create_table(
        "commitment",
        sa.Column("id", _ID, nullable=False),
        sa.Column("transaction_uid", _UID, nullable=False),
        sa.Column("calling_ae_title", _AE_TITLE, nullable=False),
        sa.Column("called_ae_title", _AE_TITLE, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("requested_at", _TIME, nullable=False),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_commitment"),
        sa.UniqueConstraint(
            "calling_ae_title",
            "transaction_uid",
            name="uq_commitment_calling_ae_title_transaction_uid",
        ),
    )
    op.create_index("ix_commitment_state_id", "commitment", ["state", "id"])


def _create_commitment_item() -> None:
    op.create_table(
        "commitment_item",
        sa.Column("commitment_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", _UID, nullable=False),
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("result", sa.Integer()),
        sa.ForeignKeyConstraint(
            ["commitment_id"], ["commitment.id"], name="fk_commitment_item_commitment_id"
        ),
        sa.PrimaryKeyConstraint("commitment_id", "number", name="pk_commitment_item"),
        sqlite_with_rowid=False,
    )
