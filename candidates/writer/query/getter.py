"""C-GET as its SCP (PS3.4 section C.4.3): returns what is asked for on the same association."""

from __future__ import annotations

from collections.abc import Mapping
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
from router.dicom.dimse import CGetRQ, Message
from router.dicom.handlers import AssociationInfo, Respond
from router.dicom.negotiation import AcceptedContext, Pair
from router.domain.errors import RouterError
from router.workers import Workers

WORKERS = 16
"""More than for C-MOVE: here the one who asks decides how fast it goes."""
MAX_WAITING = 64

_Get = Retrieval[CGetRQ]

log = structlog.get_logger(__name__)


class Getter:
    """Returns instances of an archive to those who negotiated to be their SCP."""

    def __init__(self, archive: Archive):
        self._archive = archive
        self._workers = Workers(self._work, WORKERS, MAX_WAITING)

    def request(
        self,
        info: AssociationInfo,
        message: Message,
        context: AcceptedContext,
        data: bytes | None,
        respond: Respond,
    ) -> bool:
        """Take a C-GET of the Study Root model."""
        if not isinstance(message, CGetRQ) or context.abstract_syntax != uids.STUDY_ROOT_GET:
            return False
        job = _Get(info, message, context.transfer_syntax, data or b"", respond)
        if not self._workers.offer(job):
            job.refuse(UNABLE_TO_PERFORM, "too many retrievals wait")
        return True

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        await self._workers.run(task_status=task_status)

    async def _work(self, job: _Get) -> None:
        try:
            await self._get(job)
        except Refused as refused:
            job.refuse(refused.status, refused.comment)
        except RouterError as error:
            log.warning("a retrieval broke off", error=str(error), **_progress(job))

    async def _get(self, job: _Get) -> None:
        instances = await job.instances(self._archive)
        contexts = _contexts(job.info)
        for one in instances:
            if job.info.returner.is_cancelled:
                log.info("a retrieval was cancelled", **_progress(job))
                await job.cancelled()
                return
            job.note(one, await self._store(job.info, contexts, one))
        log.info("retrieved", **_progress(job))
        await job.conclude()

    async def _store(
        self, info: AssociationInfo, contexts: Mapping[Pair, int], one: Instance
    ) -> int:
        context_id = contexts.get(one.pair)
        if context_id is None:
            return statuses.SOP_CLASS_NOT_SUPPORTED
        source = await opened(self._archive, one)
        if source is None:
            return statuses.PROCESSING_FAILURE
        with closing(source):
            return await info.returner.store(
                context_id, one.sop_class_uid, one.sop_instance_uid, source
            )


def _progress(job: _Get) -> dict[str, str | int]:
    return {
        "calling_ae_title": job.info.calling_ae_title,
        "completed": job.completed,
        "failed": len(job.failed),
        "remaining": job.remaining,
    }


def _contexts(info: AssociationInfo) -> dict[Pair, int]:
    """The presentation contexts in which the peer takes instances."""
    return {
        (context.abstract_syntax, context.transfer_syntax): context.context_id
        for context in info.contexts.values()
        if context.abstract_syntax in info.returned_classes
    }
