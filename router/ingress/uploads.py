"""STOW-RS requests at the door: what an association is to C-STORE, an upload is to STOW-RS."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from router.dicom import uids
from router.dicom.negotiation import AcceptancePolicy, accepts_sop_class
from router.dicom.part10 import FileHeader
from router.domain.errors import ContextNotAccepted, RouterError, TransferSyntaxNotSupported
from router.domain.instance import Identity
from router.ingress.associations import AssociationWatch
from router.ingress.store import Door, Reception, Source

BY_UPLOAD = "a STOW-RS request held the study"


class Completes(StrEnum):
    """Which requests, when everything of them is stored, say that their studies are complete."""

    NAMED = "named"  # those for one study, by its URL
    EVERY = "every"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """What instances that come over HTTP are taken for."""

    source_ae_title: str
    called_ae_title: str
    completes: Completes = Completes.NAMED


class Uploads:
    """Opens uploads at the router's one door."""

    def __init__(
        self,
        door: Door,
        watch: AssociationWatch,
        acceptance: AcceptancePolicy,
        policy: UploadPolicy,
        complete_now: Callable[[str, str], bool],
    ):
        self._door = door
        self._watch = watch
        self._acceptance = acceptance
        self._policy = policy
        self._complete_now = complete_now

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
        return Upload(self._door, source, study_instance_uid, self._acceptance, self._end)

    def _end(self, upload: Upload, *, is_whole: bool) -> None:
        """Its studies may be complete soon, or now."""
        completes = self._policy.completes
        is_meant = completes is Completes.EVERY or (
            completes is Completes.NAMED and upload.study_instance_uid != ""
        )
        if is_whole and is_meant and not upload.failures:
            for study_uid in upload.stored:
                self._complete_now(study_uid, BY_UPLOAD)
        self._watch.disassociated(upload.source.association_id, released=is_whole)


class Upload:
    """One request that brings instances, one after the other.

    ``stored`` are the studies that it has brought something of, ``failures`` how many instances
    were not taken.
    """

    def __init__(
        self,
        door: Door,
        source: Source,
        study_instance_uid: str,
        acceptance: AcceptancePolicy,
        end: Callable[..., None],
    ):
        self._door = door
        self._acceptance = acceptance
        self._end = end
        self.source = source
        self.study_instance_uid = study_instance_uid
        self.stored: set[str] = set()
        self.failures = 0

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
        self._end(self, is_whole=is_whole)

    def _objection(self, header: FileHeader) -> RouterError | None:
        """Why no association would have a presentation context for this instance."""
        if not accepts_sop_class(header.sop_class_uid, self._acceptance):
            return ContextNotAccepted(f"SOP class {uids.name(header.sop_class_uid)} is not taken")
        if not uids.is_valid_uid(header.transfer_syntax_uid):
            return TransferSyntaxNotSupported(
                f"{header.transfer_syntax_uid} cannot be a transfer syntax"
            )
        return None
