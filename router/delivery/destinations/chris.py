"""ChRIS: files where its backend looks for them, and one registration for each series."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
from router.delivery.destinations.outcomes import STORED, UNREADABLE, outcome_of_failure
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.parallel import side_by_side
from router.delivery.destinations.progress import Teller, telling
from router.delivery.destinations.publication import values_of
from router.delivery.destinations.tasks import TaskBroker
from router.dicom.scan_plan import ScanPlan
from router.domain.candidate import Candidate
from router.domain.chris import (
    ATTRIBUTES,
    ENDING,
    NotForChris,
    PacsFile,
    name_of_pacs,
    pacs_file,
    registration,
)
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable, SpoolFailed
from router.domain.lonk import SeriesKey
from router.domain.reach import ChrisReach
from router.ports import Clock, Spool

TASK = "pacsfiles.tasks.register_pacs_series"
_TASK_IDS = uuid.UUID("c8b6f1a4-0d43-5c0e-9a36-1f0c2b7f6d11")

Outcomes = dict[int, Outcome]
"""By place among the instances of a transfer."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """An instance, its place among those of the transfer, and where it goes."""

    index: int
    item: DeliveryItem
    file: PacsFile


class ChrisDestination:
    """Implements :class:`router.ports.RevisionDestination` for candidates of kind ``chris``.

    Series are published and registered one after the other; what became of one is kept though the
    next one fails.
    """

    is_divisible = False  # an instance that is sent alone would be registered as a whole series

    def __init__(self, spool: Spool, clock: Clock, patience_s: float):
        """``patience_s``: so long a single step of disk, broker or NATS may take."""
        self._spool = spool
        self._clock = clock
        self._paces = Paces(clock)
        self._disks = Disks(patience_s)
        self._patience_s = patience_s
        self._plan = ScanPlan.compile(ATTRIBUTES)

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """Publish and register series; see the port."""
        reach = _reach(candidate)
        outcomes: Outcomes = {}
        unavailable: CandidateUnavailable | None = None
        disk = self._disks.of(candidate)
        staging = await disk.do(partial(new_staging, Path(reach.path)))
        try:
            async with telling(
                candidate.ae_title, reach.progress, self._clock, self._patience_s
            ) as teller:
                work = _Transfer(self._spool, candidate, self._paces, disk, staging, teller)
                series = await self._place(reach, delivery, items, teller, outcomes)
                for key, instances in series.items():
                    outcomes.update(await work.publish(key, instances))
                    kept = [one for one in instances if one.index not in outcomes]
                    if kept:
                        await self._register(candidate, delivery, key, kept, disk, teller)
                        outcomes.update((one.index, STORED) for one in kept)
        except SpoolFailed as error:
            unread = outcome_of_failure(error)
            return [outcomes.get(index, unread) for index in range(len(items))]
        except CandidateUnavailable as error:
            unavailable = error
        finally:
            await disk.clear(staging)
        return _answer(outcomes, len(items), unavailable)

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Raises ``CandidateUnavailable``: CUBE does not answer a registration."""
        raise CandidateUnavailable(f"{candidate.ae_title}: chris has no storage commitment")

    async def probe(self, candidate: Candidate) -> None:
        """Look at the folder, and ask the broker; see the port."""
        reach = _reach(candidate)
        await self._disks.of(candidate).do(partial(look, Path(reach.path)))
        await TaskBroker(candidate.ae_title, reach.broker, self._patience_s).probe()

    async def _place(
        self,
        reach: ChrisReach,
        delivery: Delivery,
        items: Sequence[DeliveryItem],
        teller: Teller,
        outcomes: Outcomes,
    ) -> dict[SeriesKey, list[_Placed]]:
        """The instances of each series; those that CUBE cannot have are refused instead.

        A series has one folder, that of its first instance: CUBE looks into no other.
        """
        series: dict[SeriesKey, list[_Placed]] = {}
        for index, item in enumerate(items):
            values = await values_of(self._spool, self._plan, delivery, item)
            pacs = name_of_pacs(reach.pacs_name or item.calling_ae_title)
            key = (pacs, values.get("SeriesInstanceUID", "UNKNOWN"))
            try:
                series.setdefault(key, []).append(_Placed(index, item, pacs_file(values, pacs)))
            except NotForChris as error:
                outcomes[index] = Outcome(OutcomeKind.PERMANENT, None, str(error))
                await teller.failed(key, str(error))
        return series

    async def _register(
        self,
        candidate: Candidate,
        delivery: Delivery,
        key: SeriesKey,
        instances: Sequence[_Placed],
        disk: Disk,
        teller: Teller,
    ) -> None:
        """Tell CUBE of a series that is in its folder. The same registration has the same id."""
        reach, first = _reach(candidate), instances[0].file
        files = await disk.do(partial(_count, Path(reach.path).joinpath(*first.folder)))
        arguments = registration(first, key[0], files)
        task_id = uuid.uuid5(_TASK_IDS, f"{delivery.id} {key} {files}")
        broker = TaskBroker(candidate.ae_title, reach.broker, self._patience_s)
        await broker.send(TASK, str(task_id), arguments)
        await teller.done(key, files)


class _Transfer:
    """Publishes the files of series."""

    def __init__(
        self,
        spool: Spool,
        candidate: Candidate,
        paces: Paces,
        disk: Disk,
        staging: Path,
        teller: Teller,
    ):
        self._spool = spool
        self._candidate = candidate
        self._root = Path(_reach(candidate).path)
        self._paces = paces
        self._disk = disk
        self._staging = staging
        self._teller = teller

    async def publish(self, key: SeriesKey, instances: Sequence[_Placed]) -> Outcomes:
        """Give a series its files, durably; outcomes of those that have none, for good or yet.

        One that may be read later keeps its whole series back: CUBE is told of it once.
        """
        unread = await self._copy(key, instances)
        if any(one.kind is OutcomeKind.TEMPORARY for one in unread.values()):
            reason = "not sent: an instance of its series cannot be read at present"
            waiting = Outcome(OutcomeKind.TEMPORARY, None, reason)
            return {one.index: unread.get(one.index, waiting) for one in instances}
        for outcome in unread.values():
            await self._teller.failed(key, outcome.reason)
        there = [one for one in instances if one.index not in unread]
        if there:
            folder = self._root.joinpath(*instances[0].file.folder)
            files = {one.index: one.file.name for one in there}
            name = partial(_name, self._root, folder, self._staging, files)
            await self._disk.do(name, longer_s=NAMING_S * len(files))
        return unread

    async def _copy(self, key: SeriesKey, instances: Iterable[_Placed]) -> Outcomes:
        """Write the files aside, several at a time; outcomes of those that cannot be read."""
        written = 0
        unread: Outcomes = {}

        async def copy(one: _Placed) -> None:
            nonlocal written
            await self._paces.turn(self._candidate, one.item.ref.data_set_length)
            try:
                await self._disk.copy(self._spool, one.item, self._staging / str(one.index))
            except UNREADABLE as error:
                unread[one.index] = outcome_of_failure(error)
            else:
                written += 1
                await self._teller.stored(key, written)

        await side_by_side(instances, self._candidate.associations, copy, finishes=True)
        return unread


def _reach(candidate: Candidate) -> ChrisReach:
    assert isinstance(candidate.reach, ChrisReach), f"{candidate.ae_title} is no ChRIS"
    return candidate.reach


def _answer(
    outcomes: Outcomes, count: int, unavailable: CandidateUnavailable | None
) -> Sequence[Outcome]:
    """What became of each instance; raises ``CandidateUnavailable`` if nothing was answered."""
    answered = any(one.kind is not OutcomeKind.TEMPORARY for one in outcomes.values())
    if unavailable is not None and not answered:
        raise unavailable
    later = Outcome(OutcomeKind.TEMPORARY, None, str(unavailable or ""))
    return [outcomes.get(index, later) for index in range(count)]


def _name(root: Path, folder: Path, staging: Path, names: dict[int, str]) -> None:
    """Move files into the folder of their series, durably; blocks."""
    make_folder(folder, root)
    for index, name in names.items():
        (staging / str(index)).replace(folder / name)
    sync(folder)


def _count(folder: Path) -> int:
    """The files that CUBE will find: it takes a series only with the number that it was told."""
    return sum(path.suffix == ENDING for path in folder.iterdir())
