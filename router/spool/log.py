"""The local spool: a log of segments. Small records are written into one in groups; a large one
leases a segment of its own while it arrives.

**Why an acknowledged instance survives.** ``sealed`` gets an instance only after ``fdatasync`` of
its segment has returned without an error, and by then the whole record is in the file: Part 10
header, data set, trailer, and the record header, which is never written before the rest. The
directory entry of a new segment is flushed before the first acknowledgement out of it. Hence:

- Killed before the record header was written: the record does not exist. Nobody was answered.
- Power lost during the flush: the header may be on the disk without all of the rest. Checksums
  over the rest disagree, and the record is passed over. Nobody was answered.
- Power lost after the flush: all of it is there, and recovery needs nothing but the segment.

**Why nothing else is ever taken for an instance.** A header counts only with the random nonce of
its segment and its own offset. So neither what a discarded record left behind, nor a copy of a
segment inside a data set, nor the blocks of a deleted file can be read as a record.

**When a flush fails** the kernel may have dropped the pages, and the next flush would succeed
without them. So the instance is refused, and all that were flushed with it; their records are cut
off, and the segment gets no more. What was flushed before in it stays valid.

**After a crash** nothing is appended to a segment of a former run: each run begins its own. A torn
tail is never followed by records.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from router.domain.errors import ConfigurationError, SpoolFull
from router.domain.instance import Instance, SpoolRef
from router.spool.files import OpenFile, make_directory, storage_error, sync_directory
from router.spool.format import SEGMENT_HEADER_BYTES
from router.spool.group import GroupCommit
from router.spool.reader import Reader, Readers
from router.spool.reclaim import Reclaimed, count_live, reclaim_records
from router.spool.recovery import intact_instances
from router.spool.room import Room
from router.spool.segment import Segment, segment_path
from router.spool.sync_pool import SyncPool
from router.spool.writer import Writer

SYNC_THREADS = 4
SEGMENT_BYTES = 256 << 20
MIN_FREE_BYTES = 512 << 20
MAX_OPEN_SEGMENTS = 1024
MAX_HELD_BYTES = 64 << 20
"""Of small records that are complete and not on the disk: beyond, the disk does not keep up."""
BATCH = 256
BATCH_BYTES = 64 << 20


@asynccontextmanager
async def open_spool(
    directory: Path,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    max_bytes: int | None = None,
    min_free_bytes: int = MIN_FREE_BYTES,
    max_open_segments: int = MAX_OPEN_SEGMENTS,
    sync_threads: int = SYNC_THREADS,
) -> AsyncIterator[LocalSpool]:
    """The spool in this directory, which is created where it is missing, as long as it is needed.

    A segment is closed once it has grown to ``segment_bytes``. Instances are refused while the
    spool holds ``max_bytes`` (None: no limit), while less than ``min_free_bytes`` are free on its
    file system, or while ``max_open_segments`` instances are arriving. On exit the flushes under
    way are waited for. Raises ``ConfigurationError`` if another process has the spool, and
    ``SpoolFailed`` or ``SpoolFull`` if the directory cannot be used.
    """
    try:
        make_directory(directory)
        lock = _lock(directory)
    except OSError as error:
        raise storage_error(error, directory) from error
    pool = SyncPool(sync_threads)
    room = Room(directory, max_bytes, min_free_bytes)
    spool = LocalSpool(directory, pool, room, segment_bytes, max_open_segments)
    try:
        async with pool:
            try:
                yield spool
            finally:
                spool.store_the_rest()
    finally:
        spool.close()
        del lock


def _lock(directory: Path) -> OpenFile:
    """A spool belongs to one process, as long as that holds the file."""
    lock = OpenFile(directory / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(
            f"the spool {directory} is in use by another router: give this one a data folder "
            "of its own"
        ) from error
    return lock


@dataclass(slots=True)
class _Holding:
    """What a segment file holds: bytes, and records that are not reclaimed (None: not counted)."""

    bytes: int
    live: int | None


class LocalSpool:
    """Implements :class:`router.ports.Spool` in a directory; see :func:`open_spool`."""

    def __init__(
        self,
        directory: Path,
        pool: SyncPool,
        room: Room,
        segment_bytes: int,
        max_open_segments: int,
    ):
        self._directory = directory
        self._pool = pool
        self._room = room
        self._segment_bytes = segment_bytes
        self._max_open_segments = max_open_segments
        self._readers = Readers(directory)
        self._group = GroupCommit(pool, self._lease_for_group, self._release)
        self._is_making_room = False
        self._free: list[Segment] = []  # the one used last is leased first
        self._open: dict[str, Segment] = {}
        self._former = sorted(path.stem for path in directory.glob("*.seg"))
        self._holdings = {name: _Holding(self._size_of(name), None) for name in self._former}
        self._room.used = sum(holding.bytes for holding in self._holdings.values())
        self._reclaiming = anyio.Lock()
        self._begun = 0

    def _size_of(self, name: str) -> int:
        return segment_path(self._directory, name).stat().st_blocks * 512

    @property
    def used_bytes(self) -> int:
        """Bytes that the spool holds, instances that are just arriving included."""
        return self._room.used

    @property
    def open_segments(self) -> int:
        """Segments that records are, or can be, appended to."""
        return len(self._open)

    def check_room(self) -> None:
        """Nothing if another record may begin; see the port."""
        self._room.check()
        if self._group.held_bytes >= MAX_HELD_BYTES:
            raise SpoolFull(
                f"the disk under {self._directory} does not keep up: "
                f"{self._group.held_bytes >> 20} MiB wait for it; send again later"
            )

    def create(self, header: bytes) -> Writer:
        """Begin a record; see the port."""
        self.check_room()
        return Writer(header, self._pool, self._group, self._room, self._lease, self._release)

    def store_the_rest(self) -> None:
        """Let nothing that is sealed wait for a better moment; nothing more will come."""
        self._group.put_off_nothing()

    def _lease(self) -> Segment:
        """A segment for a large record: room that was made ahead is not for it."""
        if (segment := self._free_segment(with_room=False)) is not None:
            return segment
        if len(self._open) >= self._max_open_segments:
            raise SpoolFull(
                f"{self._max_open_segments} large instances are arriving at the same time: "
                "send again later"
            )
        return self._begin_segment()

    def _lease_for_group(self) -> Segment:
        """A segment for small records; there are few groups at a time, whatever else arrives."""
        return self._free_segment(with_room=True) or self._begin_segment()

    def _free_segment(self, *, with_room: bool) -> Segment | None:
        """The one used last that has room, or has none; else the one used last."""
        for at in range(len(self._free) - 1, -1, -1):
            if self._free[at].has_room is with_room:
                return self._free.pop(at)
        return self._free.pop() if self._free else None

    def _begin_segment(self) -> Segment:
        self._begun += 1
        segment = Segment(self._directory, f"{time.time_ns():020d}-{self._begun:06d}")
        self._open[segment.name] = segment
        self._holdings[segment.name] = _Holding(bytes=0, live=0)
        return segment

    def _release(self, segment: Segment, records: int, length: int) -> None:
        """A lease ends after so many records: give the segment to the next one, or close it."""
        holding = self._holdings[segment.name]
        holding.bytes += length
        holding.live = (holding.live or 0) + records
        is_spent = not holding.live and segment.end > SEGMENT_HEADER_BYTES
        if segment.is_trusted and segment.end < self._segment_bytes and not is_spent:
            if records == 1 and self._may_make_room(segment, length):
                self._make_room(segment)
            else:
                self._free.append(segment)
            return
        del self._open[segment.name]
        if not holding.live:
            path = self._forget(segment.name)
            self._pool.submit(lambda: _try_to_remove(path), lambda _: None)
        else:
            self._pool.submit(segment.trim, lambda _: None)

    def _may_make_room(self, segment: Segment, record_bytes: int) -> bool:
        """One segment at a time: the threads are there for what is to be acknowledged."""
        is_possible = self._room.is_ample and not self._is_making_room
        return is_possible and segment.wants_room(record_bytes)

    def _make_room(self, segment: Segment) -> None:
        self._is_making_room = True

        def done(_: None) -> None:
            self._is_making_room = False
            self._release(segment, 0, 0)

        self._pool.submit(segment.make_room, done)

    def _forget(self, name: str) -> Path:
        """Nothing of this segment is needed any more; the file to be removed."""
        self._room.used -= self._holdings.pop(name).bytes
        self._readers.forget(name)
        return segment_path(self._directory, name)

    def open(self, ref: SpoolRef) -> Reader:
        """A reader; see the port."""
        return self._readers.open(ref)

    async def reclaim(self, refs: Sequence[SpoolRef]) -> None:
        """Free the bytes of these records; see the port. Raises ``SpoolFailed``.

        A segment file goes with its last record. Bytes that somebody is just reading stay until
        then. Each call also looks at one segment of a former run that a crash may have left
        without any record.
        """
        by_segment: dict[str, list[SpoolRef]] = {}
        for ref in refs:
            by_segment.setdefault(ref.segment, []).append(ref)
        async with self._reclaiming:
            for name, members in by_segment.items():
                if name in self._holdings:  # else the file went with its last record
                    await self._reclaim_in(name, members)
            for name, holding in self._holdings.items():
                if holding.live is None:
                    await self._count(name)
                    break

    async def _reclaim_in(self, name: str, refs: Sequence[SpoolRef]) -> None:
        path, holding = segment_path(self._directory, name), self._holdings[name]
        with self._readers.barred(refs) as read:
            being_read = frozenset(offset for _, offset in read)

            def work() -> Reclaimed:
                return reclaim_records(path, refs, being_read)

            try:
                reclaimed = await anyio.to_thread.run_sync(work)
            except OSError as error:
                raise storage_error(error, path) from error
        given_back = min(reclaimed.bytes, holding.bytes)
        holding.bytes -= given_back
        self._room.used -= given_back
        if holding.live is None:
            await self._count(name)
        else:
            holding.live -= reclaimed.records
            await self._remove_if_empty(name)

    async def _count(self, name: str) -> None:
        """Count what a segment of a former run still holds; remove it if that is nothing."""
        if name not in self._holdings:
            return
        path = segment_path(self._directory, name)
        try:
            self._holdings[name].live = await anyio.to_thread.run_sync(count_live, path)
        except OSError as error:
            raise storage_error(error, path) from error
        await self._remove_if_empty(name)

    async def _remove_if_empty(self, name: str) -> None:
        if self._holdings[name].live:
            return
        segment = self._open.get(name)
        if segment is not None:
            if segment not in self._free:  # leased: it is removed when that record is done
                return
            self._free.remove(segment)
            del self._open[name]
        path = self._forget(name)
        try:
            await anyio.to_thread.run_sync(_remove, path)
        except OSError as error:
            raise storage_error(error, path) from error

    async def scan(self, recorded_through: Mapping[str, int]) -> AsyncIterator[Instance]:
        """Every intact record of former runs past these offsets; see the port."""
        for name in self._former:
            if name not in self._holdings:
                continue
            walk = intact_instances(
                segment_path(self._directory, name), recorded_through.get(name, 0)
            )
            while batch := await anyio.to_thread.run_sync(_take, walk):
                for instance in batch:
                    yield instance
            if name not in recorded_through:  # a crash may have left it without any record
                async with self._reclaiming:
                    await self._count(name)

    def close(self) -> None:
        """Let go of all files; segments without any record are removed.

        A disk that hangs may still have the others; the next run looks after those.
        """
        for segment in self._free:
            if not self._holdings[segment.name].live:
                _try_to_remove(segment.file.path)
            else:
                segment.trim()
        self._open.clear()
        self._free.clear()
        self._readers.close()


def _take(walk: Iterator[Instance]) -> list[Instance]:
    """The next few instances of a walk: bounded in number and in bytes to be verified."""
    batch: list[Instance] = []
    size = 0
    for instance in walk:
        batch.append(instance)
        size += instance.ref.length
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            break
    return batch


def _remove(path: Path) -> None:
    """Remove a segment, durably: no file of reclaimed records comes back after a power cut."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def _try_to_remove(path: Path) -> None:
    """Remove a segment that holds nothing; if it stays, the next run removes it."""
    with suppress(OSError):
        path.unlink()
