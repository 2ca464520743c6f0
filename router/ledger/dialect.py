"""All that the ledger knows of one particular database; everything else is dialect-neutral SQL.

Durability is a property of a transaction. SQLite's WAL with ``synchronous=FULL`` flushes at each
commit, with ``NORMAL`` only at checkpoints; a later ``FULL`` commit makes every earlier one
durable too, because the log is flushed in order.
"""

from __future__ import annotations

import os
import sqlite3
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from router.domain.errors import ConfigurationError, LedgerFailed

MODE_OPTION = "ledger_mode"
"""Execution option of a connection: its :class:`Mode`."""

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error)
"""What a database may raise; the driver's own error comes bare while a connection is made."""


class Mode(Enum):
    """What a transaction is for."""

    READ = "read"
    BEHIND = "behind"  # writes what a power cut may take back, because it would come again
    DURABLE = "durable"  # writes what must be on stable storage when the call returns


_BEGIN = {
    Mode.READ: ("BEGIN",),
    Mode.BEHIND: ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE"),
    Mode.DURABLE: ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE"),
}
_WITH_UPSERT = ("sqlite", "postgresql")


def upsert(dialect_name: str, table: Table) -> Any:
    """Begin an INSERT that has ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    if dialect_name not in _WITH_UPSERT:
        raise ValueError(f"{dialect_name} has no upsert that is known here")
    return import_module(f"sqlalchemy.dialects.{dialect_name}").insert(table)


def ledger_url(url_or_path: str | Path) -> URL:
    """Read a database URL; raises ``ConfigurationError`` for anything but a SQLite file."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        return URL.create("sqlite", database=str(url_or_path))
    try:
        url = make_url(url_or_path)
    except ArgumentError as error:
        raise ConfigurationError(f"{url_or_path!r} is not a database URL") from error
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise ConfigurationError(
            f"the ledger cannot live in {url.render_as_string()}: "
            "give the path of a SQLite file, or sqlite:///path"
        )
    return url


def create_ledger_engine(url: URL, connections: int, busy_timeout_s: float) -> Engine:
    """Make an engine whose transactions begin as their connection's ``Mode`` says.

    The file is created if need be, for its owner only: it names patients. Raises ``LedgerFailed``
    when that is not possible.
    """
    path = Path(url.database or "")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise LedgerFailed(f"the ledger {path} cannot be opened: {error.strerror}") from error
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        connect_args={"timeout": busy_timeout_s},
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
        raise LedgerFailed(
            "the file system under the ledger has no shared memory for a write-ahead log: "
            "put the ledger on a local disk"
        )
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    for statement in _BEGIN[connection.get_execution_options()[MODE_OPTION]]:
        connection.exec_driver_sql(statement)


def explain(error: SQLAlchemyError | sqlite3.Error, path: str) -> LedgerFailed:
    """Put the database's error in the words of the person who must act."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    advice = _ADVICE.get(code & 0xFF, "") if isinstance(code, int) else ""
    return LedgerFailed(f"the ledger {path} failed: {cause}{advice}")


_DAMAGED = (
    "; the file is damaged or no ledger at all: move it away and start the router again, "
    "which rebuilds the ledger from the spool"
)
_LOCKED = "; another process holds it: stop that process, then try again"
_ADVICE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FULL: "; the disk is full: make room, the router goes on by itself",
    sqlite3.SQLITE_READONLY: "; the file or its directory cannot be written by this user",
    sqlite3.SQLITE_CANTOPEN: "; is its directory there, and may this user write in it?",
    sqlite3.SQLITE_IOERR: "; the disk answered with an error: look at the system's log",
}
