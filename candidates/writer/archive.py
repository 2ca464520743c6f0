"""Storage area and index together, which always agree. All of it blocks.

An attachment is sealed, then its row is committed, then it is placed. What a crash leaves behind
is known at the next start: a file in ``.incoming/`` without a row was never acknowledged; one with
a row is placed; what the index wants removed is removed.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import structlog

from candidates.writer.area import StorageArea
from candidates.writer.attachments import Attachment, Incoming
from candidates.writer.errors import (
    ArchiveMismatch,
    IndexFailed,
    IndexUnavailable,
    WriterFailed,
)
from candidates.writer.index.address import IndexAddress
from candidates.writer.index.database import open_database
from candidates.writer.index.index import Index
from candidates.writer.index.recording import Arrival
from candidates.writer.tags import Level

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a start has put in order."""

    discarded: int  # files that were never acknowledged
    placed: int  # files of acknowledged instances, which now are where they belong
    removed: int  # files of instances that had been replaced or removed


class Archive:
    """The one owner of a storage area and its index. Only one thread at a time may change it."""

    def __init__(self, storage: StorageArea, index: Index, owned: ExitStack):
        """``owned`` lets others have both parts when it is closed."""
        self.storage = storage
        self.index = index
        self.leftovers = Leftovers(0, 0, 0)
        self._owned = owned
        self._removed: list[str] = []  # which the index has notes of
        self._doubted: set[str] = set()  # which the index may have or not

    @classmethod
    def open(cls, storage: StorageArea, index: IndexAddress | None = None) -> Self:
        """Take possession, and put in order what a crash has left.

        Raises ``ArchiveInUse``, ``ArchiveMismatch``, ``IndexFailed`` or ``OSError``.
        """
        with ExitStack() as owned:
            opened = open_parts(storage, index, owned)
            _belong_together(storage, opened)
            opened.database.take()
            archive = cls(storage, opened, owned.pop_all())
        try:
            archive.leftovers = archive._recover()
        except BaseException:
            archive._owned.close()
            raise
        return archive

    def close(self) -> None:
        """Let others have it."""
        removed, self._removed = self._removed, []
        with self._owned, suppress(WriterFailed):  # they stand there at the next start, too
            if removed:
                self.index.forget_removals(removed)

    def _recover(self) -> Leftovers:
        """Put in order what an earlier process has left."""
        names = self.storage.incoming()
        known = self.index.known(names)
        for name in names:
            if name in known:
                self.storage.place(name)
            else:
                self.storage.discard(name)
        removed = self.storage.remove(self.index.removals())
        self.index.forget_removals(removed)
        found = Leftovers(len(names) - len(known), len(known), len(removed))
        if found != Leftovers(0, 0, 0):
            log.warning(
                "leftovers of an interrupted writer were put in order",
                discarded=found.discarded,
                placed=found.placed,
                removed=found.removed,
            )
        return found

    def seal(self, file: Incoming) -> Attachment:
        """Keep what has arrived durably, to be committed or discarded; by any thread.

        Raises ``OSError`` or ``IndexFailed``.
        """
        if self.storage.needs_notes:
            self.index.note(file.uuid)
        return self.storage.seal(file)

    def commit(self, arrivals: Sequence[Arrival]) -> None:
        """Make sealed attachments part of the archive, all or none.

        They are on stable storage, and have a row that is, when it returns. Raises ``OSError`` or
        ``IndexFailed``; then nothing of them remains, or will as soon as the index is back.
        Raises ``ArchiveInUse`` when the index has been lost to another process.
        """
        uuids = [arrival.attachment.uuid for arrival in arrivals]
        try:
            self._settle_doubts()
            self._removed += self.storage.sync()
        except (OSError, IndexFailed):
            self._discard(uuids)
            raise
        superseded = self._record(arrivals)
        self._removed.clear()
        gone = set(superseded)
        self._place([name for name in uuids if name not in gone])
        self._removed += self.storage.remove(superseded)

    def _record(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Write the rows; what the index may have though it failed is doubted from then on."""
        uuids = [arrival.attachment.uuid for arrival in arrivals]
        try:
            return self.index.record(arrivals, self._removed, were_noted=self.storage.needs_notes)
        except IndexUnavailable:
            self._discard(uuids)
            raise
        except IndexFailed:
            self._doubted.update(uuids)
            with suppress(IndexFailed):
                self._settle_doubts()
            raise

    def _settle_doubts(self) -> None:
        """Ask the index what it has of an earlier batch that it failed at.

        None of these was acknowledged: what it has is kept all the same, the rest is removed.
        """
        if self._doubted:
            known = self.index.known(self._doubted)
            self._place(known)
            self._discard(self._doubted - known)
            self._doubted.clear()

    def remove_study(self, study_instance_uid: str, at: datetime, unless_since: datetime) -> int:
        """Remove a study, unless something of it has arrived since; how many attachments it had.

        Raises ``IndexFailed``.
        """
        taken = self.index.remove_study(study_instance_uid, at, unless_since)
        self._removed += self.storage.remove(taken)
        return len(taken)

    def held(self, sop_instance_uids: Collection[str]) -> dict[str, set[str]]:
        """SOP classes of those of these instances whose files are there, as long as they were.

        Raises ``IndexFailed`` or ``OSError``.
        """
        found: dict[str, set[str]] = {}
        attachments = self.index.attachments_of(sop_instance_uids)
        sizes = self.storage.sizes_of(kept.uuid for _, _, kept in attachments)
        for uid, sop_class, kept in attachments:
            if sizes.get(kept.uuid) == kept.stored_size:
                found.setdefault(uid, set()).add(sop_class)
        return found

    def _place(self, uuids: Iterable[str]) -> None:
        for name in uuids:
            try:
                self.storage.place(name)
            except OSError as error:  # it is read where it is, and placed at the next start
                log.error("an attachment could not be placed", uuid=name, error=str(error))

    def _discard(self, uuids: Iterable[str]) -> None:
        """Remove sealed files that no row is of; what cannot be removed is so at the next start."""
        for name in uuids:
            with suppress(OSError):
                self.storage.discard(name)


def open_parts(
    storage: StorageArea, index: IndexAddress | None, owned: ExitStack, *, create: bool = True
) -> Index:
    """Take possession of both parts, which ``owned`` ends, and open the index.

    With ``create`` a new index is made for an empty storage area.

    Raises ``ArchiveInUse``, ``ArchiveMismatch``, ``IndexFailed`` or ``OSError``.
    """
    address = index or storage.default_index
    if address is None:
        raise ArchiveMismatch(f"{storage} has no place for an index: say where it is (--index)")
    owned.callback(storage.own())
    database = open_database(address)
    owned.callback(database.close)
    if database.is_new and not create:
        raise ArchiveMismatch(f"there is no index {address}")
    if database.is_new and not storage.is_empty:
        raise ArchiveMismatch(
            f"{storage} holds attachments, but there is no index {address}: "
            "say where the index is (--index), or restore it from a backup"
        )
    opened = Index(database)
    if not _are_a_pair(storage, opened):
        raise ArchiveMismatch(
            f"the index {address} is that of the storage area {opened.area() or 'none yet'}, and "
            f"{storage} is {storage.name or 'none yet'}: is it mounted, and are --directory and "
            f"--index a pair? (the name stands in {storage.name_stands_in})"
        )
    return opened


def _are_a_pair(storage: StorageArea, index: Index) -> bool:
    """Whether they have the same name, or none, or the storage area has not got it yet."""
    name, area = index.area(), storage.name
    return name == area or (area is None and index.count(Level.INSTANCE) == 0)


def _belong_together(storage: StorageArea, index: Index) -> None:
    """Give both parts the same name, if they have none: the index first."""
    name = index.area()
    if name is None:
        name = str(uuid.uuid4())
        index.belong_to(name)
    if storage.name is None:
        storage.give_name(name)
