"""C-MOVE as its SCP (PS3.4 section C.4.2): sends what is asked for to an AE that it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskStatus

from candidates.writer.archive import Archive
from candidates.writer.errors import IndexFailed
from candidates.writer.index.index import attachment_of
from candidates.writer.query.identifiers import read_query, write_failed
from candidates.writer.query.statements import attachments
from candidates.writer.reading import open_data_set
from candidates.writer.storage import Attachment
from router.dicom import statuses, uids
from router.dicom.dimse import CMoveRQ, CMoveRSP, Message, SubOperations
from router.dicom.handlers import AssociationInfo, Respond
from router.dicom.negotiation import AcceptedContext, Pair, group_contexts, propose
from router.dicom.query import QueryLevel
from router.domain.errors import CannotUnderstand, RouterError, SpoolFailed
from router.net.requestor import RequestedAssociation, associate
from router.workers import Workers

WORKERS = 2
MAX_WAITING = 16
MAX_SUB_OPERATIONS = 0xFFFF  # their number is a US

PENDING = 0xFF00
SOME_FAILED = 0xB000
UNABLE_TO_PERFORM = 0xA702
DESTINATION_UNKNOWN = 0xA801
DOES_NOT_MATCH_SOP_CLASS = 0xA900
UNABLE_TO_PROCESS = 0xC001

_UNIQUE_KEYS = {
    QueryLevel.STUDY: ("StudyInstanceUID",),
    QueryLevel.SERIES: ("StudyInstanceUID", "SeriesInstanceUID"),
    QueryLevel.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Instance:
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    attachment: Attachment

    @property
    def pair(self) -> Pair:
        return self.sop_class_uid, self.transfer_syntax_uid


@dataclass(slots=True)
class _Job:
    info: AssociationInfo
    request: CMoveRQ
    transfer_syntax_uid: str
    data: bytes
    respond: Respond
    remaining: int = 0
    completed: int = 0
    warning: int = 0
    failed: list[str] = field(default_factory=list)

    def counts(self, *, is_last: bool = False) -> SubOperations:
        """How far it is."""
        remaining = None if is_last else self.remaining
        return SubOperations(remaining, self.completed, len(self.failed), self.warning)

    def end(self, status: int, comment: str = "", failed: bytes | None = None) -> None:
        """Send the last response."""
        message = CMoveRSP(
            self.request.message_id,
            self.request.sop_class_uid,
            status,
            self.counts(is_last=True),
            failed is not None,
            comment,
        )
        self.respond(message, failed)


class _Refused(Exception):
    def __init__(self, status: int, comment: str):
        super().__init__(comment)
        self.status = status
        self.comment = comment


class Mover:
    """Sends instances of an archive."""

    def __init__(self, archive: Archive, destinations: Mapping[str, tuple[str, int]]):
        """``destinations``: who may be sent to, host and port by AE title."""
        self._archive = archive
        self._destinations = destinations
        self._workers = Workers(self._work, WORKERS, MAX_WAITING)

    def request(
        self,
        info: AssociationInfo,
        message: Message,
        context: AcceptedContext,
        data: bytes | None,
        respond: Respond,
    ) -> bool:
        """Take a C-MOVE of the Study Root model."""
        if not isinstance(message, CMoveRQ) or context.abstract_syntax != uids.STUDY_ROOT_MOVE:
            return False
        job = _Job(info, message, context.transfer_syntax, data or b"", respond)
        if message.move_destination not in self._destinations:
            job.end(DESTINATION_UNKNOWN, f"unknown: {message.move_destination}")
            return True
        if not self._workers.offer(job):
            job.end(UNABLE_TO_PERFORM, "too many retrievals wait")
        return True

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        await self._workers.run(task_status=task_status)

    async def _work(self, job: _Job) -> None:
        try:
            await self._move(job)
        except _Refused as refused:
            job.end(refused.status, refused.comment)

    async def _move(self, job: _Job) -> None:
        instances = await anyio.to_thread.run_sync(self._asked, job)
        job.remaining = len(instances)
        for pairs in group_contexts(one.pair for one in instances):
            group = [one for one in instances if one.pair in set(pairs)]
            await self._send_group(job, pairs, group)
        log.info(
            "retrieved",
            calling_ae_title=job.info.calling_ae_title,
            destination=job.request.move_destination,
            completed=job.completed,
            failed=len(job.failed),
        )
        if not job.failed:
            job.end(statuses.SUCCESS)
            return
        listed = await anyio.to_thread.run_sync(write_failed, job.failed, job.transfer_syntax_uid)
        is_all = not (job.completed or job.warning)
        job.end(UNABLE_TO_PERFORM if is_all else SOME_FAILED, failed=listed)

    def _asked(self, job: _Job) -> list[_Instance]:
        try:
            query = read_query(job.data, job.transfer_syntax_uid)
            keys = {keyword: query.keys.get(keyword, "") for keyword in _UNIQUE_KEYS[query.level]}
            if not keys[_UNIQUE_KEYS[query.level][-1]]:
                raise CannotUnderstand(f"{_UNIQUE_KEYS[query.level][-1]} is empty")
            with self._archive.index.database.reading() as connection:
                rows = connection.execute(attachments(keys).limit(MAX_SUB_OPERATIONS + 1)).all()
        except CannotUnderstand as error:
            raise _Refused(DOES_NOT_MATCH_SOP_CLASS, str(error)) from error
        except IndexFailed as error:
            log.error("a retrieval could not be answered", error=str(error))
            raise _Refused(UNABLE_TO_PROCESS, "the index failed") from error
        if len(rows) > MAX_SUB_OPERATIONS:
            raise _Refused(UNABLE_TO_PERFORM, f"more than {MAX_SUB_OPERATIONS} instances")
        return [
            _Instance(
                row.sop_class_uid,
                row.sop_instance_uid,
                row.transfer_syntax_uid,
                attachment_of(row),
            )
            for row in rows
        ]

    async def _send_group(
        self, job: _Job, pairs: Sequence[Pair], instances: Sequence[_Instance]
    ) -> None:
        """Send what fits into one association; what is left when it breaks has failed."""
        host, port = self._destinations[job.request.move_destination]
        left = list(instances)
        try:
            async with associate(
                host,
                port,
                job.info.called_ae_title,
                job.request.move_destination,
                contexts=propose(pairs),
            ) as association:
                while left:
                    status = await self._store(association, job, left[0])
                    self._note(job, left.pop(0), status)
        except RouterError as error:
            log.warning(
                "a retrieval broke off",
                destination=job.request.move_destination,
                error=str(error),
            )
        job.failed += [one.sop_instance_uid for one in left]
        job.remaining -= len(left)

    async def _store(self, association: RequestedAssociation, job: _Job, one: _Instance) -> int:
        if not association.accepts(*one.pair):
            return statuses.SOP_CLASS_NOT_SUPPORTED
        originator = job.info.calling_ae_title, job.request.message_id
        try:
            source = await anyio.to_thread.run_sync(
                open_data_set, self._archive.storage, one.attachment
            )
        except SpoolFailed as error:
            log.error(
                "an instance cannot be sent",
                sop_instance_uid=one.sop_instance_uid,
                error=str(error),
            )
            return statuses.PROCESSING_FAILURE
        with closing(source):
            answer = await association.store(
                one.sop_class_uid,
                one.sop_instance_uid,
                one.transfer_syntax_uid,
                source,
                originator=originator,
            )
        return answer.status

    def _note(self, job: _Job, one: _Instance, status: int) -> None:
        """Count a sub-operation, and say how far it is."""
        job.remaining -= 1
        if status == statuses.SUCCESS:
            job.completed += 1
        elif statuses.is_stored(status):
            job.warning += 1
        else:
            job.failed.append(one.sop_instance_uid)
        message_id, sop_class = job.request.message_id, job.request.sop_class_uid
        job.respond(CMoveRSP(message_id, sop_class, PENDING, job.counts()))
