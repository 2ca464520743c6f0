"""Brings an index to the newest schema. The migrations travel inside the package.

A new index is created as the schema stands; Alembic is imported only to upgrade an older one.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect

from candidates.writer.errors import IndexFailed
from candidates.writer.index.schema import metadata

HEAD = "0001"
"""The newest migration."""

_version = Table(  # as alembic has it
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def migrate(connection: Connection) -> None:
    """Create or upgrade to head within the connection's transaction: wholly, or not at all.

    Raises ``IndexFailed`` for a schema that this version does not know.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        _version.create(connection, checkfirst=False)  # first, as alembic does
        metadata.create_all(connection, checkfirst=False)
        connection.execute(_version.insert().values(version_num=HEAD))
        return
    is_versioned = _version.name in tables
    if not is_versioned or connection.execute(_version.select()).scalar() != HEAD:
        upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Run all migrations that the index has not had; raises as ``migrate`` does."""
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", "candidates.writer.index:migrations")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise IndexFailed(
            f"the index's schema {current!r} is newer than this writer, which knows up to "
            f"{scripts.get_current_head()!r}: run the writer that wrote it, or a newer one"
        )
    command.upgrade(config, "head")
