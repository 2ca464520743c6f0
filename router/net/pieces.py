"""Data sets on their way out, piece by piece."""

from __future__ import annotations

from router.dicom.data_source import DataSource
from router.domain.errors import SpoolFailed
from router.net.stream import MAX_BUFFERS

CHUNK_BYTES = 256 * 1024
"""At most so much of a data set is read, and given to the kernel, at a time."""
PDUS_PER_WRITE = MAX_BUFFERS // 2 - 1
"""A header and a slice each, and room for the command before them."""


def chunk_for(payload: int) -> memoryview:
    """Room for as many whole PDUs as one write takes; a peer of tiny ones gets smaller writes."""
    return memoryview(bytearray(payload * max(1, min(CHUNK_BYTES // payload, PDUS_PER_WRITE))))


async def fill(view: memoryview, source: DataSource, position: int) -> int:
    """At least one byte of the source in ``view``."""
    count = source.try_read_into(view, position)
    if count is None:
        count = await source.read_into(view, position)
    if not count:
        raise SpoolFailed(f"a data set of {source.length} bytes ended after {position}")
    return count
