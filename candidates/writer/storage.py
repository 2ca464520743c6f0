"""The storage area: attachments as files, each under a UUID, in folders of two levels.

An attachment is written in ``.incoming/``, sealed (flushed, with its digests), and placed in
``ab/cd/abcd...`` when the index has it. Whatever is found in ``.incoming/`` at a start therefore
either has a row in the index, and is placed then, or was never acknowledged.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from candidates.writer.ownership import Ownership

IOV_MAX = 1024
PIECE_BYTES = 1 << 20
INCOMING = ".incoming"
HALF_COMPRESSED = ".compressing"
LOCK = ".lock"
NAME = ".area"

_FOLDER = re.compile(r"[0-9a-f]{2}")


class Compression(StrEnum):
    """How an attachment is kept."""

    NONE = "none"
    ZLIB = "zlib"  # one stream of RFC 1950


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the storage area: what it holds, and what is on the disk. Sizes in bytes."""

    uuid: str
    compression: Compression
    size: int
    md5: str
    stored_size: int
    stored_md5: str


class IncomingFile:
    """An attachment that is being written."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path, header: bytes):
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            self.write([memoryview(header)])
        except OSError:
            self.discard()
            raise

    @property
    def uuid(self) -> str:
        """What the attachment will be called."""
        return self.path.name

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
        self.path.unlink(missing_ok=True)


class Storage:
    """The folder of a writer."""

    def __init__(self, root: Path, *, compress: bool = False):
        """Creates the folders. ``compress``: what gets smaller by it is kept compressed."""
        self.root = root
        self._compress = compress
        self._incoming = root / INCOMING
        make_directories(self._incoming)

    def own(self) -> Ownership:
        """Lock it; raises ``ArchiveInUse``, which says which process has it, or ``OSError``."""
        return Ownership(self.root / LOCK, f"the storage area {self.root}")

    @property
    def name(self) -> str | None:
        """What it was called when its index was made, a UUID; None: nothing. Raises ``OSError``."""
        try:
            return (self.root / NAME).read_text("ascii").strip() or None
        except FileNotFoundError:
            return None

    def call(self, name: str) -> None:
        """Give it a name for good, durably; raises ``OSError``."""
        self.discard_incoming(NAME)  # of a start that did not come to its end
        file = IncomingFile(self._incoming / NAME, name.encode())
        file.flush()
        file.close()
        file.path.replace(self.root / NAME)
        sync_directory(self.root)

    # -- on the way in ----------------------------------------------------------------------------

    def begin(self, header: bytes) -> IncomingFile:
        """Begin an attachment with its first bytes; raises ``OSError``."""
        return IncomingFile(self._incoming / str(uuid.uuid4()), header)

    def seal(self, file: IncomingFile) -> Attachment:
        """Compress if that is wanted, flush, and close; raises ``OSError``. Blocks.

        The name is durable after ``sync_incoming`` only.
        """
        digest, size = hashlib.md5(usedforsecurity=False), 0
        for piece in file.pieces():
            digest.update(piece)
            size += len(piece)
        whole = Attachment(
            file.uuid, Compression.NONE, size, digest.hexdigest(), size, digest.hexdigest()
        )
        smaller = self._compressed(file, whole) if self._compress else None
        if smaller is None:
            file.flush()
        file.close()
        return smaller or whole

    def _compressed(self, file: IncomingFile, whole: Attachment) -> Attachment | None:
        """The attachment with its content compressed on stable storage; None: it gets no smaller.

        The compressed file takes the place of the other one.
        """
        stored = IncomingFile(file.path.with_name(file.uuid + HALF_COMPRESSED), b"")
        try:
            digest, size = hashlib.md5(usedforsecurity=False), 0
            for piece in _compressed(file.pieces()):
                digest.update(piece)
                size += len(piece)
                stored.write([memoryview(piece)])
            if size >= whole.size:
                stored.discard()
                return None
            stored.flush()
            stored.close()
            stored.path.replace(file.path)
        except OSError:
            stored.discard()
            raise
        return Attachment(
            whole.uuid, Compression.ZLIB, whole.size, whole.md5, size, digest.hexdigest()
        )

    def sync_incoming(self) -> None:
        """Make the names of all sealed attachments durable; raises ``OSError``. Blocks."""
        sync_directory(self._incoming)

    def place(self, uuid: str) -> None:
        """Put a sealed attachment where it belongs; raises ``OSError``. Blocks.

        Nothing is flushed: after a power cut a file system with a journal has it in the one place
        or in the other, and both are looked at.
        """
        final = self.path_of(uuid)
        final.parent.mkdir(parents=True, exist_ok=True)
        (self._incoming / uuid).replace(final)

    def incoming(self) -> list[str]:
        """What is in ``.incoming/``, by name."""
        return sorted(path.name for path in self._incoming.iterdir())

    def discard_incoming(self, name: str) -> None:
        """Remove a file of ``.incoming/``."""
        (self._incoming / name).unlink(missing_ok=True)

    # -- what is there ----------------------------------------------------------------------------

    def path_of(self, uuid: str) -> Path:
        """Where an attachment is kept."""
        return self.root / uuid[:2] / uuid[2:4] / uuid

    def open(self, uuid: str) -> int:
        """A descriptor of an attachment, to be read and closed; raises ``OSError``."""
        try:
            return os.open(self.path_of(uuid), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):  # it could not be placed
            return os.open(self._incoming / uuid, os.O_RDONLY | os.O_CLOEXEC)

    def size_of(self, uuid: str) -> int | None:
        """How long the file of an attachment is; None: there is none. Raises ``OSError``."""
        try:
            descriptor = self.open(uuid)
        except FileNotFoundError:
            return None
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def remove(self, uuid: str) -> None:
        """Remove an attachment, if it is there, and the folders that it leaves empty.

        Never at the same time as ``place``.
        """
        path = self.path_of(uuid)
        path.unlink(missing_ok=True)
        self.discard_incoming(uuid)
        for folder in (path.parent, path.parent.parent):
            try:
                folder.rmdir()
            except OSError:
                return

    def folders(self) -> Iterator[str]:
        """The folders of the second level in order, as the four digits that they stand for."""
        for first in _folders(self.root):
            for second in _folders(self.root / first):
                yield first + second

    def names(self, folder: str) -> list[str]:
        """What is in a folder of the second level, in order; nothing if it is not there."""
        try:
            directory = self.root / folder[:2] / folder[2:]
            return sorted(path.name for path in directory.iterdir())
        except FileNotFoundError:
            return []

    @property
    def is_empty(self) -> bool:
        """Whether no attachment is in its place."""
        return not any(self.names(folder) for folder in self.folders())


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj()
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def _folders(directory: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(directory) if _FOLDER.fullmatch(entry.name))


def make_directories(directory: Path) -> None:
    """Create missing directories durably, the outermost first."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Put the names in a directory on stable storage. Blocks."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
