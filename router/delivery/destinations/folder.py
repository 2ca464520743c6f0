"""Files in a folder: written aside, named when all of them are durable, then a manifest."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from router.delivery.destinations.disk import (
    NAMING_S,
    Disk,
    Disks,
    look,
    make_folder,
    new_staging,
    sync,
)
from router.delivery.destinations.outcomes import (
    STORED,
    Spoiled,
    outcome_of_failure,
    spoiling,
)
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.parallel import side_by_side
from router.delivery.destinations.publication import (
    PUBLISHING,
    SUCCESS,
    Names,
    by_study,
    manifest,
    names_of,
    read_manifest,
)
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome
from router.domain.errors import CandidateUnavailable, SpoolFailed
from router.domain.paths import PathTemplate
from router.domain.reach import FolderReach
from router.ports import Clock, Spool


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
            await side_by_side(
                range(len(items)), candidate.associations, copies.make, finishes=True
            )
            publish = partial(
                _publish, Path(reach.path), staging, reach.files, names, copies.checksums
            )
            await disk.do(publish, longer_s=NAMING_S * len(items))
        except Spoiled as spoiled:
            return spoiled.outcomes(items)
        finally:
            await disk.clear(staging)
        return [STORED] * len(items)

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
        self.checksums = [""] * len(items)
        """SHA-256 of each file."""

    async def make(self, index: int) -> None:
        """Write one of them; raises ``Spoiled`` if it cannot be read."""
        item = self._items[index]
        await self._turn(item.ref.data_set_length)
        with spoiling(index):
            path = self._staging / str(index)
            self.checksums[index] = await self._disk.copy(self._spool, item, path)


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
