"""Instances as Part 10 files (PS3.10), streamed from the spool and verified on the way."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from typing import TypeVar

import anyio

from router.delivery.destinations.outcomes import spoiling
from router.delivery.destinations.verified import VerifiedSource
from router.dicom.data_source import DataSource
from router.dicom.part10 import file_header
from router.domain.delivery import DeliveryItem
from router.domain.instance import Identity
from router.ports import Spool, SpoolReader

PIECE_BYTES = 128 * 1024

T = TypeVar("T")

Paced = Callable[[DataSource], DataSource]
"""Gives a source the rate that its candidate may be sent to."""


def header_of(item: DeliveryItem) -> bytes:
    """What stands before the data set in the file of an instance."""
    identity = Identity(item.sop_class_uid, item.sop_instance_uid, "", "", item.transfer_syntax_uid)
    return file_header(identity, item.calling_ae_title)


def file_length(item: DeliveryItem) -> int:
    """Bytes of the file of an instance."""
    return len(header_of(item)) + item.ref.data_set_length


class FileStream:
    """The file of an instance, to be read once, piece by piece, and closed by whoever made it."""

    def __init__(self, spool: Spool, item: DeliveryItem, paced: Paced):
        """Raises ``SpoolFailed``."""
        self._header = header_of(item)
        self._verified = VerifiedSource(spool.open(item.ref), item)
        self._source = paced(self._verified)

    async def pieces(self, piece_bytes: int = PIECE_BYTES) -> AsyncIterator[memoryview]:
        """Each piece is the receiver's to keep.

        Raises ``SpoolFailed``, or ``CorruptRecord`` instead of giving the last piece.
        """
        source, header, offset = self._source, self._header, 0
        while header or offset < source.length:
            buffer = memoryview(bytearray(len(header) + min(piece_bytes, source.length - offset)))
            buffer[: len(header)] = header
            room, count = buffer[len(header) :], 0
            if room:
                read = source.try_read_into(room, offset)
                count = await source.read_into(room, offset) if read is None else read
            yield buffer[: len(header) + count]
            offset, header = offset + count, b""

    def close(self) -> None:
        """Release the segment."""
        self._verified.close()


async def digests(spool: Spool, items: Sequence[DeliveryItem], name: str) -> Sequence[str]:
    """A checksum of each instance's file, all of which are read and verified on the way.

    Raises ``Spoiled`` for the first one that cannot be read.
    """
    sums = []
    for index, item in enumerate(items):
        with spoiling(index):
            sums.append(await _digest(spool, item, name))
    return sums


async def _digest(spool: Spool, item: DeliveryItem, name: str) -> str:
    checksum = hashlib.new(name, usedforsecurity=False)
    stream = FileStream(spool, item, not_paced)
    try:
        async for piece in stream.pieces():
            checksum.update(piece)
    finally:
        stream.close()
    return checksum.hexdigest()


async def read_range(
    spool: Spool, item: DeliveryItem, paced: Paced, offset: int, size: int
) -> AsyncIterator[memoryview]:
    """Some bytes of the file of an instance, piece by piece, as they are: nothing is verified.

    Raises ``SpoolFailed``.
    """
    header, end = header_of(item), offset + size
    if offset < len(header):
        yield memoryview(header)[offset:end]
        offset = min(len(header), end)
    verified = _Unverified(spool.open(item.ref), item.ref.data_set_length)
    source = paced(verified)
    try:
        while offset < end:
            buffer = memoryview(bytearray(min(PIECE_BYTES, end - offset)))
            at = offset - len(header)
            read = source.try_read_into(buffer, at)
            count = await source.read_into(buffer, at) if read is None else read
            yield buffer[:count]
            offset += count
    finally:
        verified.close()


class _Unverified:
    """A reader with the length that a source has."""

    def __init__(self, reader: SpoolReader, length: int):
        self.try_read_into = reader.try_read_into
        self.read_into = reader.read_into
        self.close = reader.close
        self.length = length


def not_paced(source: DataSource) -> DataSource:
    """As fast as it goes."""
    return source


async def patient(
    pieces: AsyncIterable[T], scope: anyio.CancelScope, piece_s: float, longer_s: float
) -> AsyncIterator[T]:
    """The pieces; whenever one was taken, the scope's time begins anew.

    However long all of them take, at the rate that is allowed: each has ``piece_s`` seconds, and
    what comes after the last one ``longer_s`` more.
    """
    async for piece in pieces:
        yield piece
        scope.deadline = anyio.current_time() + piece_s
    scope.deadline = anyio.current_time() + piece_s + longer_s
