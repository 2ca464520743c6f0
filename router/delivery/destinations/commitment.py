"""Storage commitment asked of candidates, in the role of the SCU (PS3.4 annex J)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import uuid4

import anyio

from router.delivery.destinations.secrets import tls_of
from router.dicom import commitment, statuses, uids
from router.dicom.dimse import NEventReportRQ
from router.dicom.negotiation import propose
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport, CommitmentRequest, Reference
from router.domain.errors import AssociationRejected, PeerTimeout
from router.net.exchange import RequestorTimeouts
from router.net.requestor import RequestedAssociation, associate

LINGER_S = 5.0
"""A report is awaited for so long on the association that it was asked for on."""
_SYNTAX = uids.IMPLICIT_VR_LITTLE_ENDIAN


class Awaited(Protocol):
    """A report that may come in on an association of the candidate's own."""

    def put(self, report: CommitmentReport) -> None:
        """Take a report that has come another way."""
        ...

    async def wait(self) -> CommitmentReport:
        """Wait for it, whichever way it comes."""
        ...


class Expecting(Protocol):
    """Whoever hands in the reports that come in on associations of candidates' own."""

    def expected(self, transaction_uid: str) -> AbstractContextManager[Awaited]:
        """Expect a report as long as the block runs."""
        ...


class CommitmentRequestor:
    """Asks candidates to commit themselves, each time in a new transaction."""

    def __init__(
        self,
        ae_title: str,
        timeouts: RequestorTimeouts,
        expecting: Expecting,
        report_within_s: float,
        linger_s: float = LINGER_S,
    ):
        """``ae_title`` is the calling AE title that candidates see, and that they report to."""
        self._ae_title = ae_title
        self._timeouts = timeouts
        self._expecting = expecting
        self._report_within_s = report_within_s
        self._linger_s = linger_s

    async def ask(self, candidate: Candidate, references: Sequence[Reference]) -> CommitmentReport:
        """Ask, and wait for the report: where it was asked, or on another association."""
        transaction_uid = f"2.25.{uuid4().int}"
        request = CommitmentRequest(transaction_uid, tuple(references))
        data = await anyio.to_thread.run_sync(commitment.write_request, request, _SYNTAX)
        with self._expecting.expected(transaction_uid) as awaited:
            try:
                with anyio.fail_after(self._report_within_s):
                    await self._associate(candidate, transaction_uid, data, awaited)
                    return await awaited.wait()
            except TimeoutError:
                raise PeerTimeout(
                    f"{candidate.ae_title} did not report on storage commitment within "
                    f"{self._report_within_s:g} s; it must know {self._ae_title} by its address"
                ) from None

    async def _associate(
        self, candidate: Candidate, transaction_uid: str, data: bytes, awaited: Awaited
    ) -> None:
        ear = _Ear()
        async with associate(
            candidate.host,
            candidate.port,
            self._ae_title,
            candidate.ae_title,
            contexts=propose([(uids.STORAGE_COMMITMENT_PUSH, _SYNTAX)]),
            timeouts=self._timeouts,
            reported=ear,
            ssl_context=await tls_of(candidate),
        ) as association:
            status = await association.action(
                uids.STORAGE_COMMITMENT_PUSH,
                uids.STORAGE_COMMITMENT_PUSH_INSTANCE,
                commitment.REQUEST_STORAGE_COMMITMENT,
                data,
            )
            if status != statuses.SUCCESS:
                raise AssociationRejected(
                    f"{candidate.ae_title} answered the request for storage commitment with "
                    f"{statuses.describe(status)}"
                )
            await self._linger(association, ear, awaited)
        if ear.data is not None:
            report = await anyio.to_thread.run_sync(commitment.read_report, ear.data, _SYNTAX)
            if report.transaction_uid == transaction_uid:
                awaited.put(report)

    async def _linger(self, association: RequestedAssociation, ear: _Ear, awaited: Awaited) -> None:
        """Stay until the report has come, here or elsewhere, but not for long."""
        async with anyio.create_task_group() as tasks:

            async def leave_when_reported() -> None:
                await awaited.wait()
                tasks.cancel_scope.cancel()

            async def leave_when_heard() -> None:
                await ear.heard.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(leave_when_reported)
            tasks.start_soon(leave_when_heard)
            await association.listen(self._linger_s)
            tasks.cancel_scope.cancel()


class _Ear:
    """Takes the report if it comes on the association that it was asked for on."""

    def __init__(self) -> None:
        self.heard = anyio.Event()
        self.data: bytes | None = None

    def __call__(self, request: NEventReportRQ, data: bytes) -> int:
        if request.sop_class_uid != uids.STORAGE_COMMITMENT_PUSH:
            return statuses.NO_SUCH_SOP_CLASS
        self.data = data
        self.heard.set()
        return statuses.SUCCESS
