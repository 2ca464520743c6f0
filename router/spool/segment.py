"""An open segment: a file that records are appended to, leased to one record at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from router.domain.errors import RouterError
from router.spool.files import OpenFile, storage_error, sync_directory
from router.spool.format import NONCE_BYTES, SEGMENT_HEADER_BYTES, pack_segment_header

IOV_MAX = 1024


def segment_path(directory: Path, name: str) -> Path:
    """The file of a segment."""
    return directory / f"{name}.seg"


class Segment:
    """A segment of this run, created empty.

    ``end`` is where its next record begins. ``is_trusted`` ends with the first write or flush that
    fails: what was flushed before stays valid, but nothing is added any more.
    """

    __slots__ = ("_is_name_durable", "end", "file", "is_trusted", "name", "nonce")

    def __init__(self, directory: Path, name: str):
        """Create the file. Raises ``SpoolFull`` or ``SpoolFailed``."""
        self.name = name
        self.nonce = os.urandom(NONCE_BYTES)
        self.end = SEGMENT_HEADER_BYTES
        self.is_trusted = True
        self._is_name_durable = False
        path = segment_path(directory, name)
        try:
            self.file = OpenFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self.write([pack_segment_header(self.nonce)], 0)
        except OSError as error:
            raise storage_error(error, path) from error

    def write(self, buffers: Sequence[bytes | bytearray | memoryview], offset: int) -> int:
        """Write all buffers at an offset; the offset behind them. Raises ``OSError``."""
        for start in range(0, len(buffers), IOV_MAX):
            offset = self._write_some(buffers[start : start + IOV_MAX], offset)
        return offset

    def _write_some(self, buffers: Sequence[bytes | bytearray | memoryview], offset: int) -> int:
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

    def flush(self) -> RouterError | None:
        """Make everything written so far durable, the file's name too; blocks. What failed."""
        try:
            os.fdatasync(self.file.descriptor)
            if not self._is_name_durable:
                sync_directory(self.file.path.parent)
                self._is_name_durable = True
        except OSError as error:
            self.is_trusted = False
            return storage_error(error, self.file.path)
        return None

    def cut(self, offset: int) -> None:
        """Give back everything from ``offset`` on; blocks. A failure ends the trust."""
        try:
            os.ftruncate(self.file.descriptor, offset)
        except OSError:
            self.is_trusted = False
