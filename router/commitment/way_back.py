"""Reports on the association that a request came on, as long as it is there."""

from __future__ import annotations

import anyio

from router.dicom import commitment, statuses, uids
from router.dicom.dimse import NEventReportRQ
from router.dicom.handlers import Invoker
from router.dicom.negotiation import AcceptedContext
from router.domain.commitment import CommitmentReport

ANSWER_WITHIN_S = 30.0


class WayBack:
    """The association and presentation context of one request."""

    def __init__(self, invoker: Invoker, context: AcceptedContext):
        self._invoker = invoker
        self._context = context

    async def report(self, report: CommitmentReport) -> bool:
        """Report; False when the modality does not take it here."""
        data = await anyio.to_thread.run_sync(
            commitment.write_report, report, self._context.transfer_syntax
        )
        request = NEventReportRQ(
            message_id=0,
            sop_class_uid=uids.STORAGE_COMMITMENT_PUSH,
            sop_instance_uid=uids.STORAGE_COMMITMENT_PUSH_INSTANCE,
            event_type_id=commitment.event_type(report),
        )
        answered = anyio.Event()
        answers: list[int | None] = []

        def invoked(status: int | None) -> None:
            answers.append(status)
            answered.set()

        self._invoker.invoke(self._context.context_id, request, data, invoked)
        with anyio.move_on_after(ANSWER_WITHIN_S):
            await answered.wait()
        status = answers[0] if answers else None
        is_taken = status is not None
        return is_taken and statuses.category(status or 0) is not statuses.StatusCategory.FAILURE
