"""Reports that candidates owe us: whoever asked waits here, whichever way the report comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from router.domain.commitment import CommitmentReport


class AwaitedReport:
    """A report that has been asked for."""

    def __init__(self) -> None:
        self._arrived = anyio.Event()
        self._report: CommitmentReport | None = None

    def put(self, report: CommitmentReport) -> None:
        """Give it to whoever waits; the first one counts."""
        self._report = self._report or report
        self._arrived.set()

    async def wait(self) -> CommitmentReport:
        """Wait for it."""
        await self._arrived.wait()
        assert self._report is not None
        return self._report


class AwaitedReports:
    """All of them, by transaction UID."""

    def __init__(self) -> None:
        self._awaited: dict[str, AwaitedReport] = {}

    @contextmanager
    def expected(self, transaction_uid: str) -> Iterator[AwaitedReport]:
        """Expect a report as long as the block runs."""
        awaited = self._awaited[transaction_uid] = AwaitedReport()
        try:
            yield awaited
        finally:
            del self._awaited[transaction_uid]

    def take(self, report: CommitmentReport) -> bool:
        """Hand a report over; whether anybody waits for it."""
        awaited = self._awaited.get(report.transaction_uid)
        if awaited is None:
            return False
        awaited.put(report)
        return True
