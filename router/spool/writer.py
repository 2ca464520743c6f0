"""One record being written at the end of a leased segment."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import xxhash

from router.domain.errors import RouterError, SpoolFailed
from router.domain.instance import Disposition, Facts, Identity, Instance, Provenance
from router.ports import Sealed
from router.spool.files import is_no_room, storage_error
from router.spool.format import (
    RECORD_HEADER_BYTES,
    RecordHeader,
    frame_checksum,
    pack_record_header,
    pack_trailer,
)
from router.spool.linux import start_write_back
from router.spool.room import Room
from router.spool.segment import Segment
from router.spool.sync_pool import SyncPool

WRITE_BACK_BYTES = 8 << 20
"""An object that is longer begins to reach the disk while it arrives, so its flush is short."""

GATHER_BYTES = 128 << 10
"""A shorter record is kept in memory while it arrives, and written in one call: measured, copying
it costs less than the two calls that this saves."""

CUT_BEYOND_BYTES = 1 << 20
"""A discarded record that is shorter is simply overwritten by the next one."""

Release = Callable[[Segment, int], None]
"""Takes a lease back, with the length of the record that was sealed (0 if none was), in bytes."""


class Writer:
    """Implements :class:`router.ports.SpoolWriter`.

    It holds the lease of its segment until its record is durable, or has failed, or is discarded.
    ``discard`` after ``seal`` does nothing: the record is on its way.
    """

    __slots__ = (
        "_data_set_start",
        "_fault",
        "_gathered",
        "_hash",
        "_head",
        "_is_open",
        "_is_writing_back",
        "_pool",
        "_position",
        "_release",
        "_room",
        "_room_taken",
        "_segment",
        "_start",
        "_written_back",
    )

    def __init__(self, segment: Segment, head: bytes, pool: SyncPool, room: Room, release: Release):
        self._segment = segment
        self._head = head  # the Part 10 header
        self._gathered: bytearray | None = bytearray(head)  # None: all is in the file
        self._pool = pool
        self._room = room
        self._room_taken = 0
        self._release = release
        self._start = segment.end
        self._data_set_start = self._start + RECORD_HEADER_BYTES + len(head)
        self._position = self._data_set_start  # where the next byte belongs, written or gathered
        self._written_back = self._start
        self._is_writing_back = False
        self._hash = xxhash.xxh3_64()
        self._fault: RouterError | None = None
        self._is_open = True

    @property
    def data_set_bytes(self) -> int:
        """Bytes of data set written so far."""
        return self._position - self._data_set_start

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append to the data set; see the port."""
        for fragment in fragments:
            self._hash.update(fragment)
        try:
            self._append(fragments)
        except OSError as error:
            self._fail(error)
            raise storage_error(error, self._segment.file.path) from error
        if self._position - self._written_back >= WRITE_BACK_BYTES and not self._is_writing_back:
            self._start_write_back()

    def _append(self, fragments: Sequence[memoryview]) -> None:
        size = sum(map(len, fragments))
        gathered = self._gathered
        if gathered is not None and len(gathered) + size <= GATHER_BYTES:
            for fragment in fragments:
                gathered += fragment
        elif gathered is not None:
            self._segment.write([gathered, *fragments], self._start + RECORD_HEADER_BYTES)
            self._gathered = None
        else:
            self._segment.write(fragments, self._position)
        self._position += size
        self._take_room(self._position - self._start)

    def _start_write_back(self) -> None:
        file, start = self._segment.file, self._written_back
        length = self._position - start
        self._written_back = self._position
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
        size = min(size, self.data_set_bytes - offset)
        gathered = self._gathered
        if gathered is not None:
            at = len(self._head) + offset
            return bytes(gathered[at : at + max(size, 0)])
        file = self._segment.file
        try:
            return os.pread(file.descriptor, max(size, 0), self._data_set_start + offset)
        except OSError as error:
            raise storage_error(error, file.path) from error

    def seal(
        self,
        identity: Identity,
        provenance: Provenance,
        facts: Facts,
        disposition: Disposition,
        reason: str,
        sealed: Sealed,
    ) -> None:
        """Make the record durable; see the port.

        The frame is written here, into the page cache; only the flush is left to a thread, so that
        it needs the interpreter once.
        """
        if not self._is_open:
            sealed(SpoolFailed("the record has been given up before"))
            return
        header = self._write_frame(pack_trailer(identity, provenance, facts, disposition, reason))
        if isinstance(header, RouterError):
            self.discard()
            sealed(header)
            return
        instance = Instance(
            identity,
            provenance,
            facts,
            header.ref(self._segment.name),
            f"{header.data_set_checksum:016x}",
            disposition,
            reason,
        )
        self._is_open = False
        self._take_room(header.length)
        self._flush(instance, sealed)

    def _flush(self, instance: Instance, sealed: Sealed) -> None:
        segment, start, length = self._segment, self._start, instance.ref.length

        def job() -> RouterError | None:
            error = segment.flush()
            if error is not None:
                segment.cut(start)  # what is not acknowledged shall not be recovered either
            return error

        def done(error: RouterError | None) -> None:
            if error is None:
                segment.end = start + length
                self._release(segment, length)
                sealed(instance)
            else:
                self._take_room(0)
                self._release(segment, 0)
                sealed(error)

        self._pool.submit(job, done)

    def _write_frame(self, trailer: bytes) -> RecordHeader | RouterError:
        """The trailer behind the data set, then the header before it; or all of it at once."""
        if self._fault is not None:
            return self._fault
        segment, file_start = self._segment, self._start + RECORD_HEADER_BYTES
        try:
            header = RecordHeader(
                nonce=segment.nonce,
                offset=self._start,
                file_length=self._position - file_start,
                data_set_skip=len(self._head),
                trailer_length=len(trailer),
                data_set_checksum=self._hash.intdigest(),
                frame_checksum=frame_checksum(self._head, trailer),
            )
            if self._gathered is not None:
                segment.write([pack_record_header(header), self._gathered, trailer], self._start)
            else:
                segment.write([trailer], self._position)
                segment.write([pack_record_header(header)], self._start)
        except OSError as error:
            self._fail(error)
            return storage_error(error, segment.file.path)
        return header

    def discard(self) -> None:
        """Give the place back; see the port.

        What was written there cannot pass for a record: it has no header.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._take_room(0)
        segment, start = self._segment, self._start
        if self._position - start < CUT_BEYOND_BYTES:
            self._release(segment, 0)
            return
        self._pool.submit(lambda: segment.cut(start), lambda _: self._release(segment, 0))

    def _fail(self, error: OSError) -> None:
        """A full disk spares what the segment holds; any other error ends the trust in it."""
        segment = self._segment
        segment.is_trusted = segment.is_trusted and is_no_room(error)
        self._fault = storage_error(error, segment.file.path)

    def _take_room(self, length: int) -> None:
        """Count ``length`` bytes for this record from now on."""
        self._room.used += length - self._room_taken
        self._room_taken = length
