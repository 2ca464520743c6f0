"""The index in PostgreSQL. All of it blocks.

Ownership is an advisory lock of the one connection that changes anything. It ends with that
connection: whoever has lost it cannot commit, and whoever has taken it again knows that all that
the former connection began has ended, one way or the other.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, update
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from candidates.writer.errors import ArchiveInUse, IndexFailed, IndexUnavailable
from candidates.writer.index.address import PostgresAddress
from candidates.writer.index.database import READERS
from candidates.writer.index.migrate import MIGRATIONS
from candidates.writer.index.schema import area, attachment

LOCK_CLASS = 0x44574958
"""The advisory lock of an index: this number, and the hash of the schema's name."""
_WAITS = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms
}
"""A server that has gone without a word is noticed within so many seconds."""
_NAME_BYTES = 63  # of an application_name

_ADVICE = {
    "25006": "; the server only lets itself be read: name the one that is written to",
    "42501": "; the user has to be allowed to create tables there, and to change them",
    "53100": "; the server's disk is full: make room",
    "55P03": "; something else holds a lock on the tables of the index",
    "57": "; the server ends, or has ended the connection: what cannot be kept is refused",
    "XX": "; the database is damaged: restore it from a backup",
}
"""By SQLSTATE, or its class."""
_NOT_CONNECTED = (
    "; is the server running, can it be reached from here, and are database, user and password "
    "(PGPASSWORD, or a file that PGPASSFILE names) right?"
)

_HOLDER = """
SELECT holder.pid, activity.application_name, host(activity.client_addr)
FROM pg_locks AS holder LEFT JOIN pg_stat_activity AS activity ON activity.pid = holder.pid
WHERE holder.locktype = 'advisory' AND holder.granted AND holder.objsubid = 2
  AND holder.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND holder.classid = %s
  AND holder.objid::bigint = hashtext(current_schema()::text)::bigint & 4294967295
"""
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND application_name = %s AND datname = current_database()
"""

log = structlog.get_logger(__name__)


class PostgresDatabase:
    """A :class:`candidates.writer.index.database.Database` in a schema of a PostgreSQL server."""

    def __init__(self, address: PostgresAddress):
        """Connect and take possession; raises ``ArchiveInUse`` or ``IndexFailed``."""
        self.address = address
        self._start = str(uuid.uuid4())
        self._is_taken = False
        self._backend = 0  # the server's process that holds the lock, or held it last
        self._turn = threading.Lock()
        self._writer = self._engine(1, self._connect_writer)
        self._readers = self._engine(READERS, _connect_reader)
        try:
            with self.writing() as connection:
                self.is_new = self._find_out(connection)
        except BaseException:
            self.close()
            raise

    def prepare(self) -> None:
        """Create or upgrade; raises ``IndexFailed``."""
        with self.writing() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            MIGRATIONS.migrate(connection)

    def take(self) -> None:
        """Leave word of which start of which writer owns it; raises ``IndexFailed``."""
        with self.writing() as connection:
            connection.execute(update(area).values(owner=self._start))
        self._is_taken = True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, on one snapshot; raises ``IndexFailed``."""
        with self._transaction(self._readers) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on stable storage when the block has ended, or has not happened.

        See the protocol for what it raises.
        """
        with self._turn, self._transaction(self._writer) as connection:
            yield connection

    def close(self) -> None:
        """Close all connections, and let others own it."""
        self._readers.dispose()
        self._writer.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            connection = engine.connect()
        except SQLAlchemyError as error:
            raise IndexUnavailable(self._explained(error)) from error
        try:
            with connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise IndexFailed(self._explained(error)) from error

    def _explained(self, error: SQLAlchemyError) -> str:
        """The server's error in words, with what to do about it."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None)
        advice = _ADVICE.get(state, _ADVICE.get(state[:2], "")) if state else _NOT_CONNECTED
        said = " ".join(str(cause).split())
        return f"the index {self.address} failed: {said}{advice}"

    def _engine(self, connections: int, connect: Any) -> Engine:
        url = self._url()
        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,  # a server that was started anew is no fault
            connect_args={
                **{name: value for name, value in _WAITS.items() if name not in url.query},
                "application_name": _who_we_are(),
                "client_encoding": "utf8",
            },
        )
        event.listen(engine, "do_connect", connect)
        return engine

    def _url(self) -> URL:
        try:
            return make_url(self.address.url).set(drivername="postgresql+psycopg")
        except ArgumentError as error:
            raise IndexFailed(f"the index {self.address} is no address of a database") from error

    def _connect_writer(
        self, _dialect: object, _record: object, arguments: Any, options: Any
    ) -> psycopg.Connection:
        """A connection that owns the index."""
        connection = psycopg.connect(*arguments, **options, autocommit=True)
        try:
            self._own(connection)
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
            connection.execute("SET statement_timeout = '60s'")
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def _own(self, connection: psycopg.Connection) -> None:
        """Take the lock of the schema; raises ``ArchiveInUse`` or ``IndexFailed``."""
        if _value(connection, "SELECT current_schema()") is None:
            raise IndexFailed(
                f"the index {self.address}: its search path names no schema that is there; "
                "create it, or name another"
            )
        if self._backend:  # the server may not have noticed that we are gone
            connection.execute(_END, (self._backend, _who_we_are()))
        connection.execute("SET lock_timeout = '5s'")  # an owner that is ending is waited for
        try:
            connection.execute(
                "SELECT pg_advisory_lock(%s, hashtext(current_schema()::text))", (LOCK_CLASS,)
            )
        except psycopg.errors.LockNotAvailable:
            raise ArchiveInUse(
                f"the index {self.address} is in use by {_holder(connection)}: "
                "one process at a time owns an archive; stop that one first"
            ) from None
        if self._is_taken and _value(connection, "SELECT owner FROM area") != self._start:
            raise ArchiveInUse(
                f"the index {self.address} has been taken over by another process "
                "while the server was out of reach: start this one again"
            )
        self._backend = connection.info.backend_pid

    def _find_out(self, connection: Connection) -> bool:
        """Whether it is new; raises ``IndexFailed`` for a database that cannot be an index."""
        [encoding] = connection.exec_driver_sql("SHOW server_encoding").scalars()
        if encoding != "UTF8":
            raise IndexFailed(
                f"the index {self.address}: the encoding of the database is {encoding}; "
                "create one with UTF8"
            )
        if connection.exec_driver_sql("SHOW fsync").scalar() != "on":
            log.warning(
                "the database server does not flush what it commits (fsync): "
                "a power cut may take back what was acknowledged",
                index=str(self.address),
            )
        tables = inspect(connection).get_table_names()
        if tables and attachment.name not in tables:
            raise IndexFailed(
                f"the index {self.address}: the schema has tables that are none of a writer's; "
                "give it a schema or a database of its own"
            )
        return not tables


def _connect_reader(
    _dialect: object, _record: object, arguments: Any, options: Any
) -> psycopg.Connection:
    connection = psycopg.connect(*arguments, **options, autocommit=True)
    try:
        connection.execute(
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        )
        connection.execute("SET statement_timeout = '60s'")
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def _value(connection: psycopg.Connection, statement: str) -> object:
    """The first value that the server tells; None if there is no row."""
    row = connection.execute(statement).fetchone()
    return None if row is None else row[0]


def _holder(connection: psycopg.Connection) -> str:
    """Who has the lock, in words."""
    row = connection.execute(_HOLDER, (LOCK_CLASS,)).fetchone()
    if row is None:
        return "another process that has just ended"
    pid, name, address = row
    where = f" from {address}" if address else ""
    return f"{name or 'another process'} (connected{where}; process {pid} of the server)"


def _who_we_are() -> str:
    """What the server and a second writer are told of this process."""
    told = f"dicom-writer, process {os.getpid()} on {socket.gethostname()}"
    return told.encode("ascii", "replace")[:_NAME_BYTES].decode()
