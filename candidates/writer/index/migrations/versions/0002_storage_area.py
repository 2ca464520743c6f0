"""Which storage area an index belongs to, and which start of a writer took it last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table; the next start of the writer fills it."""
    text = sa.String(36).with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "area",
        sa.Column("id", text, nullable=False),
        sa.Column("owner", text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_area"),
    )
