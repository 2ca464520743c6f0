"""Studies as the HTTP API answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from router.admin.models.base import Answer
from router.admin.models.instances import QuarantinedInstance, RefusedInstance, RepeatedInstance
from router.domain.delivery import DeliveryState
from router.domain.study import RevisionState
from router.domain.views import RevisionDetail, StudyDetail, StudySummary


class Studies(Answer):
    """Some studies."""

    studies: Sequence[StudySummary]
    """Newest first."""
    next: int | None
    """The ``after`` of the next page; null: this is the last."""


class Study(Answer):
    """All about one study: its arrivals, what was decided, who has it."""

    study_instance_uid: str
    """Its Study Instance UID."""
    patient_id: str
    """Of the first instance that named one."""
    first_arrival_at: datetime
    """When its first instance arrived."""
    last_arrival_at: datetime
    """When its last instance arrived."""
    state: RevisionState | None
    """Of its latest revision; null: all that came is in quarantine."""
    instances: int
    """Accepted instances."""
    bytes: int
    """Of their data sets."""
    quarantined: int
    """Instances in quarantine."""
    repeated: int
    """Instances that repeat others of their name."""
    refused: int
    """Instances that were discarded or refused."""
    deliveries: Mapping[DeliveryState, int]
    """How many deliveries are in each state."""
    revisions: Sequence[RevisionDetail]
    """Oldest first, each with its decisions and deliveries."""
    quarantine: Sequence[QuarantinedInstance]
    """The newest instances in quarantine."""
    repeats: Sequence[RepeatedInstance]
    """The newest instances that repeat others."""
    refusals: Sequence[RefusedInstance]
    """The newest refusals."""

    @classmethod
    def of(cls, detail: StudyDetail) -> Study:
        """The answer for what the ledger knows."""
        summary = detail.summary
        return cls(
            study_instance_uid=summary.study_instance_uid,
            patient_id=summary.patient_id,
            first_arrival_at=summary.first_arrival_at,
            last_arrival_at=summary.last_arrival_at,
            state=summary.state,
            instances=summary.instances,
            bytes=summary.bytes,
            quarantined=summary.quarantined,
            repeated=detail.repeated,
            refused=detail.refused,
            deliveries=summary.deliveries,
            revisions=detail.revisions,
            quarantine=[QuarantinedInstance.of(entry) for entry in detail.quarantine],
            repeats=[RepeatedInstance.of(entry) for entry in detail.repeats],
            refusals=[RefusedInstance.of(entry) for entry in detail.refusals],
        )
