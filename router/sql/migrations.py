"""Brings a database to the newest schema. The migrations travel inside the package.

A new database is created as the schema stands, which the tests hold equal to what the migrations
lead to. Alembic is imported only to upgrade a database that an older version wrote: it would stay
in memory for as long as the process runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect

_version = Table(  # as alembic has it
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


@dataclass(frozen=True, slots=True)
class Migrations:
    """The way of one kind of database to its newest schema."""

    metadata: MetaData  # the newest schema
    head: str  # the newest migration
    scripts: str  # where the migrations are, as package:folder
    database: str  # what a person calls the database
    program: str  # and the program that keeps it
    failed: type[Exception]  # raised for a schema that this version does not know

    def migrate(self, connection: Connection) -> None:
        """Create or upgrade to head within the connection's transaction: wholly, or not at all.

        Raises ``failed`` for a schema that this version does not know.
        """
        tables = inspect(connection).get_table_names()
        if not tables:
            _version.create(connection, checkfirst=False)  # first, as alembic does
            self.metadata.create_all(connection, checkfirst=False)
            connection.execute(_version.insert().values(version_num=self.head))
            return
        is_versioned = _version.name in tables
        if not is_versioned or connection.execute(_version.select()).scalar() != self.head:
            self.upgrade(connection)

    def upgrade(self, connection: Connection) -> None:
        """Run all migrations that the database has not had; raises as ``migrate`` does."""
        from alembic import command
        from alembic.config import Config
        from alembic.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("path_separator", "os")
        config.set_main_option("script_location", self.scripts)
        config.attributes["connection"] = connection
        scripts = ScriptDirectory.from_config(config)
        current = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in scripts.walk_revisions()}
        if current is not None and current not in known:
            raise self.failed(
                f"the {self.database}'s schema {current!r} is newer than this {self.program}, "
                f"which knows up to {scripts.get_current_head()!r}: "
                f"run the {self.program} that wrote it, or a newer one"
            )
        command.upgrade(config, "head")
