"""What administrators see: read-only values for the HTTP API and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from router.domain.delivery import Delivery, DeliveryState
from router.domain.instance import Disposition, Instance, Refusal
from router.domain.study import RevisionState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some entries of a list, newest first.

    ``next`` is the cursor to give as ``after`` for the page that follows; None: this is the last.
    Entries that come in later never move what a cursor points to.
    """

    items: Sequence[T]
    next: int | None


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One line of the list of studies."""

    study_instance_uid: str
    patient_id: str  # of the first instance that named one, else empty
    first_arrival_at: datetime
    last_arrival_at: datetime
    revisions: int
    state: RevisionState | None  # of the latest revision; None: all that came is in quarantine
    instances: int  # accepted
    bytes: int  # of data sets
    quarantined: int
    deliveries: Mapping[DeliveryState, int]  # how many in each state; states without any left out


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """What was decided about one candidate, and why."""

    ae_title: str
    matched: bool
    reason: str
    priority: int
    required: bool
    instances: int | None  # how many it gets; None: every instance of the revision


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One candidate determination."""

    decided_at: datetime
    choices: tuple[ChoiceView, ...]


@dataclass(frozen=True, slots=True)
class RevisionDetail:
    """One arrival of a study: its life, what was decided, and where its instances are."""

    id: int
    number: int
    state: RevisionState
    opened_at: datetime
    last_instance_at: datetime
    completed_at: datetime | None
    completed_by: str
    settled_at: datetime | None  # or discarded
    reclaimed_at: datetime | None
    instances: int
    bytes: int  # of data sets
    decisions: tuple[DecisionView, ...]  # oldest first; the last one stands
    deliveries: tuple[Delivery, ...]  # each counts what its candidate has, lacks and refused


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One instance in quarantine, with its ledger id."""

    id: int
    instance: Instance
    reclaimed_at: datetime | None  # None: its bytes are in the spool


@dataclass(frozen=True, slots=True)
class RepeatEntry:
    """One instance that repeats another, with its ledger id.

    A duplicate or a superseded one is not delivered; an accepted one has other bytes, and is. The
    reason names the other one.
    """

    id: int
    instance: Instance
    reclaimed_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefusalEntry:
    """One refusal, with its ledger id."""

    id: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class StudyDetail:
    """All that the ledger knows of one study.

    ``quarantine``, ``repeats`` and ``refusals`` hold the newest entries only; the counts are of
    all.
    """

    summary: StudySummary
    revisions: tuple[RevisionDetail, ...]  # oldest first
    quarantine: tuple[QuarantineEntry, ...]
    repeated: int
    repeats: tuple[RepeatEntry, ...]
    refused: int
    refusals: tuple[RefusalEntry, ...]


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt of a delivery."""

    number: int
    began_at: datetime
    ended_at: datetime | None  # None: it lasts, or the router stopped before it ended
    outcome: DeliveryState | None  # the state that it left the delivery in; None: it lasts
    reason: str


@dataclass(frozen=True, slots=True)
class UndeliveredItem:
    """One instance that the candidate does not hold, with its last answer."""

    instance_id: int
    sop_instance_uid: str
    refused: bool  # for good
    attempts: int
    status: int | None  # DIMSE status of the last answer; None where none came
    reason: str


@dataclass(frozen=True, slots=True)
class DeliveryDetail:
    """One delivery, every attempt with its reason, and the instances that were answered badly."""

    delivery: Delivery
    attempts: tuple[AttemptView, ...]  # oldest first
    undelivered: tuple[UndeliveredItem, ...]  # tried and not stored; at most 100


@dataclass(frozen=True, slots=True)
class Counts:
    """The ledger at a glance."""

    studies: int
    instances: int  # accepted
    bytes: int  # of their data sets
    quarantined: int
    revisions: Mapping[RevisionState, int]  # states without any are left out
    deliveries: Mapping[DeliveryState, int]
    refusals: Mapping[Disposition, int]
