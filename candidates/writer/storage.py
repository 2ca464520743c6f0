"""Part 10 files in folders by study and series, each published whole and durable."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

IOV_MAX = 1024
INCOMING = ".incoming"

_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,63}")


def can_be_kept(uid: str) -> bool:
    """Whether a UID can name a folder or a file, though it be none by PS3.5 section 9.1.

    Careless senders have such UIDs, and their studies must be kept as well.
    """
    return _NAME.fullmatch(uid) is not None


class IncomingFile:
    """A file that is being written under a temporary name.

    Nobody sees it under its own name before :meth:`Storage.publish` has made it durable.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path, header: bytes):
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            self.write([memoryview(header)])
        except OSError:
            self.discard()
            raise

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

    def close_durably(self) -> Path:
        """Flush and close; the temporary path. Blocks."""
        os.fdatasync(self._descriptor)
        self._close()
        return self._path

    def discard(self) -> None:
        """Remove what was written."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Storage:
    """The folder of a writer: ``<study>/<series>/<instance>.dcm`` and ``.incoming/``."""

    def __init__(self, root: Path):
        """Creates the folders; leftovers of an interrupted reception are removed."""
        self.root = root
        self._directories = threading.Lock()
        self._incoming = root / INCOMING
        _make_directories(self._incoming)
        for leftover in self._incoming.iterdir():
            leftover.unlink()

    def begin(self, header: bytes) -> IncomingFile:
        """Begin a file with its Part 10 header."""
        return IncomingFile(self._incoming / uuid.uuid4().hex, header)

    def publish(self, file: IncomingFile, final: Path) -> None:
        """Make a file durable, then visible as ``final``; replaces an older one. Blocks."""
        temporary = file.close_durably()
        with self._directories:  # who finds a directory may rely on its being durable
            _make_directories(final.parent)
        temporary.replace(final)
        _sync_directory(final.parent)

    def path_of(self, study_uid: str, series_uid: str, instance_uid: str) -> Path:
        """Where an instance is kept. All three ``can_be_kept``."""
        return self.root / study_uid / series_uid / f"{instance_uid}.dcm"

    def files(self) -> list[Path]:
        """Every published instance."""
        return sorted(self.root.glob("*/*/*.dcm"))


def _make_directories(directory: Path) -> None:
    """Create missing directories durably, the outermost first."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
