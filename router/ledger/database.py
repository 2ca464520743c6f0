"""Runs transactions in worker threads: one writer at a time, readers beside it.

The event loop never blocks. A call that is cancelled while it waits for its turn does nothing; a
transaction that has begun always ends, committed or rolled back, before the cancellation shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection

from router.ledger.dialect import FAULTS, ledger_file
from router.ledger.migrate import MIGRATIONS
from router.sql.sqlite import Mode, SqliteFile

T = TypeVar("T")
Work = Callable[[Connection], T]

READERS = 4


class Database:
    """The file, and the turns that are taken on it."""

    def __init__(self, file: SqliteFile):
        self._file = file
        self._writer = CapacityLimiter(1)
        self._readers = CapacityLimiter(READERS)

    @classmethod
    async def open(cls, url_or_path: str | Path, busy_timeout_s: float) -> Database:
        """Open and migrate to the newest schema; raises ``LedgerFailed``."""
        path = ledger_file(url_or_path)
        database = cls(SqliteFile(path, FAULTS, READERS + 1, busy_timeout_s))
        try:
            await database.write(MIGRATIONS.migrate)
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def is_busy(self) -> bool:
        """Whether any transaction is under way."""
        return bool(self._writer.borrowed_tokens or self._readers.borrowed_tokens)

    async def read(self, work: Work[T]) -> T:
        """Run a transaction that only reads, on one snapshot. Raises ``LedgerFailed``."""
        return await to_thread.run_sync(self._transact, work, Mode.READ, limiter=self._readers)

    async def write(self, work: Work[T]) -> T:
        """Run a transaction that is on stable storage on return. Raises ``LedgerFailed``."""
        return await to_thread.run_sync(self._transact, work, Mode.DURABLE, limiter=self._writer)

    async def write_behind(self, work: Work[T]) -> T:
        """Run a transaction that a power cut, and nothing less, may take back.

        It is durable as soon as any later ``write`` is. Raises ``LedgerFailed``.
        """
        return await to_thread.run_sync(self._transact, work, Mode.BEHIND, limiter=self._writer)

    async def close(self) -> None:
        """Give all connections back, cancelled or not."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._file.close)

    def _transact(self, work: Work[T], mode: Mode) -> T:
        with self._file.transaction(mode) as connection:
            return work(connection)
