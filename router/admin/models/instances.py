"""Instances that are not delivered, or not again, as the HTTP API answers them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from router.admin.models.base import Answer
from router.domain.instance import Disposition
from router.domain.views import QuarantineEntry, RefusalEntry, RepeatEntry


class QuarantinedInstance(Answer):
    """An instance that is kept, and delivered to nobody."""

    id: int
    """Its number in the ledger."""
    study_instance_uid: str
    """Its study."""
    sop_instance_uid: str
    """Its SOP Instance UID."""
    calling_ae_title: str
    """Who sent it."""
    address: str
    """From where."""
    received_at: datetime
    """When."""
    reason: str
    """Why it is in quarantine."""
    reclaimed_at: datetime | None
    """When its bytes left the spool; null: they are there."""

    @classmethod
    def of(cls, entry: QuarantineEntry) -> QuarantinedInstance:
        """The answer for an entry of the ledger."""
        instance = entry.instance
        return cls(
            id=entry.id,
            study_instance_uid=instance.identity.study_instance_uid,
            sop_instance_uid=instance.identity.sop_instance_uid,
            calling_ae_title=instance.provenance.calling_ae_title,
            address=instance.provenance.address,
            received_at=instance.provenance.received_at,
            reason=instance.reason,
            reclaimed_at=entry.reclaimed_at,
        )


class Quarantine(Answer):
    """Some instances in quarantine."""

    quarantine: Sequence[QuarantinedInstance]
    """Newest first."""
    next: int | None
    """The ``after`` of the next page; null: this is the last."""


class RepeatedInstance(Answer):
    """An instance that came again: there is another one of its name."""

    id: int
    """Its number in the ledger."""
    sop_instance_uid: str
    """Its SOP Instance UID."""
    calling_ae_title: str
    """Who sent it."""
    address: str
    """From where."""
    received_at: datetime
    """When."""
    disposition: Disposition
    """duplicate: the same bytes, not delivered; superseded: others, not delivered; accepted."""
    checksum: str
    """XXH3-64 of its data set."""
    reason: str
    """Which instance it repeats, and what is delivered."""
    reclaimed_at: datetime | None
    """When its bytes left the spool; null: they are there."""

    @classmethod
    def of(cls, entry: RepeatEntry) -> RepeatedInstance:
        """The answer for an entry of the ledger."""
        instance = entry.instance
        return cls(
            id=entry.id,
            sop_instance_uid=instance.identity.sop_instance_uid,
            calling_ae_title=instance.provenance.calling_ae_title,
            address=instance.provenance.address,
            received_at=instance.provenance.received_at,
            disposition=instance.disposition,
            checksum=instance.checksum,
            reason=instance.reason,
            reclaimed_at=entry.reclaimed_at,
        )


class RefusedInstance(Answer):
    """An instance that did not enter."""

    id: int
    """Its number in the ledger."""
    study_instance_uid: str
    """Its study, if it said so."""
    sop_instance_uid: str
    """Its SOP Instance UID."""
    calling_ae_title: str
    """Who sent it."""
    address: str
    """From where."""
    received_at: datetime
    """When."""
    disposition: Disposition
    """Discarded by a filter, or refused with a failure."""
    dimse_status: str
    """What was answered, four hexadecimal digits."""
    reason: str
    """Why."""

    @classmethod
    def of(cls, entry: RefusalEntry) -> RefusedInstance:
        """The answer for an entry of the ledger."""
        refusal = entry.refusal
        return cls(
            id=entry.id,
            study_instance_uid=refusal.identity.study_instance_uid,
            sop_instance_uid=refusal.identity.sop_instance_uid,
            calling_ae_title=refusal.provenance.calling_ae_title,
            address=refusal.provenance.address,
            received_at=refusal.provenance.received_at,
            disposition=refusal.disposition,
            dimse_status=f"{refusal.status:04X}",
            reason=refusal.reason,
        )


class Refusals(Answer):
    """Some refusals."""

    refusals: Sequence[RefusedInstance]
    """Newest first."""
    next: int | None
    """The ``after`` of the next page; null: this is the last."""
