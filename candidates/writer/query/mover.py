"""C-MOVE as its SCP (PS3.4 section C.4.2): sends what is asked for to an AE that it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import anyio
import structlog
from anyio.abc import TaskStatus

from candidates.writer.archive import Archive
from candidates.writer.query.retrieval import (
    UNABLE_TO_PERFORM,
    Instance,
    Refused,
    Retrieval,
    opened,
)
from router.dicom import statuses, uids
from router.dicom.dimse import CMoveRQ, Message
from router.dicom.handlers import AssociationInfo, Respond
from router.dicom.negotiation import AcceptedContext, Pair, group_contexts, propose
from router.domain.errors import RouterError
from router.net.requestor import RequestedAssociation, associate
from router.workers import Workers

WORKERS = 2
MAX_WAITING = 16
DESTINATION_UNKNOWN = 0xA801

_Move = Retrieval[CMoveRQ]

log = structlog.get_logger(__name__)


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
        job = _Move(info, message, context.transfer_syntax, data or b"", respond)
        if message.move_destination not in self._destinations:
            job.refuse(DESTINATION_UNKNOWN, f"unknown: {message.move_destination}")
        elif not self._workers.offer(job):
            job.refuse(UNABLE_TO_PERFORM, "too many retrievals wait")
        return True

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        await self._workers.run(task_status=task_status)

    async def _work(self, job: _Move) -> None:
        try:
            await self._move(job)
        except Refused as refused:
            job.refuse(refused.status, refused.comment)

    async def _move(self, job: _Move) -> None:
        instances = await job.instances(self._archive)
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
        await job.conclude()

    async def _send_group(
        self, job: _Move, pairs: Sequence[Pair], instances: Sequence[Instance]
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
                    job.note(left.pop(0), status)
        except RouterError as error:
            log.warning(
                "a retrieval broke off",
                destination=job.request.move_destination,
                error=str(error),
            )
        job.give_up(left)

    async def _store(self, association: RequestedAssociation, job: _Move, one: Instance) -> int:
        if not association.accepts(*one.pair):
            return statuses.SOP_CLASS_NOT_SUPPORTED
        source = await opened(self._archive, one)
        if source is None:
            return statuses.PROCESSING_FAILURE
        with closing(source):
            answer = await association.store(
                one.sop_class_uid,
                one.sop_instance_uid,
                one.transfer_syntax_uid,
                source,
                originator=(job.info.calling_ae_title, job.request.message_id),
            )
        return answer.status
