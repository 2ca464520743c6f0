"""STOW-RS into the archive (PS3.18 section 10.5): a request is one transaction.

Its instances are sealed as they come, and committed together when all of it has come and each of
them can be stored. Otherwise nothing of it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from candidates.writer.index.recording import Arrival
from candidates.writer.scp import Answer, WriterReception, WriterService
from router.dicom import statuses
from router.dicom.dimse import CStoreRQ
from router.dicom.negotiation import AcceptedContext
from router.dicom.part10 import FileHeader
from router.dicomweb.results import Result
from router.dicomweb.storing import Outcome
from router.domain.errors import RouterError

SOURCE = "STOW-RS"
"""Stands for the calling AE title, which a request does not have."""
NOT_ALONE = "nothing of the request is stored: not all of it can be"


class StowUploads:
    """Opens an upload for each request."""

    is_behind = False

    def __init__(self, service: WriterService):
        self._service = service

    def open(self, address: str, study_instance_uid: str) -> StowUpload:
        """A request begins, for this study (empty: for any)."""
        return StowUpload(self._service, study_instance_uid)


class StowUpload:
    """One request; see :class:`router.ingress.uploads.PartTaker`."""

    def __init__(self, service: WriterService, study_instance_uid: str):
        self._service = service
        self._study = study_instance_uid
        self._sealed: list[Arrival] = []

    def begin(self, header: FileHeader) -> _Part:
        """An instance begins to arrive."""
        request = CStoreRQ(0, header.sop_class_uid, header.sop_instance_uid)
        context = AcceptedContext(1, header.sop_class_uid, header.transfer_syntax_uid)
        return _Part(
            self._study, WriterReception(self._service, SOURCE, request, context, self._keep)
        )

    def refuse(self, fault: RouterError) -> _Part:
        """Something arrives that cannot be an instance."""
        part = _Part(self._study, None)
        part.refuse(fault)
        return part

    def close(self, *, is_whole: bool) -> None:
        """All has come; of a request that broke off nothing is kept."""
        if not is_whole:
            self._discard()

    async def conclude(self, outcome: Outcome) -> Outcome:
        """Commit all of the request, or say of each instance that it is not stored."""
        if not outcome.is_all_stored:
            self._discard()
            status, comment = statuses.PROCESSING_FAILURE, NOT_ALONE
        elif self._sealed:
            status, comment = await self._service.commit_together(self._sealed)
        else:
            return outcome
        if status == statuses.SUCCESS:
            return outcome
        return replace(
            outcome, results=[_taken_back(one, status, comment) for one in outcome.results]
        )

    def _keep(self, arrival: Arrival) -> tuple[int, str]:
        if self._study and arrival.value("StudyInstanceUID") != self._study:
            self._service.archive.storage.discard(arrival.attachment.uuid)
            return statuses.STUDY_DOES_NOT_MATCH, f"the request is for study {self._study}"
        self._sealed.append(arrival)
        return statuses.SUCCESS, ""

    def _discard(self) -> None:
        while self._sealed:
            uuid = self._sealed.pop().attachment.uuid
            self._service.archive.storage.discard(uuid)


def _taken_back(result: Result, status: int, comment: str) -> Result:
    return replace(result, status=status, reason=comment) if result.is_stored else result


class _Part:
    """One instance while it arrives; see :class:`router.ingress.uploads.PartReception`."""

    def __init__(self, study_instance_uid: str, reception: WriterReception | None):
        self.study_instance_uid = study_instance_uid
        self._reception = reception
        self._fault: RouterError | None = None

    def refuse(self, fault: RouterError) -> None:
        """It is not to be taken, whatever comes."""
        self._fault = self._fault or fault
        self.abandon()

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take the next bytes."""
        if self._reception is not None:
            self._reception.write(fragments)

    def finish(self, answer: Answer) -> None:
        """The data set is complete."""
        if self._fault is not None or self._reception is None:
            status = statuses.CANNOT_UNDERSTAND if self._fault is None else self._fault.dimse_status
            answer(status, str(self._fault or ""))
            return
        reception, self._reception = self._reception, None
        reception.finish(answer)

    def abandon(self) -> None:
        """It breaks off in the middle."""
        if self._reception is not None:
            self._reception.abandon()
            self._reception = None
