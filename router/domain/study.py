"""Studies and their revisions: one revision is one arrival, from first instance to completion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from router.domain.errors import StateConflict
from router.domain.instance import Instance


class RevisionState(StrEnum):
    """The life of a revision."""

    OPEN = "open"  # instances still arrive
    HELD = "held"  # took too long: nobody gets it until a person says that it is complete
    DISCARDED = "discarded"  # took too long, and is not wanted then: nobody gets it
    UNROUTED = "unrouted"  # complete, and no candidate matches: held, determined again later
    ROUTED = "routed"  # complete, deliveries exist
    SETTLED = "settled"  # every required delivery is delivered
    RECLAIMED = "reclaimed"  # its bytes have left the spool


class RevisionEvent(StrEnum):
    """What happens to a revision."""

    COMPLETE = "complete"  # the policy takes it for complete, or someone says that it is
    HOLD = "hold"  # it took too long, and shall be looked at by a person
    DISCARD = "discard"  # it took too long, and is not wanted
    ROUTE = "route"  # a determination chose at least one candidate
    SETTLE = "settle"  # the last required delivery was delivered
    REOPEN = "reopen"  # a person asks for another delivery while its bytes are there
    RECLAIM = "reclaim"  # its last bytes left the spool


REVISION_TRANSITIONS = {
    (RevisionState.OPEN, RevisionEvent.COMPLETE): RevisionState.UNROUTED,
    (RevisionState.OPEN, RevisionEvent.HOLD): RevisionState.HELD,
    (RevisionState.OPEN, RevisionEvent.DISCARD): RevisionState.DISCARDED,
    (RevisionState.HELD, RevisionEvent.COMPLETE): RevisionState.UNROUTED,
    (RevisionState.UNROUTED, RevisionEvent.COMPLETE): RevisionState.UNROUTED,  # said twice
    (RevisionState.UNROUTED, RevisionEvent.ROUTE): RevisionState.ROUTED,
    (RevisionState.ROUTED, RevisionEvent.SETTLE): RevisionState.SETTLED,
    (RevisionState.SETTLED, RevisionEvent.REOPEN): RevisionState.ROUTED,
    (RevisionState.SETTLED, RevisionEvent.RECLAIM): RevisionState.RECLAIMED,
}
"""The whole life of a revision, as the statements of the ledger carry it out."""

GROWING = (RevisionState.OPEN, RevisionState.HELD)
"""Instances that arrive still join the revision."""


def next_revision_state(state: RevisionState, event: RevisionEvent) -> RevisionState:
    """The state after an event; raises ``StateConflict`` where the event cannot happen."""
    following = REVISION_TRANSITIONS.get((state, event))
    if following is None:
        allowed = [known for known, what in REVISION_TRANSITIONS if what is event]
        raise StateConflict(
            f"cannot {event} a revision that is {state}; it would have to be {' or '.join(allowed)}"
        )
    return following


@dataclass(frozen=True, slots=True)
class RevisionKey:
    """Names one revision of one study."""

    id: int
    study_instance_uid: str
    number: int  # 1 for the first arrival


Joined = tuple[Instance, RevisionKey | None]
"""An instance that the ledger holds, and the revision that it joined, if any."""


@dataclass(frozen=True, slots=True)
class OpenRevision:
    """A revision that can still grow, open or held, as the ledger knows it at start-up."""

    key: RevisionKey
    opened_at: datetime
    last_instance_at: datetime
    instances: int
    calling_ae_titles: frozenset[str]
    is_held: bool = False
