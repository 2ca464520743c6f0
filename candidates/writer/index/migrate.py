"""The index's migrations."""

from __future__ import annotations

from candidates.writer.errors import IndexFailed
from candidates.writer.index.schema import metadata
from router.sql.migrations import Migrations

MIGRATIONS = Migrations(
    metadata=metadata,
    head="0002",
    scripts="candidates.writer.index:migrations",
    database="index",
    program="writer",
    failed=IndexFailed,
)
