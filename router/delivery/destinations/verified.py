"""Reads an instance back from the spool and lets its last bytes go only if all are intact."""

from __future__ import annotations

from collections.abc import Iterator

import xxhash

from router.domain.delivery import DeliveryItem
from router.domain.errors import CorruptRecord
from router.ports import SpoolReader


class VerifiedSource:
    """The data set of a delivery item, read once from its beginning to its end.

    The read that reaches the end compares the checksum that was taken on arrival; on a mismatch it
    raises ``CorruptRecord`` instead of giving its bytes, so no receiver ever gets all of them.
    """

    __slots__ = ("_checksum", "_item", "_reader", "_seen", "length")

    def __init__(self, reader: SpoolReader, item: DeliveryItem):
        self._reader = reader
        self._item = item
        self._checksum = xxhash.xxh3_64()
        self._seen = 0
        self.length = item.ref.data_set_length
        """Bytes of the data set."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """See ``ports.SpoolReader``; raises ``CorruptRecord``, too."""
        count = self._reader.try_read_into(buffer, offset)
        return None if count is None else self._verified(buffer, offset, count)

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """See ``ports.SpoolReader``; raises ``CorruptRecord``, too."""
        return self._verified(buffer, offset, await self._reader.read_into(buffer, offset))

    def close(self) -> None:
        """Release the segment."""
        self._reader.close()

    def _verified(self, buffer: memoryview, offset: int, count: int) -> int:
        assert offset == self._seen, "a verified source is read in order"
        self._checksum.update(buffer[:count])
        self._seen += count
        if self._seen == self.length and self._checksum.hexdigest() != self._item.checksum:
            raise _corrupt(self._item)
        return count


def verified_pieces(reader: SpoolReader, item: DeliveryItem, piece_bytes: int) -> Iterator[bytes]:
    """The data set of an item in a worker thread: blocks, and may raise ``SpoolFailed``.

    Raises ``CorruptRecord`` instead of giving the last piece.
    """
    checksum, offset, length = xxhash.xxh3_64(), 0, item.ref.data_set_length
    while offset < length:
        piece = reader.read(offset, piece_bytes)
        checksum.update(piece)
        offset += len(piece)
        if offset == length and checksum.hexdigest() != item.checksum:
            raise _corrupt(item)
        yield piece


def _corrupt(item: DeliveryItem) -> CorruptRecord:
    return CorruptRecord(
        f"instance {item.sop_instance_uid} in segment {item.ref.segment} at {item.ref.offset} "
        "does not match the checksum taken on arrival; ask the source to send it again"
    )
