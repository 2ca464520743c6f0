"""Files in a folder: written aside, named when all of them are durable, then a manifest."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio

from router.delivery.destinations.disk import Disk, Disks, look, make_folder, new_staging, sync
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.publication import (
    PUBLISHING,
    SUCCESS,
    Names,
    by_study,
    manifest,
    names_of,
    read_manifest,
)
from router.delivery.destinations.streams import UNREADABLE, outcome_of_failure, spoiled
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable, SpoolFailed
from router.domain.paths import PathTemplate
from router.domain.reach import FolderReach
from router.ports import Clock, Spool

LONGER_FOR_EACH_S = 0.1
"""Naming the files of a revision may take so much longer for each."""


class FolderDestination:
    """Implements :class:`router.ports.RevisionDestination` for candidates of kind ``folder``."""

    is_divisible = False

    def __init__(self, spool: Spool, clock: Clock, patience_s: float):
        """``patience_s``: so long a single step on the file system may take."""
        self._spool = spool
        self._paces = Paces(clock)
        self._disks = Disks(patience_s)

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """Publish a revision; see the port. Without all of it nothing is published."""
        reach = _reach(candidate)
        disk = self._disks.of(candidate)
        try:
            names = await names_of(self._spool, reach.files, delivery, items)
        except SpoolFailed as error:
            return [outcome_of_failure(error)] * len(items)
        staging = await disk.do(partial(new_staging, Path(reach.path)))
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
            await disk.clear(staging)
        return [Outcome(OutcomeKind.STORED, 0x0000, "")] * len(items)

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Raises ``CandidateUnavailable``: what is published is on stable storage already."""
        raise CandidateUnavailable(f"{candidate.ae_title}: folder has no storage commitment")

    async def probe(self, candidate: Candidate) -> None:
        """Look whether the folder is there and can be written to; see the port."""
        disk = self._disks.of(candidate)
        await disk.do(partial(look, Path(_reach(candidate).path)))


class _Copies:
    """The files of a revision, written aside by several threads."""

    def __init__(
        self,
        spool: Spool,
        items: Sequence[DeliveryItem],
        staging: Path,
        disk: Disk,
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
        await self._turn(item.ref.data_set_length)
        try:
            path = self._staging / str(index)
            self.checksums[index] = await self._disk.copy(self._spool, item, path)
        except UNREADABLE as error:
            self._failures.append((index, outcome_of_failure(error)))


def _reach(candidate: Candidate) -> FolderReach:
    assert isinstance(candidate.reach, FolderReach), f"{candidate.ae_title} has no folder"
    return candidate.reach


def _publish(
    root: Path, staging: Path, template: PathTemplate, names: Names, sums: Sequence[str]
) -> None:
    """Give the files their names, durably; last comes the manifest of each study."""
    studies = by_study(template, names, sums)
    former = {folder: _begin(root.joinpath(*folder), root) for folder in studies}
    folders = set()
    for index, name in enumerate(names):
        target = root.joinpath(*name)
        make_folder(target.parent, root)
        (staging / str(index)).replace(target)
        folders.add(target.parent)
    for folder in folders:
        sync(folder)
    for study, new in studies.items():
        _end(root.joinpath(*study), staging, {**former[study], **new})


def _begin(folder: Path, root: Path) -> dict[str, str]:
    """Set the manifest of a study aside while its folder is changed; what it says."""
    make_folder(folder, root)
    aside = folder / PUBLISHING
    with suppress(FileNotFoundError):
        (folder / SUCCESS).replace(aside)
        sync(folder)
    return read_manifest(aside.read_text("ascii", "replace")) if aside.exists() else {}


def _end(folder: Path, staging: Path, sums: dict[str, str]) -> None:
    """Publish the new manifest."""
    written = staging / SUCCESS
    with written.open("w", encoding="ascii") as file:
        file.write(manifest(sums))
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / SUCCESS)
    sync(folder)
    (folder / PUBLISHING).unlink(missing_ok=True)
