"""The first index: patients, studies, series, instances, attachments, changes, removals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_C = sa.Text(collation="C")
_TEXT = sa.Text().with_variant(_C, "postgresql")
_WORD = sa.String(16)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table of the first schema."""
    _create_patient()
    _create_study()
    _create_series()
    _create_instance()
    _create_attachment()
    op.create_table(
        "change",
        sa.Column("sequence", _ID, nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("level", _WORD, nullable=False),
        sa.Column("uid", _TEXT, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_change"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "removal",
        sa.Column("uuid", _short(36), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name="pk_removal"),
    )


def _short(length: int) -> sa.String:
    return sa.String(length).with_variant(_C, "postgresql")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _create_patient() -> None:
    op.create_table(
        "patient",
        sa.Column("id", _ID, nullable=False),
        *_texts("patient_id", "patient_name", "patient_birth_date", "patient_sex"),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
        sa.UniqueConstraint("patient_id", name="uq_patient_patient_id"),
    )


def _create_study() -> None:
    op.create_table(
        "study",
        sa.Column("id", _ID, nullable=False),
        sa.Column("parent_id", _ID, nullable=False),
        *_texts(
            "study_instance_uid",
            "study_date",
            "study_time",
            "study_id",
            "study_description",
            "accession_number",
            "referring_physician_name",
            "institution_name",
            "requested_procedure_description",
        ),
        sa.Column("last_arrival_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.ForeignKeyConstraint(["parent_id"], ["patient.id"], name="fk_study_parent_id"),
        sa.UniqueConstraint("study_instance_uid", name="uq_study_study_instance_uid"),
    )
    for column in ("accession_number", "last_arrival_at", "parent_id", "study_date"):
        op.create_index(f"ix_study_{column}", "study", [column])


def _create_series() -> None:
    op.create_table(
        "series",
        sa.Column("id", _ID, nullable=False),
        sa.Column("parent_id", _ID, nullable=False),
        *_texts(
            "series_instance_uid",
            "modality",
            "series_number",
            "series_date",
            "series_time",
            "series_description",
            "body_part_examined",
            "protocol_name",
            "station_name",
            "manufacturer",
            "operators_name",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.ForeignKeyConstraint(["parent_id"], ["study.id"], name="fk_series_parent_id"),
        sa.UniqueConstraint(
            "parent_id", "series_instance_uid", name="uq_series_parent_id_series_instance_uid"
        ),
    )
    op.create_index("ix_series_series_instance_uid", "series", ["series_instance_uid"])


def _create_instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", _ID, nullable=False),
        sa.Column("parent_id", _ID, nullable=False),
        *_texts(
            "sop_instance_uid",
            "sop_class_uid",
            "instance_number",
            "acquisition_number",
            "number_of_frames",
            "content_date",
            "content_time",
            "image_comments",
        ),
        sa.Column("transfer_syntax_uid", _short(64), nullable=False),
        sa.Column("calling_ae_title", _short(16), nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.ForeignKeyConstraint(["parent_id"], ["series.id"], name="fk_instance_parent_id"),
        sa.UniqueConstraint(
            "parent_id", "sop_instance_uid", name="uq_instance_parent_id_sop_instance_uid"
        ),
    )
    op.create_index("ix_instance_sop_instance_uid", "instance", ["sop_instance_uid"])


def _create_attachment() -> None:
    op.create_table(
        "attachment",
        sa.Column("id", _ID, nullable=False),
        sa.Column("instance_id", _ID, nullable=False),
        sa.Column("uuid", _short(36), nullable=False),
        sa.Column("compression", _WORD, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("md5", _short(32), nullable=False),
        sa.Column("stored_size", sa.BigInteger(), nullable=False),
        sa.Column("stored_md5", _short(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attachment"),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name="fk_attachment_instance_id"),
        sa.UniqueConstraint("uuid", name="uq_attachment_uuid"),
    )
    op.create_index("ix_attachment_instance_id", "attachment", ["instance_id"])
