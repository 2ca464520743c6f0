"""What C-MOVE and C-GET have in common (PS3.4 sections C.4.2 and C.4.3).

Which instances are asked for, how many of them have gone how far, and what is said of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import structlog

from candidates.writer.archive import Archive
from candidates.writer.attachments import Attachment
from candidates.writer.errors import IndexFailed
from candidates.writer.index.index import attachment_of
from candidates.writer.query.identifiers import read_query, write_failed
from candidates.writer.query.statements import attachments
from candidates.writer.reading import StoredDataSet, open_data_set
from router.dicom import statuses
from router.dicom.dimse import CGetRQ, CGetRSP, CMoveRQ, CMoveRSP, SubOperations
from router.dicom.handlers import AssociationInfo, Respond
from router.dicom.negotiation import Pair
from router.dicom.query import QueryLevel
from router.domain.errors import CannotUnderstand, SpoolFailed

MAX_INSTANCES = 0xFFFF
"""Of one retrieval: the number of sub-operations is a US."""

PENDING = 0xFF00
SOME_FAILED = 0xB000
UNABLE_TO_PERFORM = 0xA702
DOES_NOT_MATCH_SOP_CLASS = 0xA900
UNABLE_TO_PROCESS = 0xC001

_UNIQUE_KEYS = {
    QueryLevel.STUDY: ("StudyInstanceUID",),
    QueryLevel.SERIES: ("StudyInstanceUID", "SeriesInstanceUID"),
    QueryLevel.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}

RequestT = TypeVar("RequestT", CMoveRQ, CGetRQ)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of the archive."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    attachment: Attachment

    @property
    def pair(self) -> Pair:
        """What a presentation context for it is about."""
        return self.sop_class_uid, self.transfer_syntax_uid


class TooMany(Exception):
    """More than :data:`MAX_INSTANCES` are asked for at once."""


def instances_of(archive: Archive, keys: Mapping[str, str]) -> list[Instance]:
    """The instances that match unique keys, in order of series. Blocks.

    Raises ``IndexFailed`` or ``TooMany``.
    """
    with archive.index.database.reading() as connection:
        rows = connection.execute(attachments(keys).limit(MAX_INSTANCES + 1)).all()
    if len(rows) > MAX_INSTANCES:
        raise TooMany(f"more than {MAX_INSTANCES} instances")
    return [
        Instance(
            row.sop_class_uid, row.sop_instance_uid, row.transfer_syntax_uid, attachment_of(row)
        )
        for row in rows
    ]


class Refused(Exception):
    """A retrieval that cannot be carried out."""

    def __init__(self, status: int, comment: str):
        super().__init__(comment)
        self.status = status
        self.comment = comment


@dataclass(slots=True)
class Retrieval(Generic[RequestT]):
    """One request, and how far it is."""

    info: AssociationInfo
    request: RequestT
    transfer_syntax_uid: str
    data: bytes
    respond: Respond
    remaining: int = 0
    completed: int = 0
    warning: int = 0
    failed: list[str] = field(default_factory=list)

    async def instances(self, archive: Archive) -> list[Instance]:
        """What is asked for; raises ``Refused``."""
        found = await anyio.to_thread.run_sync(self._asked, archive)
        self.remaining = len(found)
        return found

    def _asked(self, archive: Archive) -> list[Instance]:
        try:
            query = read_query(self.data, self.transfer_syntax_uid)
            keys = {keyword: query.keys.get(keyword, "") for keyword in _UNIQUE_KEYS[query.level]}
            if not keys[_UNIQUE_KEYS[query.level][-1]]:
                raise CannotUnderstand(f"{_UNIQUE_KEYS[query.level][-1]} is empty")
            return instances_of(archive, keys)
        except CannotUnderstand as error:
            raise Refused(DOES_NOT_MATCH_SOP_CLASS, str(error)) from error
        except IndexFailed as error:
            log.error("a retrieval could not be answered", error=str(error))
            raise Refused(UNABLE_TO_PROCESS, "the index failed") from error
        except TooMany as error:
            raise Refused(UNABLE_TO_PERFORM, str(error)) from error

    def note(self, one: Instance, status: int) -> None:
        """Count a sub-operation, and say how far it is."""
        self.remaining -= 1
        if status == statuses.SUCCESS:
            self.completed += 1
        elif statuses.is_stored(status):
            self.warning += 1
        else:
            self.failed.append(one.sop_instance_uid)
        self._respond(PENDING, self._counts(self.remaining))

    def give_up(self, left: Sequence[Instance]) -> None:
        """These cannot be sent any more."""
        self.failed += [one.sop_instance_uid for one in left]
        self.remaining -= len(left)

    async def conclude(self) -> None:
        """Say what has become of all instances, and which of them have failed."""
        status = statuses.SUCCESS
        if self.failed:
            is_some = self.completed or self.warning
            status = SOME_FAILED if is_some else UNABLE_TO_PERFORM
        self._respond(status, self._counts(None), failed=await self._listed())

    async def cancelled(self) -> None:
        """Say that the rest is not sent, as the requestor wished."""
        self._respond(statuses.CANCEL, self._counts(self.remaining), failed=await self._listed())

    def refuse(self, status: int, comment: str) -> None:
        """Say that nothing is sent."""
        self._respond(status, self._counts(None), comment)

    async def _listed(self) -> bytes | None:
        """The identifier that lists what has failed."""
        if not self.failed:
            return None
        return await anyio.to_thread.run_sync(write_failed, self.failed, self.transfer_syntax_uid)

    def _respond(
        self,
        status: int,
        counts: SubOperations,
        comment: str = "",
        failed: bytes | None = None,
    ) -> None:
        is_move = isinstance(self.request, CMoveRQ)
        response: type[CMoveRSP | CGetRSP] = CMoveRSP if is_move else CGetRSP
        message_id, sop_class = self.request.message_id, self.request.sop_class_uid
        has_data = failed is not None
        self.respond(response(message_id, sop_class, status, counts, has_data, comment), failed)

    def _counts(self, remaining: int | None) -> SubOperations:
        return SubOperations(remaining, self.completed, len(self.failed), self.warning)


async def opened(archive: Archive, one: Instance) -> StoredDataSet | None:
    """The data set of an instance, to be closed; None: it cannot be read, and the log says why."""
    try:
        return await anyio.to_thread.run_sync(open_data_set, archive.storage, one.attachment)
    except SpoolFailed as error:
        log.error(
            "an instance cannot be sent", sop_instance_uid=one.sop_instance_uid, error=str(error)
        )
        return None
