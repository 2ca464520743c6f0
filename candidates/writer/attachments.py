"""Attachments: what is kept of an instance, and the file that it is written to as it comes."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

IOV_MAX = 1024
PIECE_BYTES = 1 << 20


class Compression(StrEnum):
    """How an attachment is kept."""

    NONE = "none"
    ZLIB = "zlib"  # one stream of RFC 1950


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the storage area: what it holds, and what is kept of it. Sizes in bytes."""

    uuid: str
    compression: Compression
    size: int
    md5: str
    stored_size: int
    stored_md5: str


class Incoming:
    """An attachment that is being written to a file. Raises ``OSError`` for what a disk refuses."""

    __slots__ = ("_descriptor", "uuid")

    def __init__(self, descriptor: int, uuid: str):
        self._descriptor = descriptor
        self.uuid = uuid

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append; raises ``OSError`` when the disk does not take it."""
        for start in range(0, len(fragments), IOV_MAX):
            self._write_all(list(fragments[start : start + IOV_MAX]))

    def _write_all(self, views: list[memoryview]) -> None:
        while views:
            written = os.writev(self._descriptor, views)
            while views and written >= len(views[0]):
                written -= len(views[0])
                views.pop(0)
            if views and written:
                views[0] = views[0][written:]

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file written so far."""
        return os.pread(self._descriptor, size, offset)

    def pieces(self) -> Iterator[bytes]:
        """All that has been written, piece by piece."""
        offset = 0
        while piece := self.read(offset, PIECE_BYTES):
            yield piece
            offset += len(piece)

    def as_binary(self) -> BinaryIO:
        """All that has been written as a file object of its own, from its beginning."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.fdopen(os.dup(self._descriptor), "rb")

    def flush(self) -> None:
        """Put what has been written on stable storage. Blocks."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Write no more."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def discard(self) -> None:
        """Remove what was written."""
        self.close()


def described(file: Incoming) -> Attachment:
    """The attachment that a file makes as it is."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    for piece in file.pieces():
        digest.update(piece)
        size += len(piece)
    md5 = digest.hexdigest()
    return Attachment(file.uuid, Compression.NONE, size, md5, size, md5)


def compressed_into(stored: Incoming, file: Incoming, whole: Attachment) -> Attachment | None:
    """Write a file compressed into another one; None: it gets no smaller. Raises ``OSError``."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    for piece in _compressed(file.pieces()):
        digest.update(piece)
        size += len(piece)
        stored.write([memoryview(piece)])
    if size >= whole.size:
        return None
    return Attachment(whole.uuid, Compression.ZLIB, whole.size, whole.md5, size, digest.hexdigest())


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj()
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()
