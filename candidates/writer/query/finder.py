"""C-FIND as its SCP (PS3.4 section C.4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from candidates.writer.errors import IndexFailed
from candidates.writer.index.index import Index
from candidates.writer.query.identifiers import read_query, write_answer
from candidates.writer.query.statements import MODALITIES, find
from router.dicom import statuses, uids
from router.dicom.dimse import CFindRQ, CFindRSP, Message
from router.dicom.handlers import AssociationInfo, Respond
from router.dicom.negotiation import AcceptedContext
from router.domain.errors import CannotUnderstand
from router.workers import Workers

WORKERS = 4
MAX_WAITING = 64
MAX_MATCHES = 10_000
"""More matches than that are refused with A700: their answers wait in memory for a slow peer."""
ANSWERS_AT_ONCE = 50

PENDING = 0xFF00
DOES_NOT_MATCH_SOP_CLASS = 0xA900
UNABLE_TO_PROCESS = 0xC001

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    info: AssociationInfo
    request: CFindRQ
    transfer_syntax_uid: str
    data: bytes
    respond: Respond


@dataclass(frozen=True, slots=True)
class _Refused:
    status: int
    comment: str


class Finder:
    """Answers queries from the index."""

    def __init__(self, index: Index):
        self._index = index
        self._workers = Workers(self._answer, WORKERS, MAX_WAITING)

    def request(
        self,
        info: AssociationInfo,
        message: Message,
        context: AcceptedContext,
        data: bytes | None,
        respond: Respond,
    ) -> bool:
        """Take a C-FIND of the Study Root model."""
        if not isinstance(message, CFindRQ) or context.abstract_syntax != uids.STUDY_ROOT_FIND:
            return False
        job = _Job(info, message, context.transfer_syntax, data or b"", respond)
        if not self._workers.offer(job):
            self._end(message, respond, statuses.OUT_OF_RESOURCES, "too many queries wait")
        return True

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        await self._workers.run(task_status=task_status)

    async def _answer(self, job: _Job) -> None:
        found = await anyio.to_thread.run_sync(self._find, job)
        if isinstance(found, _Refused):
            self._end(job.request, job.respond, found.status, found.comment)
            return
        for number, answer in enumerate(found, 1):
            sop_class = job.request.sop_class_uid
            pending = CFindRSP(job.request.message_id, sop_class, PENDING, has_data_set=True)
            job.respond(pending, answer)
            if number % ANSWERS_AT_ONCE == 0:
                await checkpoint()
        self._end(job.request, job.respond, statuses.SUCCESS, "")

    def _find(self, job: _Job) -> list[bytes] | _Refused:
        try:
            query = read_query(job.data, job.transfer_syntax_uid)
            with self._index.database.reading() as connection:
                statement = find(query.level, query.keys, query.keys).limit(MAX_MATCHES + 1)
                rows = connection.execute(statement).mappings().all()
        except CannotUnderstand as error:
            return _Refused(DOES_NOT_MATCH_SOP_CLASS, str(error))
        except IndexFailed as error:
            log.error("a query could not be answered", error=str(error))
            return _Refused(UNABLE_TO_PROCESS, "the index failed")
        if len(rows) > MAX_MATCHES:
            return _Refused(statuses.OUT_OF_RESOURCES, f"more than {MAX_MATCHES} matches")
        title, syntax = job.info.called_ae_title, job.transfer_syntax_uid
        return [write_answer(query, told(row, query.keys), title, syntax) for row in rows]

    @staticmethod
    def _end(request: CFindRQ, respond: Respond, status: int, comment: str) -> None:
        respond(CFindRSP(request.message_id, request.sop_class_uid, status, error_comment=comment))


def told(row: Mapping[Any, Any], keywords: Iterable[str]) -> dict[str, str]:
    """What a row of :func:`find` says of these, as DICOM writes it."""
    values = {
        keyword: "" if row[keyword] is None else str(row[keyword])
        for keyword in keywords
        if keyword in row
    }
    if MODALITIES in values:
        values[MODALITIES] = values[MODALITIES].replace(",", "\\")
    return values
