"""The storage area: attachments as files, each under a UUID, in folders of two levels.

An attachment is written in ``.incoming/``, sealed (flushed, with its digests), and placed in
``ab/cd/abcd...`` when the index has it. Whatever is found in ``.incoming/`` at a start therefore
either has a row in the index, and is placed then, or was never acknowledged.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from candidates.writer.attachments import Attachment, Incoming, compressed_into, described
from candidates.writer.ownership import Ownership
from router.spool.linux import read_if_cached

INCOMING = ".incoming"
HALF_COMPRESSED = ".compressing"
INDEX = "index.db"
LOCK = ".lock"
NAME = ".area"

_FOLDER = re.compile(r"[0-9a-f]{2}")

log = structlog.get_logger(__name__)


class IncomingFile(Incoming):
    """An attachment that is being written under the name that it will have."""

    __slots__ = ("path",)

    def __init__(self, path: Path, header: bytes):
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        super().__init__(os.open(path, flags, 0o640), path.name)
        try:
            self.write([memoryview(header)])
        except OSError:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written."""
        self.close()
        self.path.unlink(missing_ok=True)


class StoredFile:
    """The file of an attachment. Implements :class:`candidates.writer.area.Blob`."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes that need no waiting for a disk, else None."""
        return read_if_cached(self._descriptor, [buffer], offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """At least one byte, or none at the end; raises ``OSError``. Blocks."""
        return os.preadv(self._descriptor, [buffer], offset)

    def close(self) -> None:
        """Read no more."""
        os.close(self._descriptor)


class Storage:
    """The folder of a writer. Implements :class:`candidates.writer.area.StorageArea`."""

    needs_notes = False
    sealers = 4

    def __init__(self, root: Path, *, compress: bool = False):
        """Creates the folders. ``compress``: what gets smaller by it is kept compressed."""
        self.root = root
        self._compress = compress
        self._incoming = root / INCOMING
        make_directories(self._incoming)

    def __str__(self) -> str:
        return str(self.root)

    @property
    def default_index(self) -> Path:
        """Where its index is, if nobody says where it is."""
        return self.root / INDEX

    def own(self) -> Callable[[], None]:
        """Lock it; what unlocks it. Raises ``ArchiveInUse``, which says whose it is."""
        return Ownership(self.root / LOCK, f"the storage area {self.root}").give_up

    @property
    def name(self) -> str | None:
        """What it was called when its index was made, a UUID; None: nothing. Raises ``OSError``."""
        try:
            return (self.root / NAME).read_text("ascii").strip() or None
        except FileNotFoundError:
            return None

    @property
    def name_stands_in(self) -> str:
        """Where a person finds its name."""
        return str(self.root / NAME)

    def give_name(self, name: str) -> None:
        """Give it a name for good, durably; raises ``OSError``."""
        self.discard(NAME)  # of a start that did not come to its end
        file = IncomingFile(self._incoming / NAME, name.encode())
        file.flush()
        file.close()
        file.path.replace(self.root / NAME)
        sync_directory(self.root)

    # -- on the way in ----------------------------------------------------------------------------

    def begin(self, header: bytes) -> IncomingFile:
        """Begin an attachment with its first bytes; raises ``OSError``."""
        return IncomingFile(self._incoming / str(uuid.uuid4()), header)

    def seal(self, file: Incoming) -> Attachment:
        """Compress if that is wanted, flush, and close; raises ``OSError``. Blocks.

        The name is durable after ``sync`` only.
        """
        whole = described(file)
        smaller = self._compressed(file, whole) if self._compress else None
        if smaller is None:
            file.flush()
        file.close()
        return smaller or whole

    def _compressed(self, file: Incoming, whole: Attachment) -> Attachment | None:
        """The attachment with its content compressed on stable storage; None: it gets no smaller.

        The compressed file takes the place of the other one.
        """
        stored = IncomingFile(self._incoming / (file.uuid + HALF_COMPRESSED), b"")
        try:
            smaller = compressed_into(stored, file, whole)
            if smaller is None:
                stored.discard()
                return None
            stored.flush()
            stored.close()
            stored.path.replace(self._incoming / file.uuid)
        except OSError:
            stored.discard()
            raise
        return smaller

    def sync(self) -> Sequence[str]:
        """Make the names of all sealed attachments durable; raises ``OSError``. Blocks."""
        sync_directory(self._incoming)
        return ()

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

    def discard(self, uuid: str) -> None:
        """Remove a file of ``.incoming/``."""
        (self._incoming / uuid).unlink(missing_ok=True)

    # -- what is there ----------------------------------------------------------------------------

    def path_of(self, uuid: str) -> Path:
        """Where an attachment is kept."""
        return self.root / uuid[:2] / uuid[2:4] / uuid

    def where(self, uuid: str) -> str:
        """Where an attachment is kept, for a person."""
        return str(self.path_of(uuid))

    def where_in(self, folder: str, name: str) -> str:
        """Where something is that stands in a folder of the second level, for a person."""
        return str(self.root / folder[:2] / folder[2:] / name)

    def open(self, uuid: str) -> StoredFile:
        """The file of an attachment, to be read and closed; raises ``OSError``."""
        for path in self._places_of(uuid):
            with suppress(FileNotFoundError, NotADirectoryError):
                return StoredFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.where(uuid))

    def sizes_of(self, uuids: Iterable[str]) -> Mapping[str, int]:
        """How long the files of those of these attachments are that are there.

        Raises ``OSError``.
        """
        found: dict[str, int] = {}
        for name in uuids:
            for path in self._places_of(name):
                with suppress(FileNotFoundError, NotADirectoryError):
                    found[name] = path.stat().st_size
                    break
        return found

    def _places_of(self, uuid: str) -> tuple[Path, ...]:
        """Where a file is, could not be placed from, or has been placed since."""
        final = self.path_of(uuid)
        return final, self._incoming / uuid, final

    def remove(self, uuids: Iterable[str]) -> Sequence[str]:
        """Remove attachments, and the folders that they leave empty; those that are gone now.

        Never at the same time as ``place``.
        """
        gone: list[str] = []
        for name in uuids:
            try:
                self._remove(name)
            except OSError as error:  # it is tried again at the next start
                log.error("an attachment could not be removed", uuid=name, error=str(error))
            else:
                gone.append(name)
        return gone

    def _remove(self, uuid: str) -> None:
        path = self.path_of(uuid)
        path.unlink(missing_ok=True)
        self.discard(uuid)
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
