"""One record being written: gathered in memory, and in a leased segment once it grows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import xxhash

from router.domain.errors import RouterError, SpoolFailed
from router.domain.instance import Disposition, Facts, Identity, Provenance
from router.ports import Sealed
from router.spool.files import is_no_room, storage_error
from router.spool.format import (
    RECORD_HEADER_BYTES,
    aligned,
    frame_checksum,
    pack_record_header,
    pack_trailer,
)
from router.spool.group import Gathered, GroupCommit, Release, SealedRecord
from router.spool.linux import start_write_back
from router.spool.room import Room
from router.spool.segment import Segment
from router.spool.sync_pool import SyncPool

WRITE_BACK_BYTES = 8 << 20
"""An object that is longer begins to reach the disk while it arrives, so its flush is short."""

LOOK_FOR_ROOM_BYTES = 8 << 20
"""A record asks again for room when it has grown by so much: it may outgrow what is left."""

GATHER_BYTES = 128 << 10
"""A shorter record is kept in memory until it is sealed, and is written and flushed together with
others: copying it costs less than the calls that this saves."""

CUT_BEYOND_BYTES = 1 << 20
"""A discarded record that is shorter is simply overwritten by the next one."""


class Writer:
    """Implements :class:`router.ports.SpoolWriter`.

    A record that has outgrown the memory holds the lease of a segment until it is durable, or has
    failed, or is discarded. ``discard`` after ``seal`` does nothing: the record is on its way.
    """

    __slots__ = (
        "_fault",
        "_gathered",
        "_group",
        "_hash",
        "_head",
        "_is_open",
        "_is_writing_back",
        "_lease",
        "_pool",
        "_release",
        "_room",
        "_room_seen",
        "_room_taken",
        "_segment",
        "_written_back",
        "data_set_bytes",
    )

    def __init__(
        self,
        head: bytes,
        pool: SyncPool,
        group: GroupCommit,
        room: Room,
        lease: Callable[[], Segment],
        release: Release,
    ):
        self._head = head  # the Part 10 header
        self._gathered = bytearray(head)  # and data set, as long as there is no segment
        self._segment: Segment | None = None
        self._pool = pool
        self._group = group
        self._room = room
        self._room_taken = 0
        self._room_seen = 0  # bytes of the record when there was room for it
        self._lease = lease
        self._release = release
        self.data_set_bytes = 0
        """Bytes of data set written so far."""
        self._written_back = 0  # bytes of the record
        self._is_writing_back = False
        self._hash = xxhash.xxh3_64()
        self._fault: RouterError | None = None
        self._is_open = True

    @property
    def _length(self) -> int:
        """Bytes of the record so far: its header, and a file that has no end yet."""
        return RECORD_HEADER_BYTES + len(self._head) + self.data_set_bytes

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append to the data set; see the port."""
        for fragment in fragments:
            self._hash.update(fragment)
        size = sum(map(len, fragments))
        segment = self._segment
        if segment is None and len(self._gathered) + size <= GATHER_BYTES:
            for fragment in fragments:
                self._gathered += fragment
        else:
            self._write(segment or self._begin_segment(), fragments)
        self.data_set_bytes += size
        self._take_room(self._length)
        if self._length - self._room_seen >= LOOK_FOR_ROOM_BYTES:
            self._look_for_room()
        if self._length - self._written_back >= WRITE_BACK_BYTES and not self._is_writing_back:
            self._start_write_back()

    def _look_for_room(self) -> None:
        """Raises ``SpoolFull``, also for all that is written later, or ``SpoolFailed``."""
        try:
            self._room.check()
        except RouterError as error:
            self._fault = error
            raise
        self._room_seen = self._length

    def _begin_segment(self) -> Segment:
        """Lease one, for a record that is too long to be gathered."""
        try:
            segment = self._segment = self._lease()
        except RouterError as error:
            self._fault = error
            raise
        return segment

    def _write(self, segment: Segment, fragments: Sequence[memoryview]) -> None:
        """Write what is gathered, if anything still is, and these fragments behind it."""
        gathered = self._gathered
        try:
            if gathered:
                segment.write([gathered, *fragments], segment.end + RECORD_HEADER_BYTES)
                self._gathered = bytearray()
            else:
                segment.write(fragments, segment.end + self._length)
        except OSError as error:
            # a full disk spares what the segment holds; any other error ends the trust in it
            segment.is_trusted = segment.is_trusted and is_no_room(error)
            self._fault = storage_error(error, segment.file.path)
            raise self._fault from error

    def _start_write_back(self) -> None:
        segment = self._segment
        if segment is None:
            return
        file, start = segment.file, segment.end + self._written_back
        length = self._length - self._written_back
        self._written_back = self._length
        self._is_writing_back = True

        def job() -> None:
            start_write_back(file.descriptor, start, length)

        def done(_: None) -> None:
            self._is_writing_back = False

        self._pool.submit(job, done)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the data set written so far; none after ``discard``. See the port."""
        if not self._is_open:
            return b""
        size = max(min(size, self.data_set_bytes - offset), 0)
        segment, at = self._segment, len(self._head) + offset
        if segment is None:
            return bytes(self._gathered[at : at + size])
        try:
            return os.pread(segment.file.descriptor, size, segment.end + RECORD_HEADER_BYTES + at)
        except OSError as error:
            raise storage_error(error, segment.file.path) from error

    def seal(
        self,
        identity: Identity,
        provenance: Provenance,
        facts: Facts,
        disposition: Disposition,
        reason: str,
        sealed: Sealed,
    ) -> None:
        """Make the record durable; see the port."""
        if not self._is_open:
            sealed(SpoolFailed("the record has been given up before"))
            return
        if self._fault is not None:
            self.discard()
            sealed(self._fault)
            return
        trailer = pack_trailer(identity, provenance, facts, disposition, reason)
        record = SealedRecord(
            identity,
            provenance,
            facts,
            disposition,
            reason,
            trailer,
            len(self._head),
            self._hash.intdigest(),
            frame_checksum(self._head, trailer),
            sealed,
        )
        self._is_open = False
        self._take_room(aligned(self._length + len(trailer)))
        if self._segment is None:
            self._group.put(Gathered(record, self._gathered, self._give_up))
        else:
            self._finish(self._segment, record)

    def _finish(self, segment: Segment, record: SealedRecord) -> None:
        """Write the trailer and then the header, and flush the segment."""
        start, trailer_at = segment.end, segment.end + self._length
        header = record.header(segment.nonce, start, self._length - RECORD_HEADER_BYTES)

        def job() -> RouterError | None:
            packed = pack_record_header(header)
            error = segment.store([([record.trailer], trailer_at), ([packed], start)])
            if error is not None:
                segment.give_up(start)
            return error

        def done(error: RouterError | None) -> None:
            if error is None:
                segment.end = start + header.length
                self._release(segment, 1, header.length)
                record.sealed(record.instance(header, segment.name))
            else:
                self._give_up()
                self._release(segment, 0, 0)
                record.sealed(error)

        self._pool.submit(job, done)

    def _give_up(self) -> None:
        self._take_room(0)

    def discard(self) -> None:
        """Give the place back; see the port.

        What was written there cannot pass for a record: it has no header.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._take_room(0)
        segment = self._segment
        if segment is None:
            return
        if self._length < CUT_BEYOND_BYTES:
            self._release(segment, 0, 0)
            return
        start = segment.end
        self._pool.submit(lambda: segment.cut(start), lambda _: self._release(segment, 0, 0))

    def _take_room(self, length: int) -> None:
        """Count ``length`` bytes for this record from now on."""
        self._room.used += length - self._room_taken
        self._room_taken = length
