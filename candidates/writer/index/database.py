"""The index as a SQLite file: what is committed is on stable storage. All of it blocks."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection

from candidates.writer.errors import IndexFailed
from candidates.writer.index.migrate import MIGRATIONS
from candidates.writer.storage import sync_directory
from router.sql.sqlite import Faults, Mode, SqliteFile

READERS = 4
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


class Database:
    """One writer at a time, readers beside it on snapshots of their own."""

    def __init__(self, path: Path):
        """Open, create or upgrade; raises ``IndexFailed``."""
        self.path = path
        self._file = SqliteFile(path, _FAULTS, READERS + 1)
        try:
            sync_directory(path.parent)
            with self.writing() as connection:
                MIGRATIONS.migrate(connection)
        except OSError as error:
            self.close()
            raise IndexFailed(f"the index {path} cannot be opened: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads; raises ``IndexFailed``."""
        return self._file.transaction(Mode.READ)

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that is on stable storage when the block has ended, or has not happened.

        Raises ``IndexFailed``.
        """
        return self._file.transaction(Mode.DURABLE)

    def close(self) -> None:
        """Close all connections."""
        self._file.close()
