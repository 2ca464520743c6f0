"""Data sets out of the storage area, compressed or not, as a requestor or a response reads them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import anyio

from candidates.writer.area import Blob, StorageArea
from candidates.writer.attachments import PIECE_BYTES, Attachment, Compression
from router.dicom.part10 import FileHeader, FileHeaderReader
from router.domain.errors import CannotUnderstand, SpoolFailed


class Content:
    """What an attachment holds, from its beginning to its end. Blocks."""

    def __init__(self, blob: Blob, attachment: Attachment):
        self._blob = blob
        self._offset = 0
        self._inflate = zlib.decompressobj() if attachment.compression is Compression.ZLIB else None
        self._pending = b""

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end. Raises ``OSError`` or ``zlib.error``."""
        inflate = self._inflate
        if inflate is None:
            return self._stored(size)
        while not inflate.eof:
            self._pending = self._pending or self._stored(PIECE_BYTES)
            if not self._pending:
                return b""
            plain = inflate.decompress(self._pending, size)
            self._pending = inflate.unconsumed_tail
            if plain:
                return plain
        return b""

    def _stored(self, size: int) -> bytes:
        piece = memoryview(bytearray(size))
        count = self._blob.read_into(piece, self._offset)
        self._offset += count
        return bytes(piece[:count])


def stored_pieces(blob: Blob) -> Iterator[memoryview]:
    """All that is stored, piece by piece, each valid until the next; raises ``OSError``. Blocks."""
    buffer, offset = memoryview(bytearray(PIECE_BYTES)), 0
    while count := blob.read_into(buffer, offset):
        yield buffer[:count]
        offset += count


def read_head(read: Callable[[int], bytes]) -> tuple[FileHeader, bytes]:
    """The head of a file, and what was read beyond it; raises ``CannotUnderstand``."""
    reader = FileHeaderReader()
    header: FileHeader | None = None
    while header is None:
        piece = read(4096)
        header = reader.feed(piece) if piece else reader.finish()
    return header, bytes(reader.rest())


class StoredDataSet:
    """The data set of an attachment: a :class:`router.dicom.data_source.DataSource`."""

    def __init__(self, blob: Blob, attachment: Attachment):
        """Read the head of the file; raises ``CannotUnderstand``, ``OSError`` or ``zlib.error``."""
        self._blob = blob
        self._is_plain = attachment.compression is Compression.NONE
        self._content = Content(blob, attachment)
        self.header, self._rest = read_head(self._content.read)
        self.length = attachment.size - self.header.data_set_offset

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes that need no waiting, else None."""
        if not self._is_plain:
            return None
        return self._blob.try_read_into(buffer, self.header.data_set_offset + offset)

    def close(self) -> None:
        """Read no more."""
        self._blob.close()

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """The next bytes; raises ``SpoolFailed``."""
        try:
            return await anyio.to_thread.run_sync(self._read_into, buffer, offset)
        except (OSError, zlib.error) as error:
            raise SpoolFailed(f"an attachment cannot be read: {error}") from error

    def _read_into(self, buffer: memoryview, offset: int) -> int:
        if self._is_plain:
            return self._blob.read_into(buffer, self.header.data_set_offset + offset)
        piece = self._rest or self._content.read(len(buffer))
        used, self._rest = piece[: len(buffer)], piece[len(buffer) :]
        buffer[: len(used)] = used
        return len(used)


class StoredFile:
    """The whole content of an attachment, a Part 10 file, read in order."""

    def __init__(self, blob: Blob, attachment: Attachment):
        self._blob = blob
        self._content = Content(blob, attachment)
        self.size = attachment.size

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end. Blocks; raises ``SpoolFailed``."""
        try:
            return self._content.read(size)
        except (OSError, zlib.error) as error:
            raise SpoolFailed(f"an attachment cannot be read: {error}") from error

    def close(self) -> None:
        """Read no more."""
        self._blob.close()


def open_file(storage: StorageArea, attachment: Attachment) -> StoredFile:
    """The file of an attachment, to be closed by whoever asks for it. Blocks.

    Raises ``SpoolFailed``.
    """
    return StoredFile(_open(storage, attachment), attachment)


def open_data_set(storage: StorageArea, attachment: Attachment) -> StoredDataSet:
    """A data set, to be closed by whoever asks for it. Blocks; raises ``SpoolFailed``."""
    blob = _open(storage, attachment)
    try:
        return StoredDataSet(blob, attachment)
    except BaseException as error:
        blob.close()
        if isinstance(error, OSError | zlib.error | CannotUnderstand):
            raise SpoolFailed(f"an attachment cannot be read: {error}") from error
        raise


def _open(storage: StorageArea, attachment: Attachment) -> Blob:
    try:
        return storage.open(attachment.uuid)
    except OSError as error:
        raise SpoolFailed(f"an attachment is not there: {error.strerror}") from error
