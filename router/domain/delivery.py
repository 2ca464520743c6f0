"""Deliveries: one revision on its way to one candidate, and what became of each instance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from router.domain.errors import StateConflict
from router.domain.instance import SpoolRef


class DeliveryState(StrEnum):
    """The life of a delivery."""

    PENDING = "pending"
    ACTIVE = "active"
    RETRYING = "retrying"
    COMMITTING = "committing"  # everything is sent; the candidate is asked whether it is safe
    DELIVERED = "delivered"
    DEAD = "dead"
    DISMISSED = "dismissed"  # a person decided that the candidate does not need it

    @property
    def is_terminal(self) -> bool:
        """No attempt will follow unless a person asks for one."""
        return self in (DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.DISMISSED)


class DeliveryEvent(StrEnum):
    """What happens to a delivery."""

    BEGIN = "begin"  # an attempt
    INTERRUPT = "interrupt"  # the router stopped during an attempt
    POSTPONE = "postpone"  # to a later attempt: after a temporary failure, or nobody is there
    ASK = "ask"  # every instance is stored; now the candidate has to commit itself to them
    DELIVER = "deliver"  # every instance is stored at the candidate, and committed if it has to be
    GIVE_UP = "give up"  # nothing more can be sent, or should be
    REVIVE = "revive"  # a person asks for another attempt, at once
    DISMISS = "dismiss"  # a person decides that it is not to be made


DELIVERY_TRANSITIONS = {
    (DeliveryState.PENDING, DeliveryEvent.BEGIN): DeliveryState.ACTIVE,
    (DeliveryState.PENDING, DeliveryEvent.POSTPONE): DeliveryState.RETRYING,
    (DeliveryState.PENDING, DeliveryEvent.GIVE_UP): DeliveryState.DEAD,
    (DeliveryState.ACTIVE, DeliveryEvent.INTERRUPT): DeliveryState.PENDING,
    (DeliveryState.ACTIVE, DeliveryEvent.POSTPONE): DeliveryState.RETRYING,
    (DeliveryState.ACTIVE, DeliveryEvent.DELIVER): DeliveryState.DELIVERED,
    (DeliveryState.ACTIVE, DeliveryEvent.GIVE_UP): DeliveryState.DEAD,
    (DeliveryState.ACTIVE, DeliveryEvent.ASK): DeliveryState.COMMITTING,
    (DeliveryState.COMMITTING, DeliveryEvent.ASK): DeliveryState.COMMITTING,
    (DeliveryState.COMMITTING, DeliveryEvent.INTERRUPT): DeliveryState.COMMITTING,
    (DeliveryState.COMMITTING, DeliveryEvent.POSTPONE): DeliveryState.RETRYING,
    (DeliveryState.COMMITTING, DeliveryEvent.DELIVER): DeliveryState.DELIVERED,
    (DeliveryState.COMMITTING, DeliveryEvent.GIVE_UP): DeliveryState.DEAD,
    (DeliveryState.COMMITTING, DeliveryEvent.DISMISS): DeliveryState.DISMISSED,
    (DeliveryState.RETRYING, DeliveryEvent.BEGIN): DeliveryState.ACTIVE,
    (DeliveryState.RETRYING, DeliveryEvent.POSTPONE): DeliveryState.RETRYING,
    (DeliveryState.RETRYING, DeliveryEvent.GIVE_UP): DeliveryState.DEAD,
    (DeliveryState.RETRYING, DeliveryEvent.REVIVE): DeliveryState.PENDING,
    (DeliveryState.DEAD, DeliveryEvent.REVIVE): DeliveryState.PENDING,
    (DeliveryState.PENDING, DeliveryEvent.DISMISS): DeliveryState.DISMISSED,
    (DeliveryState.RETRYING, DeliveryEvent.DISMISS): DeliveryState.DISMISSED,
    (DeliveryState.DEAD, DeliveryEvent.DISMISS): DeliveryState.DISMISSED,
}
"""The whole life of a delivery: a pair that is not here cannot happen."""


def next_delivery_state(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """The state after an event; raises ``StateConflict`` where the event cannot happen."""
    following = DELIVERY_TRANSITIONS.get((state, event))
    if following is None:
        allowed = [known for known, what in DELIVERY_TRANSITIONS if what is event]
        raise StateConflict(
            f"cannot {event} a delivery that is {state}; it would have to be {' or '.join(allowed)}"
        )
    return following


def is_settled(fates: Iterable[tuple[DeliveryState, bool]]) -> bool:
    """Whether a revision with these deliveries, each with whether it is required, is settled.

    It depends on its required deliveries, or, if it has none, on all of them; those that a person
    dismissed do not count.
    """
    counted = [fate for fate in fates if fate[0] is not DeliveryState.DISMISSED]
    awaited = [state for state, required in counted if required] or [state for state, _ in counted]
    return all(state is DeliveryState.DELIVERED for state in awaited)


class ItemState(StrEnum):
    """What became of one instance of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    REFUSED = "refused"  # a permanent refusal by the candidate: it will not be sent again


class OutcomeKind(StrEnum):
    """What one attempt to send one instance came to."""

    STORED = "stored"  # success, or a warning that counts as stored
    TEMPORARY = "temporary"  # try again later
    PERMANENT = "permanent"  # this candidate will never take this instance


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a candidate for one instance."""

    kind: OutcomeKind
    status: int | None  # DIMSE status, None where no answer came
    reason: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What speaks against an instance: the candidate that it took down, and how often."""

    ae_title: str
    drops: int  # of associations


@dataclass(frozen=True, slots=True)
class DeliveryItem:
    """One instance to be sent for a delivery."""

    instance_id: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    ref: SpoolRef
    checksum: str
    attempts: int
    drops: int = 0  # associations that dropped on it so far
    suspicion: Suspicion | None = None  # from another candidate


@dataclass(frozen=True, slots=True)
class ItemResult:
    """An outcome to be kept in the ledger."""

    instance_id: int
    outcome: Outcome
    at: datetime
    drops: int = 0  # associations that dropped on the instance so far


@dataclass(frozen=True, slots=True)
class Delivery:
    """One revision on its way to one candidate."""

    id: int
    revision_id: int
    study_instance_uid: str
    revision_number: int
    ae_title: str
    state: DeliveryState
    priority: int  # smaller is sooner
    required: bool
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    reason: str
    instances: int  # in all
    delivered: int  # instances stored at the candidate
    refused: int  # instances refused for good
    total_bytes: int
    remaining_bytes: int
    revived_at: datetime | None = None  # when a person asked for another attempt

    @property
    def tried_since(self) -> datetime:
        """Since when attempts are made: what decides when they are given up."""
        return self.revived_at or self.created_at
