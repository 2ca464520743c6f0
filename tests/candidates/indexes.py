"""Indexes of writers, read and changed by other means than the writer's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote

import psycopg

from candidates.writer.index.address import IndexAddress, PostgresAddress

Rows = list[tuple[Any, ...]]


class Index(Protocol):
    """An index beside its owner."""

    @property
    def address(self) -> IndexAddress:
        """What the writer is told."""
        ...

    def query(self, sql: str) -> Rows:
        """Rows of it; none before there is an index."""
        ...

    def change(self, sql: str) -> None:
        """Do what only a person with a shell does."""
        ...

    def lose(self) -> None:
        """It is gone."""
        ...


@dataclass(frozen=True)
class InFile:
    """A SQLite file."""

    address: Path

    def query(self, sql: str) -> Rows:
        """Rows of it; none before there is an index."""
        if not self.address.exists():
            return []
        with closing(sqlite3.connect(self.address, timeout=10)) as connection:
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.OperationalError:  # its tables are being made
                return []

    def change(self, sql: str) -> None:
        """Do what only a person with a shell does."""
        with closing(sqlite3.connect(self.address)) as connection, connection:
            connection.execute(sql)

    def lose(self) -> None:
        """Somebody removes the file."""
        for path in self.address.parent.glob(f"{self.address.name}*"):
            path.unlink()


@dataclass(frozen=True)
class OnServer:
    """A schema of a PostgreSQL database."""

    database: str
    schema: str

    @property
    def address(self) -> PostgresAddress:
        """What the writer is told."""
        return PostgresAddress(f"{self.database}?options={quote(f'-csearch_path={self.schema}')}")

    def query(self, sql: str) -> Rows:
        """Rows of it; none before there is an index."""
        with psycopg.connect(self.address.url) as connection:
            try:
                return connection.execute(cast("Any", sql)).fetchall()
            except psycopg.errors.UndefinedTable:
                return []

    def change(self, sql: str) -> None:
        """Do what only a person with a shell does."""
        with psycopg.connect(self.address.url) as connection:
            connection.execute(cast("Any", sql))

    def create(self) -> None:
        """Make the schema."""
        self.change(f"CREATE SCHEMA {self.schema}")

    def lose(self) -> None:
        """Somebody drops all of it, and makes it anew."""
        self.change(f"DROP SCHEMA {self.schema} CASCADE")
        self.create()


def option(index: Index) -> str:
    """The value of ``--index``."""
    address = index.address
    return str(address) if isinstance(address, Path) else address.url


def a_schema_of(database: str, name: str) -> OnServer:
    """An index to be, in a database at this address."""
    made = OnServer(database, name)
    made.create()
    return made
