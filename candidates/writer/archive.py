"""Storage area and index together, which always agree. All of it blocks.

An attachment is sealed, then its row is committed, then it is placed. What a crash leaves behind
is known at the next start: a file in ``.incoming/`` without a row was never acknowledged; one with
a row is placed; what the index wants removed is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import structlog

from candidates.writer.errors import ArchiveMismatch, IndexFailed
from candidates.writer.index.index import Index
from candidates.writer.index.recording import Arrival
from candidates.writer.ownership import Ownership
from candidates.writer.storage import Storage

INDEX = "index.db"
LOCK = ".lock"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a start has put in order."""

    discarded: int  # files that were never acknowledged
    placed: int  # files of acknowledged instances, which now are where they belong
    removed: int  # files of instances that had been replaced or removed


class Archive:
    """The one owner of a storage area and its index. Only one thread at a time may change it."""

    def __init__(self, storage: Storage, index: Index, locks: Sequence[Ownership]):
        self.storage = storage
        self.index = index
        self.leftovers = Leftovers(0, 0, 0)
        self._locks = locks
        self._removed: list[str] = []  # which the index does not know yet

    @classmethod
    def open(cls, storage: Storage, index: Path | None = None) -> Self:
        """Take possession, and put in order what a crash has left.

        Raises ``ArchiveInUse``, ``ArchiveMismatch``, ``IndexFailed`` or ``OSError``.
        """
        path = index or storage.root / INDEX
        locks = own(storage.root, path)
        try:
            if not path.exists() and not storage.is_empty:
                raise ArchiveMismatch(
                    f"{storage.root} holds attachments, but there is no index {path}: "
                    "say where the index is (--index), or restore it from a backup"
                )
            archive = cls(storage, Index(path), locks)
            try:
                archive.leftovers = archive._recover()
            except BaseException:
                archive.index.close()
                raise
        except BaseException:
            for lock in locks:
                lock.give_up()
            raise
        return archive

    def close(self) -> None:
        """Let others have it."""
        with suppress(IndexFailed):  # they stand there at the next start, too
            self.index.forget_removals(self._removed)
        self.index.close()
        for lock in self._locks:
            lock.give_up()

    def _recover(self) -> Leftovers:
        """Put in order what an earlier process has left."""
        names = self.storage.incoming()
        known = self.index.known(names)
        for name in names:
            if name in known:
                self.storage.place(name)
            else:
                self.storage.discard_incoming(name)
        removals = self.index.removals()
        for uuid in removals:
            self.storage.remove(uuid)
        self.index.forget_removals(removals)
        found = Leftovers(len(names) - len(known), len(known), len(removals))
        if found != Leftovers(0, 0, 0):
            log.warning(
                "leftovers of an interrupted writer were put in order",
                discarded=found.discarded,
                placed=found.placed,
                removed=found.removed,
            )
        return found

    def commit(self, arrivals: Sequence[Arrival]) -> None:
        """Make sealed attachments part of the archive, all or none.

        They are on stable storage, and have a row that is, when it returns. Raises ``OSError`` or
        ``IndexFailed``; then nothing of them remains.
        """
        uuids = [arrival.attachment.uuid for arrival in arrivals]
        try:
            self.storage.sync_incoming()
            superseded = self.index.record(arrivals, self._removed)
        except (OSError, IndexFailed):
            self._give_up(uuids)
            raise
        self._removed.clear()
        gone = set(superseded)
        self._place([uuid for uuid in uuids if uuid not in gone])
        self._remove(superseded)

    def remove_study(self, study_instance_uid: str, at: datetime, unless_since: datetime) -> int:
        """Remove a study, unless something of it has arrived since; how many attachments it had.

        Raises ``IndexFailed``.
        """
        taken = self.index.remove_study(study_instance_uid, at, unless_since)
        self._remove(taken)
        return len(taken)

    def held(self, sop_instance_uids: Collection[str]) -> dict[str, set[str]]:
        """SOP classes of those of these instances whose files are there, as long as they were.

        Raises ``IndexFailed`` or ``OSError``.
        """
        found: dict[str, set[str]] = {}
        for uid, sop_class, kept in self.index.attachments_of(sop_instance_uids):
            if self.storage.size_of(kept.uuid) == kept.stored_size:
                found.setdefault(uid, set()).add(sop_class)
        return found

    def _place(self, uuids: Sequence[str]) -> None:
        for uuid in uuids:
            try:
                self.storage.place(uuid)
            except OSError as error:  # it is read where it is, and placed at the next start
                log.error("an attachment could not be placed", uuid=uuid, error=str(error))

    def _remove(self, uuids: Sequence[str]) -> None:
        for uuid in uuids:
            try:
                self.storage.remove(uuid)
                self._removed.append(uuid)
            except OSError as error:  # it is tried again at the next start
                log.error("an attachment could not be removed", uuid=uuid, error=str(error))

    def _give_up(self, uuids: Sequence[str]) -> None:
        """Remove sealed files, unless the index has them after all or cannot say."""
        with suppress(OSError, IndexFailed):
            for uuid in set(uuids) - self.index.known(uuids):
                self.storage.discard_incoming(uuid)


def own(root: Path, index: Path) -> list[Ownership]:
    """Lock a storage area and an index; raises ``ArchiveInUse`` or ``OSError``."""
    folder = Ownership(root / LOCK, f"the storage area {root}")
    try:
        return [folder, Ownership(index.with_name(index.name + ".lock"), f"the index {index}")]
    except BaseException:
        folder.give_up()
        raise
