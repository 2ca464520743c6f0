"""Reports to a modality on a new association, in the role of the SCP (PS3.4 section J.3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from router.dicom import commitment, statuses, uids
from router.dicom.negotiation import propose
from router.dicom.pdu import RoleSelection
from router.domain.commitment import CommitmentReport, Requester
from router.domain.errors import AssociationRejected
from router.net.exchange import RequestorTimeouts
from router.net.requestor import associate

_SYNTAX = uids.IMPLICIT_VR_LITTLE_ENDIAN


class AssociationReportSender:
    """Implements :class:`router.commitment.service.ReportSender`."""

    def __init__(
        self,
        addresses: Mapping[str, tuple[str, int]],
        default_port: int,
        timeouts: RequestorTimeouts,
    ):
        """Make a sender.

        ``addresses`` says where modalities take reports, by AE title; one that is not listed is
        called at ``default_port`` of the address that it asked from.
        """
        self._addresses = addresses
        self._default_port = default_port
        self._timeouts = timeouts

    async def send(self, requester: Requester, report: CommitmentReport) -> None:
        """Report, under the AE title that was asked; see the protocol."""
        default = requester.address, self._default_port
        host, port = self._addresses.get(requester.calling_ae_title, default)
        data = await anyio.to_thread.run_sync(commitment.write_report, report, _SYNTAX)
        async with associate(
            host,
            port,
            requester.called_ae_title,
            requester.calling_ae_title,
            contexts=propose([(uids.STORAGE_COMMITMENT_PUSH, _SYNTAX)]),
            roles=[RoleSelection(uids.STORAGE_COMMITMENT_PUSH, scu=False, scp=True)],
            timeouts=self._timeouts,
        ) as association:
            status = await association.report(
                uids.STORAGE_COMMITMENT_PUSH,
                uids.STORAGE_COMMITMENT_PUSH_INSTANCE,
                commitment.event_type(report),
                data,
            )
        if statuses.category(status) is statuses.StatusCategory.FAILURE:
            raise AssociationRejected(
                f"{requester.calling_ae_title} answered the report with {statuses.describe(status)}"
            )
