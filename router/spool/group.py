"""Group commit: small records that are sealed together share one write and one flush.

What is sealed while a flush is under way waits for the next one, which takes all of it. So the
disk, and the threads that wait for it, are asked once for many instances exactly when there are
many; one that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from router.domain.errors import RouterError
from router.domain.instance import Disposition, Facts, Identity, Instance, Provenance
from router.ports import Sealed
from router.spool.format import RECORD_HEADER_BYTES, RecordHeader, pack_record_header
from router.spool.segment import Buffer, Segment
from router.spool.sync_pool import SyncPool

log = structlog.get_logger(__name__)

GROUPS_AT_ONCE = 2
"""While one is flushed, the next one is written; more would only be smaller."""

RECORDS_AT_ONCE = 256
BYTES_AT_ONCE = 8 << 20

Release = Callable[[Segment, int, int], None]
"""Takes a lease back: how many records were sealed in it, and their length, in bytes."""


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """What a record says, and whom to tell that it is durable."""

    identity: Identity
    provenance: Provenance
    facts: Facts
    disposition: Disposition
    reason: str
    trailer: bytes
    head_bytes: int
    data_set_checksum: int
    frame_checksum: int
    sealed: Sealed

    def header(self, nonce: bytes, offset: int, file_length: int) -> RecordHeader:
        """The header of the record at this offset of a segment."""
        return RecordHeader(
            nonce=nonce,
            offset=offset,
            file_length=file_length,
            data_set_skip=self.head_bytes,
            trailer_length=len(self.trailer),
            data_set_checksum=self.data_set_checksum,
            frame_checksum=self.frame_checksum,
        )

    def instance(self, header: RecordHeader, segment: str) -> Instance:
        """The instance, as soon as its record is durable there."""
        return Instance(
            self.identity,
            self.provenance,
            self.facts,
            header.ref(segment),
            f"{self.data_set_checksum:016x}",
            self.disposition,
            self.reason,
        )


@dataclass(frozen=True, slots=True)
class Gathered:
    """A record that is still in memory, and how much of the spool's room it takes."""

    record: SealedRecord
    file: bytearray
    failed: Callable[[], None]  # gives its room back

    @property
    def size(self) -> int:
        """Bytes, but for the alignment."""
        return RECORD_HEADER_BYTES + len(self.file) + len(self.record.trailer)


class GroupCommit:
    """Takes gathered records; a few groups of them are under way at a time."""

    def __init__(self, pool: SyncPool, lease: Callable[[], Segment], release: Release):
        """``lease`` raises ``SpoolFull`` or ``SpoolFailed`` where there is no segment to be had."""
        self._pool = pool
        self._lease = lease
        self._release = release
        self._waiting: deque[Gathered] = deque()
        self._under_way = 0
        self.held_bytes = 0
        """Of the records that wait or are under way: so much memory they take."""
        self._is_due = False
        self._at_once = GROUPS_AT_ONCE

    def put(self, gathered: Gathered) -> None:
        """Write and flush it with all others that are sealed in this turn of the event loop."""
        self._waiting.append(gathered)
        self.held_bytes += gathered.size
        if not self._is_due and self._under_way < self._at_once:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def put_off_nothing(self) -> None:
        """Begin all that waits now, and from now on at once: the pool is about to be left."""
        self._at_once = RECORDS_AT_ONCE
        self._begin()

    def _begin(self) -> None:
        self._is_due = False
        while self._waiting and self._under_way < self._at_once:
            self._under_way += 1
            group = self._next_group()
            try:
                segment = self._lease()
            except RouterError as error:
                self._fail(group, error)
            else:
                self._store(segment, group)

    def _next_group(self) -> list[Gathered]:
        group: list[Gathered] = []
        size = 0
        while self._waiting and len(group) < RECORDS_AT_ONCE and size < BYTES_AT_ONCE:
            group.append(self._waiting.popleft())
            size += group[-1].size
        return group

    def _store(self, segment: Segment, group: list[Gathered]) -> None:
        start = end = segment.end
        buffers: list[Buffer] = []
        instances: list[Instance] = []
        for gathered in group:
            record = gathered.record
            header = record.header(segment.nonce, end, len(gathered.file))
            padding = bytes(header.length - gathered.size)
            buffers += (pack_record_header(header), gathered.file, record.trailer, padding)
            instances.append(record.instance(header, segment.name))
            end += header.length

        def job() -> RouterError | None:
            error = segment.store([(buffers, start)])
            if error is not None:
                segment.give_up(start)
            return error

        def done(error: RouterError | None) -> None:
            if error is not None:
                self._release(segment, 0, 0)
                self._fail(group, error)
                return
            segment.end = end
            self._release(segment, len(group), end - start)
            self._end(group, instances)

        self._pool.submit(job, done)

    def _fail(self, group: list[Gathered], error: RouterError) -> None:
        for gathered in group:
            gathered.failed()
        self._end(group, [error] * len(group))

    def _end(self, group: list[Gathered], results: Sequence[Instance | RouterError]) -> None:
        """Tell everybody; who fails to listen does not keep the others from hearing."""
        self._under_way -= 1
        self.held_bytes -= sum(gathered.size for gathered in group)
        if self._waiting and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._begin)
        for gathered, result in zip(group, results, strict=True):
            try:
                gathered.record.sealed(result)
            except Exception:
                log.exception("a sealed record was not taken note of")
