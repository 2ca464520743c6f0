"""One process owns a folder or an index: a lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from candidates.writer.errors import ArchiveInUse

PID_BYTES = 32


class Ownership:
    """A lock file that this process holds. It stays behind, unlocked, when the process ends."""

    def __init__(self, path: Path, of_what: str):
        """Lock the file, which is made if need be.

        Raises ``ArchiveInUse``, which says which process holds it, or ``OSError``.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            self._lock(of_what)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _lock(self, of_what: str) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, PID_BYTES, 0).decode("ascii", "replace").strip()
            raise ArchiveInUse(
                f"{of_what} is in use by process {owner or 'unknown'}: "
                "one process at a time owns an archive; stop that one first"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def give_up(self) -> None:
        """Let others have it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
