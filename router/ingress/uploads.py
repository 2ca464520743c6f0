"""Part 10 files at the door: what an association is to C-STORE, an upload is to files.

An upload is a STOW-RS request, or what a watched folder holds until it is empty again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio

from router.dicom import uids
from router.dicom.handlers import Answer
from router.dicom.negotiation import AcceptancePolicy, accepts_sop_class
from router.dicom.part10 import FileHeader, FileHeaderReader
from router.domain.errors import (
    CannotUnderstand,
    ContextNotAccepted,
    NotAuthorised,
    RouterError,
    TransferSyntaxNotSupported,
)
from router.domain.instance import Identity
from router.ingress.associations import AssociationWatch
from router.ingress.store import Door, Reception, Source


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """What instances that come as files are taken for."""

    source_ae_title: str
    called_ae_title: str


class PartReception(Protocol):
    """One instance of an upload while it arrives."""

    @property
    def study_instance_uid(self) -> str:
        """Its study, as far as it is known."""
        ...

    def refuse(self, fault: RouterError) -> None:
        """It is not to be taken, whatever comes."""
        ...

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take the next bytes of the data set; keep no view, raise nothing."""
        ...

    def finish(self, answer: Answer) -> None:
        """The data set is complete: ``answer`` now or later."""
        ...

    def abandon(self) -> None:
        """It breaks off in the middle."""
        ...


class PartTaker(Protocol):
    """Takes the instances of one upload."""

    def begin(self, header: FileHeader) -> PartReception:
        """An instance begins to arrive, whose File Meta group said this."""
        ...

    def refuse(self, fault: RouterError) -> PartReception:
        """Something arrives that cannot be an instance."""
        ...

    def close(self, *, is_whole: bool) -> None:
        """The request is over; ``is_whole``: it did not break off."""
        ...


class Uploads:
    """Opens uploads at the router's one door."""

    def __init__(
        self,
        door: Door,
        watch: AssociationWatch,
        acceptance: AcceptancePolicy,
        policy: UploadPolicy,
    ):
        self._door = door
        self._watch = watch
        self._acceptance = acceptance
        self._policy = policy

    @property
    def is_behind(self) -> bool:
        """Whether nothing more can be taken in for now."""
        return self._door.recorder.is_behind

    def open(self, address: str, study_instance_uid: str) -> Upload:
        """A request begins, for this study (empty: for any)."""
        source = Source(
            calling_ae_title=self._policy.source_ae_title,
            called_ae_title=self._policy.called_ae_title,
            address=address,
            association_id=secrets.token_hex(6),
        )
        self._watch.associated(source.association_id)
        return Upload(self._door, source, study_instance_uid, self._acceptance, self._watch)


class Upload:
    """One request that brings instances, one after the other."""

    def __init__(
        self,
        door: Door,
        source: Source,
        study_instance_uid: str,
        acceptance: AcceptancePolicy,
        watch: AssociationWatch,
    ):
        self._door = door
        self._acceptance = acceptance
        self._watch = watch
        self.source = source
        self.study_instance_uid = study_instance_uid

    def begin(self, header: FileHeader) -> Reception:
        """An instance begins to arrive, whose File Meta group said this."""
        announced = Identity(
            sop_class_uid=header.sop_class_uid,
            sop_instance_uid=header.sop_instance_uid,
            study_instance_uid=self.study_instance_uid,
            series_instance_uid="",
            transfer_syntax_uid=header.transfer_syntax_uid,
        )
        return Reception(self._door, self.source, announced, self._objection(header))

    def refuse(self, fault: RouterError) -> Reception:
        """Something arrives that cannot be an instance."""
        announced = Identity("", "", self.study_instance_uid, "", "")
        return Reception(self._door, self.source, announced, fault)

    def close(self, *, is_whole: bool) -> None:
        """The request is over; ``is_whole``: its sender had finished, it did not break off."""
        self._watch.disassociated(self.source.association_id, released=is_whole)

    def _objection(self, header: FileHeader) -> RouterError | None:
        """Why no association would have a presentation context for this instance."""
        if not accepts_sop_class(header.sop_class_uid, self._acceptance):
            return ContextNotAccepted(f"SOP class {uids.name(header.sop_class_uid)} is not taken")
        if not uids.is_valid_uid(header.transfer_syntax_uid):
            return TransferSyntaxNotSupported(
                f"{header.transfer_syntax_uid} cannot be a transfer syntax"
            )
        return None


class FileReception:
    """One file while it arrives: its File Meta group first, then its data set.

    ``identity`` is its SOP class and instance, empty until they are known, as is
    ``study_instance_uid`` until it is whole. ``fault`` says that it cannot be a file, whatever
    comes.
    """

    def __init__(self, upload: PartTaker, max_bytes: int | None, fault: str = ""):
        self._upload = upload
        self._max_bytes = max_bytes
        self._bytes = 0
        self._head = FileHeaderReader()
        self._reception: PartReception | None = None
        self.identity = ("", "")
        self.study_instance_uid = ""
        if fault:
            self._reception = upload.refuse(CannotUnderstand(fault))

    def write(self, data: memoryview) -> None:
        """Take the next bytes; keeps no view, and never raises."""
        self._bytes += len(data)
        reception = self._reception
        if reception is None:
            self._read_head(data)
            return
        if self._max_bytes is not None and self._bytes > self._max_bytes:
            reception.refuse(
                NotAuthorised(f"larger than stow.max_instance, {self._max_bytes} bytes")
            )
        reception.write([data])

    def _read_head(self, data: memoryview) -> None:
        try:
            if self._head.feed(data) is not None:
                self._begin()
        except RouterError as fault:
            self._reception = self._upload.refuse(fault)

    def _begin(self) -> PartReception:
        """The head is whole: the data set begins. Raises ``CannotUnderstand``."""
        header = self._head.finish()
        self.identity = (header.sop_class_uid, header.sop_instance_uid)
        self._reception = self._upload.begin(header)
        self._reception.write([self._head.rest()])
        self._head = FileHeaderReader()
        return self._reception

    async def finish(self) -> tuple[int, str]:
        """The file is whole: its status as of C-STORE, once it is durable or refused, and why."""
        reception = self._reception
        if reception is None:
            try:
                reception = self._begin()
            except RouterError as fault:
                reception = self._upload.refuse(fault)
        answered = anyio.Event()
        answer = (0, "")

        def answer_with(status: int, comment: str) -> None:
            nonlocal answer
            answer = (status, comment)
            answered.set()

        reception.finish(answer_with)
        await answered.wait()
        self.study_instance_uid = reception.study_instance_uid
        return answer

    def abandon(self) -> None:
        """It breaks off in the middle: nothing of it remains."""
        if self._reception is not None:
            self._reception.abandon()
