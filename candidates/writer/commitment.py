"""Storage commitment as its SCP (PS3.4 annex J): says what the archive holds.

An instance is committed when the index has it and its file is there, as long as it was written. A
request is decided about at once and kept in memory: who gets no report asks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskStatus

from candidates.writer.archive import Archive
from candidates.writer.errors import WriterFailed
from router.commitment.sender import AssociationReportSender
from router.commitment.service import WayBack
from router.dicom import statuses
from router.domain.commitment import (
    CommitmentReport,
    CommitmentRequest,
    FailureReason,
    Reference,
    Requester,
    report,
)
from router.domain.errors import RouterError
from router.domain.retry import RetryPolicy
from router.net.exchange import RequestorTimeouts
from router.workers import Workers

MAX_WAITING = 64
REPORTERS = 4
ATTEMPTS = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    request: CommitmentRequest
    requester: Requester
    way_back: WayBack | None


class ArchiveCommitment:
    """Decides what is committed, and reports it."""

    def __init__(
        self,
        archive: Archive,
        addresses: Mapping[str, tuple[str, int]],
        retry: RetryPolicy | None = None,
    ):
        """``addresses``: where requesters take reports on an association of their own, by AE
        title. Others get them on the association that they asked on, or not at all.
        """
        self._archive = archive
        self._addresses = addresses
        self._sender = AssociationReportSender(addresses, 0, RequestorTimeouts())
        self._retry = retry or RetryPolicy()
        self._workers = Workers(self._work, REPORTERS, MAX_WAITING)

    async def accept(
        self, request: CommitmentRequest, requester: Requester, way_back: WayBack | None
    ) -> int:
        """Take a request on; the DIMSE status to answer."""
        if self._workers.offer(_Job(request, requester, way_back)):
            return statuses.SUCCESS
        return statuses.RESOURCE_LIMITATION

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Report until cancelled."""
        await self._workers.run(task_status=task_status)

    async def _work(self, job: _Job) -> None:
        said = await anyio.to_thread.run_sync(self._judged, job.request)
        await self._report(job, said)

    def _judged(self, request: CommitmentRequest) -> CommitmentReport:
        asked = {reference.sop_instance_uid for reference in request.references}
        try:
            classes = self._archive.held(asked)
        except (OSError, WriterFailed) as error:
            log.error("storage commitment: the archive cannot say what it holds", error=str(error))
            verdicts = [(one, FailureReason.PROCESSING_FAILURE) for one in request.references]
            return report(request.transaction_uid, verdicts)
        return report(
            request.transaction_uid, [(one, _verdict(one, classes)) for one in request.references]
        )

    async def _report(self, job: _Job, said: CommitmentReport) -> None:
        about = {
            "calling_ae_title": job.requester.calling_ae_title,
            "transaction_uid": said.transaction_uid,
            "committed": len(said.committed),
            "failed": len(said.failed),
        }
        reason = await self._undelivered(job, said)
        if reason:
            log.warning("storage commitment: the report was not taken", reason=reason, **about)
        else:
            log.info("storage commitment reported", **about)

    async def _undelivered(self, job: _Job, said: CommitmentReport) -> str:
        """Why the report could not be given; empty: the requester has it."""
        if job.way_back is not None and await job.way_back(said):
            return ""
        if job.requester.calling_ae_title not in self._addresses:
            return "the association is gone, and --report-to names no address"
        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._sender.send(job.requester, said)
            except RouterError as error:
                reason = str(error)
            else:
                return ""
            if attempt < ATTEMPTS:
                await anyio.sleep(self._retry.delay_s(attempt))
        return reason


def _verdict(reference: Reference, classes: Mapping[str, set[str]]) -> FailureReason | bool:
    found = classes.get(reference.sop_instance_uid)
    if not found:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    if reference.sop_class_uid not in found:
        return FailureReason.CLASS_INSTANCE_CONFLICT
    return True
