"""Reads data sets back: at once where the page cache holds them, else in a worker thread."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio

from router.domain.errors import RecordReclaimed, SpoolFailed
from router.domain.instance import SpoolRef
from router.spool.files import OpenFile, storage_error
from router.spool.format import RECLAIMED_MARK, RECLAIMED_MARK_AT
from router.spool.linux import read_if_cached
from router.spool.segment import segment_path

OPEN_FILES = 256
READING_THREADS = 8

Place = tuple[str, int]
"""Segment and offset of a record."""


def place_of(ref: SpoolRef) -> Place:
    """What makes it the same record."""
    return ref.segment, ref.offset


class Readers:
    """Who reads what, and the open segment files that all readers share.

    The files that were used last stay open for the next reader; one that is pushed out is closed
    when its last reader is.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._reading: Counter[Place] = Counter()
        self._barred: set[Place] = set()
        self._limiter = anyio.CapacityLimiter(READING_THREADS)

    def open(self, ref: SpoolRef) -> Reader:
        """A reader of one record's data set. Raises ``SpoolFailed``."""
        place = place_of(ref)
        if place in self._barred:
            raise _gone(ref, segment_path(self._directory, ref.segment))
        file = self._file(ref.segment)
        self._reading[place] += 1
        return Reader(file, ref, self)

    def _file(self, segment: str) -> OpenFile:
        file = self._files.get(segment)
        if file is None:
            path = segment_path(self._directory, segment)
            try:
                file = self._files[segment] = OpenFile(path, os.O_RDONLY)
            except FileNotFoundError as error:
                raise SpoolFailed(f"{path} is gone, and the instances in it") from error
            except OSError as error:
                raise storage_error(error, path) from error
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)
        self._files.move_to_end(segment)
        return file

    @contextmanager
    def barred(self, refs: Sequence[SpoolRef]) -> Iterator[frozenset[Place]]:
        """Meanwhile nobody begins to read these records; yields those that are being read."""
        places = {place_of(ref) for ref in refs}
        self._barred |= places
        try:
            yield frozenset(place for place in places if self._reading[place])
        finally:
            self._barred -= places

    def forget(self, segment: str) -> None:
        """The segment is gone: its file is closed as soon as nobody reads it."""
        self._files.pop(segment, None)

    def close(self) -> None:
        """Forget all files."""
        self._files.clear()

    def closed(self, place: Place) -> None:
        """A reader of this record is closed."""
        self._reading[place] -= 1
        if not self._reading[place]:
            del self._reading[place]

    async def read_in_thread(self, reader: Reader, view: memoryview, offset: int) -> int:
        """One of few threads reads; a slow disk does not take all of the router's threads."""
        return await anyio.to_thread.run_sync(reader.fill, view, offset, limiter=self._limiter)


class Reader:
    """Implements :class:`router.ports.SpoolReader`.

    The first read looks whether the record was reclaimed, so that the zeros of a hole are never
    taken for a data set; who reads before has the bytes kept until ``close``.
    """

    __slots__ = ("_file", "_is_closed", "_is_live", "_readers", "_ref", "length")

    def __init__(self, file: OpenFile, ref: SpoolRef, readers: Readers):
        self._file = file
        self._ref = ref
        self._readers = readers
        self._is_live = False
        self._is_closed = False
        self.length = ref.data_set_length
        """Length of the data set in bytes."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes read if the page cache holds them; see the port."""
        view = self._within(buffer, offset)
        if not view:
            return 0
        if not self._is_live:
            return self._try_read_first(view) if offset == 0 else None
        place = self._ref.data_set_offset + offset
        return read_if_cached(self._file.descriptor, [view], place) or None

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """Bytes read in a worker thread; see the port."""
        return await self._readers.read_in_thread(self, self._within(buffer, offset), offset)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes read, blocking; see the port."""
        buffer = bytearray(max(min(size, self.length - offset), 0))
        return bytes(buffer[: self.fill(memoryview(buffer), offset)])

    def close(self) -> None:
        """Release the record and its segment; see the port."""
        if not self._is_closed:
            self._is_closed = True
            self._readers.closed(place_of(self._ref))

    def fill(self, view: memoryview, offset: int) -> int:
        """Read into ``view``, blocking; the bytes read. Raises ``SpoolFailed``."""
        descriptor = self._file.descriptor
        try:
            if not self._is_live:
                at = self._ref.offset + RECLAIMED_MARK_AT
                self._look_at(os.pread(descriptor, len(RECLAIMED_MARK), at))
            count = os.preadv(descriptor, [view], self._ref.data_set_offset + offset)
        except OSError as error:
            raise storage_error(error, self._file.path) from error
        if not count and len(view):
            raise SpoolFailed(f"{self._file.path} is shorter than its records say: it was damaged")
        return count

    def _try_read_first(self, view: memoryview) -> int | None:
        """The beginning of the data set, and in the same call what stands before it."""
        start = self._ref.offset + RECLAIMED_MARK_AT
        before = bytearray(self._ref.data_set_offset - start)
        count = read_if_cached(self._file.descriptor, [before, view], start)
        if count is None or count <= len(before):
            return None
        self._look_at(before[: len(RECLAIMED_MARK)])
        return count - len(before)

    def _within(self, buffer: memoryview, offset: int) -> memoryview:
        return buffer[: max(self.length - offset, 0)]

    def _look_at(self, mark: bytes | bytearray) -> None:
        if mark == RECLAIMED_MARK:
            raise _gone(self._ref, self._file.path)
        self._is_live = True


def _gone(ref: SpoolRef, path: Path) -> RecordReclaimed:
    return RecordReclaimed(
        f"the instance at {ref.offset} of {path} has been reclaimed; "
        "ask the source to send it again"
    )
