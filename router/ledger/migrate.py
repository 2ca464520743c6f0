"""Brings a ledger to the newest schema. The migrations travel inside the package."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from router.domain.errors import LedgerFailed


def migrate(connection: Connection) -> None:
    """Upgrade to head within the connection's transaction: wholly, or not at all.

    Raises ``LedgerFailed`` for a schema that this version does not know.
    """
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", "router.ledger:migrations")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise LedgerFailed(
            f"the ledger's schema {current!r} is newer than this router, which knows up to "
            f"{scripts.get_current_head()!r}: run the router that wrote it, or a newer one"
        )
    if current != scripts.get_current_head():
        command.upgrade(config, "head")
