"""Reads a data set no faster than its candidate may be sent to."""

from __future__ import annotations

from router.dicom.data_source import DataSource
from router.domain.candidate import Candidate
from router.domain.pace import Pace
from router.ports import Clock


class Paces:
    """The pace of each candidate that has a rate, shared by all its associations."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._by_ae_title: dict[str, Pace] = {}

    def paced(self, candidate: Candidate, source: DataSource) -> DataSource:
        """The source at the rate that the candidate may be sent to."""
        pace = self.of(candidate)
        return source if pace is None else PacedSource(source, pace, self._clock)

    async def turn(self, candidate: Candidate, count: int) -> None:
        """Wait until the candidate's rate lets bytes through, and count so many."""
        pace = self.of(candidate)
        if pace is not None:
            await _turn(pace, self._clock)
            pace.spend(count, self._clock.monotonic())

    def of(self, candidate: Candidate) -> Pace | None:
        """The candidate's pace; None: as fast as it goes."""
        if candidate.rate is None:
            self._by_ae_title.pop(candidate.ae_title, None)
            return None
        pace = self._by_ae_title.get(candidate.ae_title)
        if pace is None or pace.rate != candidate.rate:
            pace = Pace(candidate.rate, self._clock.monotonic())
            self._by_ae_title[candidate.ae_title] = pace
        return pace


class PacedSource:
    """A data source that waits until its candidate's rate lets the next bytes through."""

    __slots__ = ("_clock", "_pace", "_source", "length")

    def __init__(self, source: DataSource, pace: Pace, clock: Clock):
        self._source = source
        self._pace = pace
        self._clock = clock
        self.length = source.length
        """Bytes of the data set."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """See ``DataSource``; None, too, while nothing may go through."""
        if self._pace.wait_s(self._clock.monotonic()):
            return None
        count = self._source.try_read_into(buffer, offset)
        if count is not None:
            self._pace.spend(count, self._clock.monotonic())
        return count

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """See ``DataSource``; waits for its turn first."""
        await _turn(self._pace, self._clock)
        count = await self._source.read_into(buffer, offset)
        self._pace.spend(count, self._clock.monotonic())
        return count


async def _turn(pace: Pace, clock: Clock) -> None:
    """Wait until a rate lets bytes through."""
    while wait_s := pace.wait_s(clock.monotonic()):
        await clock.sleep(wait_s)
