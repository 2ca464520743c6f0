"""Where instance bytes live between acknowledgement and settlement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from router.domain.errors import RouterError
from router.domain.instance import Disposition, Facts, Identity, Instance, Provenance, SpoolRef

Sealed = Callable[[Instance | RouterError], None]
"""Called on the event loop once, with the durable instance or with what went wrong."""


class SpoolWriter(Protocol):
    """One record being written. It owns its place in the spool until ``seal`` or ``discard``."""

    @property
    def data_set_bytes(self) -> int:
        """Bytes of data set written so far."""
        ...

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Append to the data set, without keeping the views; runs on the event loop.

        Raises ``SpoolFull`` or ``SpoolFailed``; after that only ``discard`` may follow.
        """
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the data set written so far (for worker threads)."""
        ...

    def seal(
        self,
        identity: Identity,
        provenance: Provenance,
        facts: Facts,
        disposition: Disposition,
        reason: str,
        sealed: Sealed,
    ) -> None:
        """Make the record durable off the event loop, then call ``sealed`` on it.

        When ``sealed`` gets an ``Instance``, every byte and all that is needed to recover the
        instance without the ledger is on stable storage.
        """
        ...

    def discard(self) -> None:
        """Give the place back; nothing of the record remains."""
        ...


class SpoolReader(Protocol):
    """Reads the data set of one record."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes read at ``offset`` of the data set if memory holds them; None if a disk must."""
        ...

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """Bytes read at ``offset`` of the data set; raises ``SpoolFailed`` on a disk error."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at ``offset`` of the data set; blocks, so for worker threads only."""
        ...

    def close(self) -> None:
        """Release the segment."""
        ...


class Spool(Protocol):
    """Where instance bytes live between acknowledgement and settlement."""

    def check_room(self) -> None:
        """Nothing if another record may begin. Raises ``SpoolFull`` or ``SpoolFailed`` if not."""
        ...

    def create(self, header: bytes) -> SpoolWriter:
        """Begin a record with its Part 10 header (preamble, prefix, File Meta group).

        Raises ``SpoolFull`` above the high-water mark.
        """
        ...

    def open(self, ref: SpoolRef) -> SpoolReader:
        """A reader of one record's data set. Raises ``SpoolFailed`` if its segment is gone."""
        ...

    async def reclaim(self, refs: Sequence[SpoolRef]) -> None:
        """Free the bytes of these records; idempotent."""
        ...

    def scan(self, recorded_through: Mapping[str, int]) -> AsyncIterator[Instance]:
        """Every intact record past these offsets (segment to offset), for recovery.

        Segments that are not named are read from their start. Bytes are verified against their
        checksum; a torn record ends its segment.
        """
        ...
