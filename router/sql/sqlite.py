"""A database that is one SQLite file. All of it blocks.

Durability is a property of a transaction. SQLite's WAL with ``synchronous=FULL`` flushes at each
commit, with ``NORMAL`` only at checkpoints; a later ``FULL`` commit makes every earlier one
durable too, because the log is flushed in order.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process that writes."""
_MODE = "mode"  # execution option of a connection
_ROWS_PER_INSERT = 500


class Mode(Enum):
    """What a transaction is for."""

    READ = "read"
    BEHIND = "behind"  # writes what a power cut may take back, because it would come again
    DURABLE = "durable"  # writes what must be on stable storage when it has ended


_BEGIN = {
    Mode.READ: ("BEGIN",),
    Mode.BEHIND: ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE"),
    Mode.DURABLE: ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE"),
}

_LOCKED = "; another process holds it: stop that process, then try again"
_ADVICE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: "; the file or its directory cannot be written by this user",
    sqlite3.SQLITE_CANTOPEN: "; is its directory there, and may this user write in it?",
    sqlite3.SQLITE_IOERR: "; the disk answered with an error: look at the system's log",
}


@dataclass(frozen=True, slots=True)
class Faults:
    """How the faults of a database are told to the person who must act."""

    database: str  # what the person calls it
    failed: type[Exception]
    advice: Mapping[int, str] = field(default_factory=dict)  # by SQLite's primary result code
    option: str = ""  # what says where the database is, in parentheses

    def explain(self, error: SQLAlchemyError | sqlite3.Error, path: Path) -> Exception:
        """The database's error in words, with what to do about it."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        known = {**_ADVICE, **self.advice}
        advice = known.get(code & 0xFF, "") if isinstance(code, int) else ""
        return self.failed(f"the {self.database} {path} failed: {cause}{advice}")


class SqliteFile:
    """The file and its connections: one writer at a time, readers beside it on snapshots."""

    def __init__(
        self, path: Path, faults: Faults, connections: int, busy_timeout_s: float = BUSY_TIMEOUT_S
    ):
        """Create the file if need be, for its owner only: it names patients.

        Raises ``faults.failed`` when that is not possible.
        """
        self._path = path
        self._faults = faults
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise faults.failed(
                f"the {faults.database} {path} cannot be opened: {error.strerror}"
            ) from error
        self._engine = self._create_engine(connections, busy_timeout_s)

    @contextmanager
    def transaction(self, mode: Mode) -> Iterator[Connection]:
        """A transaction that is committed when the block ends, and rolled back when it raises.

        The database's own errors are raised as ``faults.failed``.
        """
        try:
            with self._engine.connect() as connection:
                connection.execution_options(**{_MODE: mode})
                with connection.begin():
                    yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:  # bare while a connection is made
            raise self._faults.explain(error, self._path) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _create_engine(self, connections: int, busy_timeout_s: float) -> Engine:
        engine = create_engine(
            URL.create("sqlite", database=str(self._path)),
            pool_size=connections,
            max_overflow=0,
            connect_args={"timeout": busy_timeout_s},
            insertmanyvalues_page_size=_ROWS_PER_INSERT,
        )
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _prepare(self, connection: sqlite3.Connection, _record: object) -> None:
        """Settle what holds for a whole connection; the driver shall begin no transaction."""
        connection.isolation_level = None
        (journal_mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if journal_mode != "wal":
            name, option = self._faults.database, self._faults.option
            raise self._faults.failed(
                f"the file system under the {name} has no shared memory for a write-ahead log: "
                f"put the {name} on a local disk{option}"
            )
        connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    for statement in _BEGIN[connection.get_execution_options()[_MODE]]:
        connection.exec_driver_sql(statement)
