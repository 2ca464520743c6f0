"""Steps on a file system that may hang: in threads, with a time-out, durable on return."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import anyio

from router.delivery.destinations.parallel import Limiters
from router.delivery.destinations.streams import header_of
from router.delivery.destinations.verified import verified_pieces
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem
from router.domain.errors import CandidateUnavailable
from router.ports import Spool, SpoolReader

STAGING = ".incoming-"
"""Begins the names of folders that hold what is not published yet."""
STALE_S = 86400.0
"""What a router left behind in such a folder goes after so long."""
PIECE_BYTES = 1024**2
SLOWEST_BYTES_PER_S = 1e6
"""A file may take so much longer than a single step."""
NAMING_S = 0.1
"""Naming many files may take so much longer for each."""
CLEAN_UP_WITHIN_S = 10.0

T = TypeVar("T")


class Disks:
    """The file system of each candidate, with no more threads than it has associations.

    One that hangs takes no threads from others.
    """

    def __init__(self, patience_s: float):
        """``patience_s``: so long a single step may take."""
        self._patience_s = patience_s
        self._limiters = Limiters()

    def of(self, candidate: Candidate) -> Disk:
        """The candidate's."""
        return Disk(candidate, self._limiters.of(candidate), self._patience_s)


class Disk:
    """Does what may block in threads, and says what went wrong in words."""

    def __init__(self, candidate: Candidate, limiter: anyio.CapacityLimiter, patience_s: float):
        self._who = f"{candidate.ae_title} at {candidate.address}"
        self._limiter = limiter
        self._patience_s = patience_s

    async def do(self, work: Callable[[], T], longer_s: float = 0.0) -> T:
        """Do it; raises ``CandidateUnavailable`` when it fails or takes too long.

        A thread that hangs is left behind: whatever it holds is its own.
        """
        try:
            with anyio.fail_after(self._patience_s + longer_s):
                return await anyio.to_thread.run_sync(
                    work, limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError as error:
            raise CandidateUnavailable(
                f"{self._who} does not answer within {self._patience_s:g} s"
            ) from error
        except OSError as error:
            raise CandidateUnavailable(f"{self._who}: {error.strerror or error}") from error

    async def copy(self, spool: Spool, item: DeliveryItem, path: Path) -> str:
        """Write the file of an instance, durably; its SHA-256.

        Raises ``SpoolFailed`` or ``CorruptRecord`` when it cannot be read, else as ``do`` does.
        """
        reader = spool.open(item.ref)
        try:
            copy = partial(copy_durably, reader, item, path)
            return await self.do(copy, longer_s=item.ref.data_set_length / SLOWEST_BYTES_PER_S)
        finally:
            reader.close()

    async def clear(self, staging: Path) -> None:
        """Remove a folder of what was not published, even when cancelled, as far as it goes."""
        with anyio.move_on_after(CLEAN_UP_WITHIN_S, shield=True):
            with suppress(CandidateUnavailable):
                await self.do(partial(shutil.rmtree, staging, ignore_errors=True))


def look(root: Path) -> None:
    """Raises ``OSError`` unless the folder is there; it is never made, for it may be a mount."""
    if not root.is_dir():
        raise FileNotFoundError(None, "the folder is not there; is the share mounted?")
    if not os.access(root, os.W_OK | os.X_OK):
        raise PermissionError(None, "the folder cannot be written to")


def new_staging(root: Path) -> Path:
    """A folder for what is not published yet, beside what is; others that are stale go."""
    look(root)
    for left in root.glob(f"{STAGING}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=STAGING, dir=root))


def copy_durably(reader: SpoolReader, item: DeliveryItem, path: Path) -> str:
    """Write a file that is durable, and intact, on return; its SHA-256."""
    checksum = hashlib.sha256()
    with path.open("xb") as file:
        for piece in chain((header_of(item),), verified_pieces(reader, item, PIECE_BYTES)):
            file.write(piece)
            checksum.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return checksum.hexdigest()


def make_folder(folder: Path, root: Path) -> None:
    """Make a folder below the root, durably."""
    if folder.is_dir():
        return
    if folder != root:
        make_folder(folder.parent, root)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
