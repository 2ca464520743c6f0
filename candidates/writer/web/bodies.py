"""Bodies of WADO-RS responses, piece by piece out of the storage area."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing

import anyio

from candidates.writer.area import StorageArea
from candidates.writer.query.retrieval import Instance
from candidates.writer.reading import open_file
from candidates.writer.web.metadata import read_metadata
from router.domain.errors import SpoolFailed

PIECE_BYTES = 128 * 1024

Body = AsyncGenerator[bytes, None]
"""Raises ``SpoolFailed`` or ``CannotUnderstand`` where it cannot go on."""


class Multipart:
    """Instances as the parts of a body (PS3.18 section 8.6.1.2)."""

    def __init__(self, instances: Sequence[Instance], boundary: str):
        self._instances = instances
        self._boundary = boundary

    @property
    def content_type(self) -> str:
        """Of the whole body."""
        return f'multipart/related; type="application/dicom"; boundary={self._boundary}'

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        parts = (len(self._head(one)) + one.attachment.size + 2 for one in self._instances)
        return sum(parts) + len(self._closing)

    async def pieces(self, storage: StorageArea) -> Body:
        """The bytes, in order."""
        for one in self._instances:
            head = self._head(one)
            async for piece in file_of(storage, one):
                yield head + piece
                head = b""
            yield b"\r\n"
        yield self._closing

    def _head(self, one: Instance) -> bytes:
        return (
            f"--{self._boundary}\r\n"
            f"Content-Type: application/dicom; transfer-syntax={one.transfer_syntax_uid}\r\n\r\n"
        ).encode()

    @property
    def _closing(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()


async def file_of(storage: StorageArea, one: Instance) -> Body:
    """The file of an instance as it is kept; its last bytes come only if all are intact."""
    left, digest = one.attachment.size, hashlib.md5(usedforsecurity=False)
    with closing(await anyio.to_thread.run_sync(open_file, storage, one.attachment)) as file:

        def read(size: int) -> bytes:
            piece = file.read(size)
            digest.update(piece)
            return piece

        while left:
            piece = await anyio.to_thread.run_sync(read, min(left, PIECE_BYTES))
            left -= len(piece)
            if not piece or (not left and digest.hexdigest() != one.attachment.md5):
                raise SpoolFailed(f"the file of {one.sop_instance_uid} is damaged")
            yield piece


async def metadata_of(
    storage: StorageArea, instances: Sequence[Instance], limiter: anyio.CapacityLimiter
) -> Body:
    """The metadata of instances as a JSON array."""

    def read(one: Instance) -> bytes:
        with closing(open_file(storage, one.attachment)) as file:
            return read_metadata(file)

    before = b"["
    for one in instances:
        yield before + await anyio.to_thread.run_sync(read, one, limiter=limiter)
        before = b","
    yield b"]"
