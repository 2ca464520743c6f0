"""What the HTTP API answers, and which queries it understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, WithJsonSchema

from router.domain.candidate import Candidate, CandidateState, Level, Origin
from router.domain.criteria import as_json
from router.domain.delivery import Delivery, DeliveryState
from router.domain.instance import Disposition
from router.domain.study import RevisionState
from router.domain.views import (
    AttemptView,
    QuarantineEntry,
    RefusalEntry,
    RepeatEntry,
    RevisionDetail,
    StudyDetail,
    StudySummary,
    UndeliveredItem,
)
from router.registry.entry import Entry
from router.settings.hours import HoursText
from router.settings.values import CRITERIA_SCHEMA, AETitle, PriorityName

Limit = Annotated[int, Field(ge=1, le=1000)]
CriteriaJson = Annotated[Any, WithJsonSchema(CRITERIA_SCHEMA)]
Cursor = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """Anything that the API answers."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Query(BaseModel):
    """The query of a request; unknown parameters are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Command(BaseModel):
    """The body of a request; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PageQuery(Query):
    """Which part of a list, newest first."""

    limit: Limit = 100
    """Entries at most."""
    after: Cursor | None = None
    """The ``next`` of the page before."""


class StudyQuery(PageQuery):
    """Which studies."""

    state: RevisionState | None = None
    """Only studies with any revision in this state."""
    patient_id: str | None = None
    """Only studies of this patient."""


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    state: DeliveryState | None = None
    """Only deliveries in this state."""
    candidate: str | None = None
    """Only deliveries to the candidate with this AE title."""


class RefusalQuery(PageQuery):
    """Which refusals."""

    disposition: Literal["discarded", "refused"] | None = None
    """Only what a discard filter dropped, or only what was answered with a failure."""


class Done(Answer):
    """The request has been carried out."""

    status: Literal["ok"] = "ok"
    """Always ok: everything else is a problem."""


class CandidateAnswer(Answer):
    """A candidate as determination sees it: what it said, with the routing YAML on top."""

    ae_title: str
    """Its AE title."""
    host: str
    """Where it is; empty: on no machine of its own."""
    port: int
    """The port that it is reached at; 0: at none."""
    kind: str
    """How it is reached."""
    address: str
    """The whole of its address: host and port, or a URL."""
    criteria: CriteriaJson | None
    """Its routing criteria; null: it gets every study (a backup writer)."""
    discard: tuple[CriteriaJson, ...]
    """Studies that match any of these are not for it."""
    level: Level
    """What its criteria decide about."""
    priority: PriorityName
    """Place of its studies in its queue."""
    required: bool
    """Whether a study is settled only when it has it."""
    associations: int
    """Parallel associations at most."""
    rate: int | None
    """Bytes per second at most; null: as fast as it goes."""
    window: tuple[HoursText, ...]
    """When it is sent to; empty: always."""
    commitment: bool
    """Whether it is asked for storage commitment of each study."""
    origin: Origin
    """Whether it stands in the routing YAML or registered itself."""
    state: CandidateState
    """Live; lapsed (silent, studies are held for it); or draining (gets nothing new)."""
    registered_at: datetime | None
    """When it last registered; null: never."""
    last_seen_at: datetime | None
    """When it last registered, sent a heartbeat, or answered a C-ECHO; null: unknown."""
    lease_expires_at: datetime | None
    """When it is probed unless it sends a heartbeat; null: never."""
    displaced: str | None
    """Address of a writer that still held this AE title when another registered it."""

    @classmethod
    def of(cls, candidate: Candidate, entry: Entry | None) -> CandidateAnswer:
        """The answer for a candidate, and its registration if it has one."""
        return cls(
            ae_title=candidate.ae_title,
            host=candidate.host,
            port=candidate.port,
            kind=candidate.kind,
            address=candidate.address,
            criteria=None if candidate.criteria is None else as_json(candidate.criteria),
            discard=tuple(map(as_json, candidate.discard)),
            level=candidate.level,
            priority=candidate.priority,
            required=candidate.required,
            associations=candidate.associations,
            rate=candidate.rate,
            window=candidate.window,
            commitment=candidate.commitment,
            origin=candidate.origin,
            state=candidate.state,
            registered_at=candidate.registered_at,
            last_seen_at=entry.last_seen_at if entry else None,
            lease_expires_at=candidate.lease_expires_at,
            displaced=entry.displaced if entry else None,
        )


class Candidates(Answer):
    """All candidates."""

    candidates: Sequence[CandidateAnswer]
    """By AE title."""


class Registered(Answer):
    """A registration, or a heartbeat, was taken in."""

    status: Literal["ok"] = "ok"
    """Always ok: everything else is a problem."""
    candidate: CandidateAnswer
    """The candidate that the writer is now."""
    lease_s: float
    """Seconds without a heartbeat after which the writer is probed."""
    heartbeat_s: float
    """Seconds between the heartbeats that the router asks for."""


class Studies(Answer):
    """Some studies."""

    studies: Sequence[StudySummary]
    """Newest first."""
    next: int | None
    """The ``after`` of the next page; null: this is the last."""


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


class Quarantine(Answer):
    """Some instances in quarantine."""

    quarantine: Sequence[QuarantinedInstance]
    """Newest first."""
    next: int | None
    """The ``after`` of the next page; null: this is the last."""


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


class Deliveries(Answer):
    """Some deliveries."""

    deliveries: Sequence[Delivery]
    """Newest first."""
    next: int | None
    """The ``after`` of the next page; null: this is the last."""


class DeliveryAnswer(Answer):
    """All about one delivery."""

    delivery: Delivery
    """Its state and counts."""
    attempts: Sequence[AttemptView]
    """Oldest first, each with its reason."""
    undelivered: Sequence[UndeliveredItem]
    """Instances that were tried and that the candidate does not hold; at most 100."""


class DeliveryChanged(Answer):
    """A person's decision about a delivery was carried out."""

    status: Literal["ok"] = "ok"
    """Always ok: everything else is a problem."""
    delivery: Delivery
    """As it stands now."""


class Redirection(Command):
    """Where a delivery goes instead."""

    aet: AETitle
    """AE title of a candidate that is known."""


class Redirected(Answer):
    """A delivery goes to another candidate."""

    status: Literal["ok"] = "ok"
    """Always ok: everything else is a problem."""
    delivery: Delivery
    """The new one."""
    dismissed: Delivery
    """The one that it replaces."""


class Dismissal(Command):
    """Why a delivery is not needed."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    """For those who ask later."""


class Resending(Command):
    """Who gets a study again."""

    aet: Annotated[tuple[AETitle, ...], Field(min_length=1)] | None = None
    """AE titles of candidates that are known; left out: all that the study was given to."""


class Resent(Answer):
    """A study is sent again."""

    status: Literal["ok"] = "ok"
    """Always ok: everything else is a problem."""
    deliveries: Sequence[Delivery]
    """The new ones."""


class Document(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""
