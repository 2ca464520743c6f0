"""Files in a folder: written aside, named when all of them are durable, then a manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import anyio

from router.delivery.destinations.paced import Paces
from router.delivery.destinations.publication import (
    SUCCESS,
    Names,
    by_study,
    manifest,
    names_of,
    read_manifest,
)
from router.delivery.destinations.streams import (
    UNREADABLE,
    header_of,
    outcome_of_failure,
    spoiled,
)
from router.delivery.destinations.verified import verified_pieces
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable, SpoolFailed
from router.domain.paths import PathTemplate
from router.domain.reach import FolderReach
from router.ports import Clock, Spool, SpoolReader

STAGING = ".incoming-"
"""Begins the names of folders that hold what is not published yet."""
STALE_S = 86400.0
"""What a router left behind in such a folder goes after so long."""
PUBLISHING = "_PUBLISHING"
"""The former manifest while a study's folder is changed."""
PIECE_BYTES = 1024**2
SLOWEST_BYTES_PER_S = 1e6
"""A file may take so much longer than a single step."""
LONGER_FOR_EACH_S = 0.1
"""Naming the files of a revision may take so much longer for each."""
CLEAN_UP_WITHIN_S = 10.0

T = TypeVar("T")


class FolderDestination:
    """Implements :class:`router.ports.RevisionDestination` for candidates of kind ``folder``."""

    is_divisible = False

    def __init__(self, spool: Spool, clock: Clock, patience_s: float):
        """``patience_s``: so long a single step on the file system may take."""
        self._spool = spool
        self._paces = Paces(clock)
        self._patience_s = patience_s
        self._limiters: dict[str, anyio.CapacityLimiter] = {}

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """Publish a revision; see the port. Without all of it nothing is published."""
        reach = _reach(candidate)
        disk = _Disk(candidate, self._limiter(candidate), self._patience_s)
        try:
            names = await names_of(self._spool, reach.files, delivery, items)
        except SpoolFailed as error:
            return [outcome_of_failure(error)] * len(items)
        staging = await disk.do(partial(_new_staging, Path(reach.path)))
        try:
            copies = _Copies(
                self._spool, items, staging, disk, partial(self._paces.turn, candidate)
            )
            failure = await copies.make(candidate.associations)
            if failure is not None:
                return spoiled(items, *failure)
            publish = partial(
                _publish, Path(reach.path), staging, reach.files, names, copies.checksums
            )
            await disk.do(publish, longer_s=LONGER_FOR_EACH_S * len(items))
        finally:
            with anyio.move_on_after(CLEAN_UP_WITHIN_S, shield=True):
                with suppress(CandidateUnavailable):
                    await disk.do(partial(shutil.rmtree, staging, ignore_errors=True))
        return [Outcome(OutcomeKind.STORED, 0x0000, "")] * len(items)

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Raises ``CandidateUnavailable``: what is published is on stable storage already."""
        raise CandidateUnavailable(f"{candidate.ae_title}: folder has no storage commitment")

    async def probe(self, candidate: Candidate) -> None:
        """Look whether the folder is there and can be written to; see the port."""
        disk = _Disk(candidate, self._limiter(candidate), self._patience_s)
        await disk.do(partial(_look, Path(_reach(candidate).path)))

    def _limiter(self, candidate: Candidate) -> anyio.CapacityLimiter:
        """A file system that hangs takes no more threads than this candidate may have."""
        limiter = self._limiters.setdefault(candidate.ae_title, anyio.CapacityLimiter(1))
        limiter.total_tokens = candidate.associations
        return limiter


class _Copies:
    """The files of a revision, written aside by several threads."""

    def __init__(
        self,
        spool: Spool,
        items: Sequence[DeliveryItem],
        staging: Path,
        disk: _Disk,
        turn: Callable[[int], Awaitable[None]],
    ):
        """``turn`` waits until so many bytes may go to the candidate."""
        self._spool = spool
        self._items = items
        self._staging = staging
        self._disk = disk
        self._turn = turn
        self._failures: list[tuple[int, Outcome]] = []
        self._unavailable: list[CandidateUnavailable] = []
        self.checksums = [""] * len(items)
        """SHA-256 of each file."""

    async def make(self, at_once: int) -> tuple[int, Outcome] | None:
        """Write all of them; the index and outcome of one that cannot be read, if there is one."""
        waiting = iter(enumerate(self._items))
        async with anyio.create_task_group() as tasks:

            async def work() -> None:
                try:
                    for index, item in waiting:
                        await self._copy(index, item)
                        if self._failures or self._unavailable:
                            return
                except CandidateUnavailable as error:
                    self._unavailable.append(error)

            for _ in range(min(at_once, len(self._items))):
                tasks.start_soon(work)
        if self._unavailable:
            raise self._unavailable[0]
        return self._failures[0] if self._failures else None

    async def _copy(self, index: int, item: DeliveryItem) -> None:
        length = item.ref.data_set_length
        await self._turn(length)
        try:
            reader = self._spool.open(item.ref)
            try:
                copy = partial(_copy, reader, item, self._staging / str(index))
                self.checksums[index] = await self._disk.do(
                    copy, longer_s=length / SLOWEST_BYTES_PER_S
                )
            finally:
                reader.close()
        except UNREADABLE as error:
            self._failures.append((index, outcome_of_failure(error)))


class _Disk:
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


def _reach(candidate: Candidate) -> FolderReach:
    assert isinstance(candidate.reach, FolderReach), f"{candidate.ae_title} has no folder"
    return candidate.reach


def _look(root: Path) -> None:
    """Raises ``OSError`` unless the folder is there; it is never made, for it may be a mount."""
    if not root.is_dir():
        raise FileNotFoundError(None, "the folder is not there; is the share mounted?")
    if not os.access(root, os.W_OK | os.X_OK):
        raise PermissionError(None, "the folder cannot be written to")


def _new_staging(root: Path) -> Path:
    """A folder for what is not published yet, beside what is; others that are stale go."""
    _look(root)
    for left in root.glob(f"{STAGING}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=STAGING, dir=root))


def _copy(reader: SpoolReader, item: DeliveryItem, path: Path) -> str:
    """Write a file that is durable, and intact, on return; its SHA-256."""
    checksum = hashlib.sha256()
    with path.open("xb") as file:
        for piece in chain((header_of(item),), verified_pieces(reader, item, PIECE_BYTES)):
            file.write(piece)
            checksum.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return checksum.hexdigest()


def _publish(
    root: Path, staging: Path, template: PathTemplate, names: Names, sums: Sequence[str]
) -> None:
    """Give the files their names, durably; last comes the manifest of each study."""
    studies = by_study(template, names, sums)
    former = {folder: _begin(root.joinpath(*folder), root) for folder in studies}
    folders = set()
    for index, name in enumerate(names):
        target = root.joinpath(*name)
        _make_folder(target.parent, root)
        (staging / str(index)).replace(target)
        folders.add(target.parent)
    for folder in folders:
        _sync(folder)
    for study, new in studies.items():
        _end(root.joinpath(*study), staging, {**former[study], **new})


def _begin(folder: Path, root: Path) -> dict[str, str]:
    """Set the manifest of a study aside while its folder is changed; what it says."""
    _make_folder(folder, root)
    aside = folder / PUBLISHING
    with suppress(FileNotFoundError):
        (folder / SUCCESS).replace(aside)
        _sync(folder)
    return read_manifest(aside.read_text("ascii", "replace")) if aside.exists() else {}


def _end(folder: Path, staging: Path, sums: dict[str, str]) -> None:
    """Publish the new manifest."""
    written = staging / SUCCESS
    with written.open("w", encoding="ascii") as file:
        file.write(manifest(sums))
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / SUCCESS)
    _sync(folder)
    (folder / PUBLISHING).unlink(missing_ok=True)


def _make_folder(folder: Path, root: Path) -> None:
    """Make a folder below the root, durably."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folder(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
