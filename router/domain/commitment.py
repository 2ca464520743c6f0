"""Storage commitment (PS3.4 annex J): who asked about what, and what can be answered. Pure.

A modality asks whether instances are safe. With ``delivered`` an instance is committed when every
required candidate holds it; with ``spooled`` when the router does. What fails, fails with a reason
of PS3.3 section C.14.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from router.domain.delivery import DeliveryItem, DeliveryState, ItemState


class CommitmentPolicy(StrEnum):
    """Who has to hold an instance before it is reported as committed."""

    DELIVERED = "delivered"  # every required candidate
    SPOOLED = "spooled"  # the router


class FailureReason(IntEnum):
    """Why an instance is not committed (PS3.3 section C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    REFERENCED_SOP_CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213


def describe_failure(reason: int) -> str:
    """A failure reason in words, with its number."""
    known = {member.value: member.name for member in FailureReason}
    words = known.get(reason, "unknown reason").replace("_", " ").lower()
    return f"not committed: {words} ({reason:04X})"


class TransactionState(StrEnum):
    """The life of a request for storage commitment."""

    OPEN = "open"  # not everything can be said yet, or the report has not been taken
    REPORTED = "reported"  # the modality has the report
    ABANDONED = "abandoned"  # the modality could not be reached for too long


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that a request is about."""

    sop_class_uid: str
    sop_instance_uid: str

    @classmethod
    def to(cls, item: DeliveryItem) -> Reference:
        """The reference to an instance that was sent."""
        return cls(item.sop_class_uid, item.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What an N-ACTION asks."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What an N-EVENT-REPORT says, or a comparison that stands for one.

    ``meanings`` has the words for reasons that a comparison gives, where PS3.3's would mislead.
    """

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]
    meanings: Mapping[int, str] = field(default_factory=dict)

    def describe(self, reason: int) -> str:
        """A failure reason in words."""
        return self.meanings.get(reason) or describe_failure(reason)


@dataclass(frozen=True, slots=True)
class Holding:
    """What the ledger knows of an instance that somebody asks about.

    ``required`` lists, for each required candidate that shall get it, the state of the delivery and
    of the instance in it; None: its revision has not been determined yet.
    """

    sop_class_uid: str
    is_accepted: bool  # in the spool, or delivered and reclaimed; not quarantined or discarded
    required: tuple[tuple[DeliveryState, ItemState], ...] | None


PENDING = None
"""Nothing can be said about the instance yet."""


def judge(
    reference: Reference, holding: Holding | None, policy: CommitmentPolicy
) -> FailureReason | bool | None:
    """True: committed; a reason: never will be; None: it cannot be said yet."""
    if holding is None or not holding.is_accepted:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    if reference.sop_class_uid != holding.sop_class_uid:
        return FailureReason.CLASS_INSTANCE_CONFLICT
    if policy is CommitmentPolicy.SPOOLED:
        return True
    if not holding.required:
        return PENDING  # not determined, or nobody is there who must have it
    awaited = [fate for fate in holding.required if fate[0] is not DeliveryState.DISMISSED]
    if not awaited or any(
        item is ItemState.REFUSED or state is DeliveryState.DEAD for state, item in awaited
    ):
        return FailureReason.PROCESSING_FAILURE
    if all(state is DeliveryState.DELIVERED for state, _ in awaited):
        return True
    return PENDING


def report(
    transaction_uid: str, verdicts: Iterable[tuple[Reference, FailureReason | bool | None]]
) -> CommitmentReport:
    """The report of a transaction; what is still undecided fails as a processing failure."""
    committed: list[Reference] = []
    failed: list[tuple[Reference, int]] = []
    for reference, verdict in verdicts:
        if verdict is True:
            committed.append(reference)
        else:
            failed.append((reference, int(verdict or FailureReason.PROCESSING_FAILURE)))
    return CommitmentReport(transaction_uid, tuple(committed), tuple(failed))


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked, and gets the report."""

    calling_ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """A commitment that a modality asked for, as the ledger keeps it."""

    id: int
    transaction_uid: str
    requester: Requester
    requested_at: datetime
    state: TransactionState
    attempts: int  # to report
    next_attempt_at: datetime | None
    reason: str


def uncommitted(report: CommitmentReport, asked: Iterable[Reference]) -> dict[str, int]:
    """The failure reason of each SOP Instance UID that was asked about and is not committed.

    What the report leaves out is not committed either, nor what it lists on both sides.
    """
    failed = {reference.sop_instance_uid: reason for reference, reason in report.failed}
    committed = {reference.sop_instance_uid for reference in report.committed}
    return {
        uid: failed.get(uid, int(FailureReason.PROCESSING_FAILURE))
        for uid in (reference.sop_instance_uid for reference in asked)
        if uid in failed or uid not in committed
    }
