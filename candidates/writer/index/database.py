"""What an index needs of its database, whichever it is. All of it blocks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from candidates.writer.errors import IndexFailed
from candidates.writer.index.address import IndexAddress

READERS = 4


class Database(Protocol):
    """A database that this process owns from its opening on: one writer, readers beside it."""

    @property
    def is_new(self) -> bool:
        """Whether it was no index yet when it was opened."""
        ...

    def prepare(self) -> None:
        """Create or upgrade the tables; raises ``IndexFailed``."""
        ...

    def take(self) -> None:
        """Be the one that changes it from now on, of all processes that ever owned it.

        Raises ``IndexFailed``.
        """
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads, on one snapshot; raises ``IndexFailed``."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that is on stable storage when the block has ended, or has not happened.

        When it begins, every earlier one has ended. Raises ``IndexUnavailable`` if none could
        begin, ``ArchiveInUse`` if the index has been lost to another process; any other
        ``IndexFailed`` leaves open whether it has happened.
        """
        ...

    def close(self) -> None:
        """Close all connections, and let others own it."""
        ...


def open_database(address: IndexAddress) -> Database:
    """Take possession of an index that is there or is to be; raises ``WriterFailed``.

    ``ArchiveInUse`` says which process owns it.
    """
    if isinstance(address, Path):
        from candidates.writer.index.sqlite import SqliteDatabase

        return SqliteDatabase(address)
    try:
        from candidates.writer.index.postgresql import PostgresDatabase
    except ImportError as error:
        raise IndexFailed(
            f"the index {address} needs psycopg ({error}): pip install 'psycopg[binary]'"
        ) from error
    return PostgresDatabase(address)
