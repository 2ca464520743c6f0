"""Storage commitment as operations on accepted associations (PS3.4 annex J).

N-ACTION from modalities that ask, N-EVENT-REPORT from candidates that answer. Both carry data sets
that may be long: they are read in worker threads, and answered when that is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from router.commitment.awaited import AwaitedReports
from router.commitment.service import WayBack as Report
from router.commitment.way_back import WayBack
from router.dicom import commitment, statuses, uids
from router.dicom.dimse import Message, NActionRQ, NActionRSP, NEventReportRQ, NEventReportRSP
from router.dicom.handlers import AssociationInfo, Respond
from router.dicom.negotiation import AcceptedContext
from router.domain.commitment import CommitmentRequest, Requester
from router.domain.errors import CannotUnderstand, RouterError
from router.workers import Workers

WORKERS = 2
MAX_WAITING = 64
MAX_WAITING_BYTES = 32 << 20
"""Of data sets; the request of a study of thousands is a megabyte."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    requester: Requester
    message: NActionRQ | NEventReportRQ
    transfer_syntax_uid: str
    data: bytes
    respond: Respond
    way_back: WayBack


class Commitments(Protocol):
    """Who decides about the requests."""

    async def accept(
        self, request: CommitmentRequest, requester: Requester, way_back: Report | None
    ) -> int:
        """Take a request on, to report later; the DIMSE status to answer."""
        ...


class CommitmentOperations:
    """Takes the requests of all associations, and answers each when it has been dealt with."""

    def __init__(self, service: Commitments, awaited: AwaitedReports):
        self._service = service
        self._awaited = awaited
        self._workers = Workers(self._work, WORKERS, MAX_WAITING)
        self._waiting_bytes = 0

    def request(
        self,
        info: AssociationInfo,
        message: Message,
        context: AcceptedContext,
        data: bytes | None,
        respond: Respond,
    ) -> bool:
        """Take a request; False: it is none of storage commitment."""
        is_commitment = context.abstract_syntax == uids.STORAGE_COMMITMENT_PUSH
        if not is_commitment or not isinstance(message, NActionRQ | NEventReportRQ):
            return False
        status = _objection(message, data)
        if status is None:
            job = _Job(
                Requester(info.calling_ae_title, info.called_ae_title, info.peer.host),
                message,
                context.transfer_syntax,
                data or b"",
                respond,
                WayBack(info.invoker, context),
            )
            status = None if self._enqueued(job) else statuses.RESOURCE_LIMITATION
        if status is not None:
            respond(_response(message, status))
        return True

    def _enqueued(self, job: _Job) -> bool:
        """Whether there was room for it."""
        size = len(job.data)
        if self._waiting_bytes + size > MAX_WAITING_BYTES or not self._workers.offer(job):
            return False
        self._waiting_bytes += size
        return True

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled."""
        await self._workers.run(task_status=task_status)

    async def _work(self, job: _Job) -> None:
        self._waiting_bytes -= len(job.data)
        job.respond(_response(job.message, await self._deal_with(job)))

    async def _deal_with(self, job: _Job) -> int:
        try:
            if isinstance(job.message, NActionRQ):
                return await self._accept(job)
            return await self._take(job)
        except RouterError as error:
            log.warning(
                "storage commitment: a message could not be dealt with",
                calling_ae_title=job.requester.calling_ae_title,
                address=job.requester.address,
                error=str(error),
            )
            refused = isinstance(error, CannotUnderstand)
            return statuses.INVALID_ARGUMENT if refused else type(error).dimse_status
        except Exception:  # one message of one peer shall not cost the router
            log.exception(
                "storage commitment: a message could not be dealt with for an unexpected reason",
                calling_ae_title=job.requester.calling_ae_title,
                address=job.requester.address,
            )
            return statuses.PROCESSING_FAILURE

    async def _accept(self, job: _Job) -> int:
        request = await anyio.to_thread.run_sync(
            commitment.read_request, job.data, job.transfer_syntax_uid
        )
        return await self._service.accept(request, job.requester, job.way_back.report)

    async def _take(self, job: _Job) -> int:
        report = await anyio.to_thread.run_sync(
            commitment.read_report, job.data, job.transfer_syntax_uid
        )
        if not self._awaited.take(report):
            log.info(
                "storage commitment: a report that nobody waits for",
                calling_ae_title=job.requester.calling_ae_title,
                transaction_uid=report.transaction_uid,
            )
        return statuses.SUCCESS


def _objection(message: NActionRQ | NEventReportRQ, data: bytes | None) -> int | None:
    """The status that says what is wrong with the message itself; None: nothing."""
    if message.sop_class_uid != uids.STORAGE_COMMITMENT_PUSH:
        return statuses.NO_SUCH_SOP_CLASS
    if message.sop_instance_uid != uids.STORAGE_COMMITMENT_PUSH_INSTANCE:
        return statuses.NO_SUCH_OBJECT_INSTANCE
    if isinstance(message, NActionRQ):
        if message.action_type_id != commitment.REQUEST_STORAGE_COMMITMENT:
            return statuses.NO_SUCH_ACTION
    elif message.event_type_id not in (commitment.ALL_COMMITTED, commitment.SOME_FAILED):
        return statuses.NO_SUCH_EVENT_TYPE
    return None if data else statuses.INVALID_ARGUMENT


def _response(message: NActionRQ | NEventReportRQ, status: int) -> Message:
    number, sop_class, instance = (
        message.message_id,
        message.sop_class_uid,
        message.sop_instance_uid,
    )
    if isinstance(message, NActionRQ):
        return NActionRSP(number, sop_class, instance, message.action_type_id, status)
    return NEventReportRSP(number, sop_class, instance, message.event_type_id, status)
