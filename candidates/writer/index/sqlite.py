"""The index as a SQLite file on a local disk. All of it blocks."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection

from candidates.writer.errors import IndexFailed
from candidates.writer.index.database import READERS
from candidates.writer.index.migrate import MIGRATIONS
from candidates.writer.ownership import Ownership
from candidates.writer.storage import sync_directory
from router.sql.sqlite import Faults, Mode, SqliteFile

_FAULTS = Faults(
    database="index",
    failed=IndexFailed,
    advice={
        sqlite3.SQLITE_CORRUPT: "; the file is damaged: restore it from a backup",
        sqlite3.SQLITE_NOTADB: "; the file is no index of a writer",
        sqlite3.SQLITE_FULL: "; the disk is full: make room",
    },
    option=" (--index)",
)


class SqliteDatabase:
    """A :class:`candidates.writer.index.database.Database` in a file; a lock file is beside it."""

    def __init__(self, path: Path):
        """Raises ``ArchiveInUse`` or ``OSError``. The file itself is made by ``prepare``."""
        self.path = path
        self.is_new = not path.exists()
        self._file: SqliteFile | None = None
        self._turn = threading.Lock()
        self._lock = Ownership(path.with_name(path.name + ".lock"), f"the index {path}")

    def prepare(self) -> None:
        """Create or upgrade; raises ``IndexFailed``."""
        try:
            with self.writing() as connection:
                sync_directory(self.path.parent)
                MIGRATIONS.migrate(connection)
        except OSError as error:
            text = f"the index {self.path} cannot be opened: {error.strerror}"
            raise IndexFailed(text) from error

    def take(self) -> None:
        """There is nothing to be done: the lock cannot be lost before the process ends."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads; raises ``IndexFailed``."""
        return self._opened().transaction(Mode.READ)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on stable storage when the block has ended, or has not happened.

        Threads wait here for each other: SQLite would let some wait until they give up.
        Raises ``IndexFailed``.
        """
        with self._turn, self._opened().transaction(Mode.DURABLE) as connection:
            yield connection

    def close(self) -> None:
        """Close all connections, and let others own it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.give_up()

    def _opened(self) -> SqliteFile:
        if self._file is None:
            self._file = SqliteFile(self.path, _FAULTS, READERS + 1)
        return self._file
