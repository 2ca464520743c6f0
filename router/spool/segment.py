"""An open segment: a file that records are appended to, leased to one record at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from router.domain.errors import RouterError
from router.spool.files import OpenFile, is_no_room, storage_error, sync_directory
from router.spool.format import NONCE_BYTES, SEGMENT_HEADER_BYTES, pack_segment_header
from router.spool.linux import rewrites_in_place

IOV_MAX = 1024
SMALL_BYTES = 128 << 10
"""A flush of less is mostly the file system's own work, which room made ahead saves."""
PROVEN_BYTES = 256 << 10
"""A segment that holds less may never be used again: no room is made in it."""
MIN_AHEAD_BYTES, MAX_AHEAD_BYTES = 1 << 20, 4 << 20
"""So much room is made at once: as much as the segment holds, between these."""
_ZEROS = bytes(1 << 20)

Buffer = bytes | bytearray | memoryview


def segment_path(directory: Path, name: str) -> Path:
    """The file of a segment."""
    return directory / f"{name}.seg"


class Segment:
    """A segment of this run, created empty.

    ``end`` is where its next record begins. ``is_trusted`` ends with the first write or flush that
    fails: what was flushed before stays valid, but nothing is added any more.
    """

    __slots__ = (
        "_is_name_durable",
        "_made_until",
        "_takes_room",
        "end",
        "file",
        "is_trusted",
        "name",
        "nonce",
    )

    def __init__(self, directory: Path, name: str):
        """Create the file. Raises ``SpoolFull`` or ``SpoolFailed``."""
        self.name = name
        self.nonce = os.urandom(NONCE_BYTES)
        self.end = SEGMENT_HEADER_BYTES
        self.is_trusted = True
        self._is_name_durable = False
        self._made_until = 0  # the file has blocks, full of zeros, from the end to there
        path = segment_path(directory, name)
        try:
            self.file = OpenFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            self.write([pack_segment_header(self.nonce)], 0)
        except OSError as error:
            with suppress(OSError):
                path.unlink()
            raise storage_error(error, path) from error
        self._takes_room = rewrites_in_place(self.file.descriptor)

    def write(self, buffers: Sequence[Buffer], offset: int) -> int:
        """Write all buffers at an offset; the offset behind them. Raises ``OSError``."""
        for start in range(0, len(buffers), IOV_MAX):
            offset = self._write_some(buffers[start : start + IOV_MAX], offset)
        return offset

    def _write_some(self, buffers: Sequence[Buffer], offset: int) -> int:
        descriptor = self.file.descriptor
        end = offset + sum(map(len, buffers))
        offset += os.pwritev(descriptor, buffers, offset)
        if offset < end:  # a disk that is almost full: the rest as far as it goes
            rest = memoryview(b"".join(buffers))[offset - end :]
            while rest:
                written = os.pwrite(descriptor, rest, offset)
                offset += written
                rest = rest[written:]
        return offset

    def store(self, writes: Sequence[tuple[Sequence[Buffer], int]]) -> RouterError | None:
        """Write buffers at their offsets, in order, and make all of the file durable, its name too.

        Blocks. What failed.
        """
        try:
            for buffers, offset in writes:
                self.write(buffers, offset)
        except OSError as error:  # a full disk spares what is there
            self.is_trusted = self.is_trusted and is_no_room(error)
            return storage_error(error, self.file.path)
        try:
            os.fdatasync(self.file.descriptor)
            if not self._is_name_durable:
                sync_directory(self.file.path.parent)
                self._is_name_durable = True
        except OSError as error:
            self.is_trusted = False
            return storage_error(error, self.file.path)
        return None

    @property
    def has_room(self) -> bool:
        """Whether room was made that is not used up."""
        return self._made_until > self.end

    def wants_room(self, record_bytes: int) -> bool:
        """Whether it pays to make room for the records that follow one of this length."""
        is_small = record_bytes <= SMALL_BYTES
        is_used_up = self._made_until < self.end + SMALL_BYTES
        return self._takes_room and is_small and is_used_up and self.end >= PROVEN_BYTES

    def make_room(self) -> None:
        """Write zeros behind the end, durably, and as much as the segment has been used; blocks.

        A record that is written over them is flushed without a change to the file's size or
        extents, so without the journal. There must be no lease: zeros go where records go.
        """
        start = max(self._made_until, self.end)
        until = self.end + min(max(self.end, MIN_AHEAD_BYTES), MAX_AHEAD_BYTES)
        try:
            while start < until:
                start += os.pwrite(self.file.descriptor, _ZEROS[: until - start], start)
            os.fdatasync(self.file.descriptor)
        except OSError as error:
            self._takes_room = False  # nor is it looked for again
            self._made_until = start
            if is_no_room(error):
                self.cut(self.end)
            else:
                self.is_trusted = False
            return
        self._made_until = until

    def trim(self) -> None:
        """Give back the room that no record will take; blocks."""
        if self.has_room:
            self.cut(self.end)

    def give_up(self, offset: int) -> None:
        """Cut off what could not be stored, and is not acknowledged: it shall not come back.

        Blocks.
        """
        self.cut(offset)
        with suppress(OSError):  # that disk has failed already
            os.fsync(self.file.descriptor)

    def cut(self, offset: int) -> None:
        """Give back everything from ``offset`` on; blocks. A failure ends the trust."""
        self._made_until = min(self._made_until, offset)
        try:
            os.ftruncate(self.file.descriptor, offset)
        except OSError:
            self.is_trusted = False
