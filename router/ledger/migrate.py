"""The ledger's migrations."""

from __future__ import annotations

from router.domain.errors import LedgerFailed
from router.ledger.schema import metadata
from router.sql.migrations import Migrations

MIGRATIONS = Migrations(
    metadata=metadata,
    head="0001",
    scripts="router.ledger:migrations",
    database="ledger",
    program="router",
    failed=LedgerFailed,
)
