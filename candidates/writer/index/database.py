"""The index as a SQLite file: what is committed is on stable storage. All of it blocks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from candidates.writer.errors import IndexFailed
from candidates.writer.index.migrate import migrate
from candidates.writer.storage import sync_directory

READERS = 4
BUSY_TIMEOUT_S = 5.0
_BEGIN = "index_begin"


class Database:
    """One writer at a time, readers beside it on snapshots of their own."""

    def __init__(self, path: Path):
        """Open, create or upgrade; raises ``IndexFailed``."""
        self.path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_directory(path.parent)
        except OSError as error:
            raise IndexFailed(f"the index {path} cannot be opened: {error.strerror}") from error
        self._engine = _create_engine(path)
        try:
            with self.writing() as connection:
                migrate(connection)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; raises ``IndexFailed``."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on stable storage when the block has ended, or has not happened.

        Raises ``IndexFailed``.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(**{_BEGIN: begin})
                with connection.begin():
                    yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise IndexFailed(f"the index {self.path} failed: {_explain(error)}") from error


def _create_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=READERS + 1,
        max_overflow=0,
        connect_args={"timeout": BUSY_TIMEOUT_S},
        insertmanyvalues_page_size=500,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    """Settle what holds for a whole connection. The driver itself shall begin no transaction."""
    connection.isolation_level = None
    (journal_mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if journal_mode != "wal":
        raise IndexFailed(
            "the file system under the index has no shared memory for a write-ahead log: "
            "put the index on a local disk (--index)"
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options()[_BEGIN])


def _explain(error: SQLAlchemyError | sqlite3.Error) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    return f"{cause}{_ADVICE.get(code & 0xFF, '') if isinstance(code, int) else ''}"


_ADVICE = {
    sqlite3.SQLITE_BUSY: "; another process holds it: stop that process",
    sqlite3.SQLITE_CORRUPT: "; the file is damaged: restore it from a backup",
    sqlite3.SQLITE_NOTADB: "; the file is no index of a writer",
    sqlite3.SQLITE_FULL: "; the disk is full: make room",
    sqlite3.SQLITE_READONLY: "; the file or its directory cannot be written by this user",
    sqlite3.SQLITE_CANTOPEN: "; is its directory there, and may this user write in it?",
}
