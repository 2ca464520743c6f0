"""Instances in Explicit VR Little Endian, for candidates that refuse the syntax they came in.

pydicom decodes in worker processes: what a decoder does to its process is not felt in the router,
and one that takes too long is killed. Data sets go there and back in files.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_process

from router.delivery.destinations.streams import header_of
from router.delivery.destinations.verified import verified_pieces
from router.dicom.part10 import read_file_header
from router.domain.delivery import DeliveryItem
from router.domain.errors import RouterError
from router.ports import Spool, SpoolReader

PROCESSES = 2
"""So many instances are decoded at a time."""
DECODE_WITHIN_S = 120.0
SLOWEST_BYTES_PER_S = 1e6
"""Decoding may take so much longer for each byte of the instance."""
PIECE_BYTES = 1024**2
HEADER_BYTES = 64 * 1024


class NotTranscoded(RouterError):
    """An instance cannot be decoded: no decoder is installed for it, or it is damaged."""


class Transcoder:
    """Decodes instances of a spool, few at a time."""

    def __init__(self, spool: Spool):
        self._spool = spool
        self._limiter: anyio.CapacityLimiter | None = None

    @asynccontextmanager
    async def transcoded(self, item: DeliveryItem) -> AsyncIterator[FileSource]:
        """The data set of an instance in Explicit VR Little Endian, as long as the block runs.

        Raises ``NotTranscoded``, ``SpoolFailed`` and ``CorruptRecord``.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(PROCESSES)
        with tempfile.TemporaryDirectory(prefix="dicom-router-") as folder:
            before, after = Path(folder) / "before", Path(folder) / "after"
            async with self._limiter:
                reader = self._spool.open(item.ref)
                try:
                    await anyio.to_thread.run_sync(_write, reader, item, before)
                finally:
                    reader.close()
                await self._decode(before, after, item.ref.data_set_length)
            source = await anyio.to_thread.run_sync(FileSource, after)
            try:
                yield source
            finally:
                source.close()

    async def _decode(self, before: Path, after: Path, length: int) -> None:
        try:
            with anyio.fail_after(DECODE_WITHIN_S + length / SLOWEST_BYTES_PER_S):
                reason = await anyio.to_process.run_sync(
                    decode,
                    str(before),
                    str(after),
                    cancellable=True,
                    limiter=anyio.CapacityLimiter(1),  # there is room: waiting would take its time
                )
        except TimeoutError:
            raise NotTranscoded("decoding it takes too long") from None
        except anyio.BrokenWorkerProcess as error:
            raise NotTranscoded("the process that decodes it broke off") from error
        if reason:
            raise NotTranscoded(reason)


class FileSource:
    """Implements :class:`router.dicom.data_source.DataSource` over the data set of a file."""

    def __init__(self, path: Path):
        self._file = path.open("rb")
        self._start = read_file_header(self._file.read(HEADER_BYTES)).data_set_offset
        self.length = path.stat().st_size - self._start
        """Bytes of the data set."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Never at once: a thread has to read."""
        return None

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """Bytes read at ``offset`` of the data set."""
        view = buffer[: max(self.length - offset, 0)]
        at = self._start + offset
        return await anyio.to_thread.run_sync(os.preadv, self._file.fileno(), [view], at)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _write(reader: SpoolReader, item: DeliveryItem, path: Path) -> None:
    with path.open("xb") as file:
        file.write(header_of(item))
        for piece in verified_pieces(reader, item, PIECE_BYTES):
            file.write(piece)


def decode(before: str, after: str) -> str:
    """Write a file anew in Explicit VR Little Endian; why it cannot be, empty if it is.

    For worker processes: pixel data are held decoded, in memory. Colours become RGB, and nothing
    else changes, the SOP Instance UID least of all.
    """
    import warnings

    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    warnings.simplefilter("ignore")
    try:
        data_set = pydicom.dcmread(before)
        if data_set.file_meta.TransferSyntaxUID.is_encapsulated:
            data_set.decompress(generate_instance_uid=False)
        data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data_set.save_as(after, implicit_vr=False, little_endian=True)
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises, it is told as it is
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""
