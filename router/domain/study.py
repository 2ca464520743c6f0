"""Studies and their revisions: one revision is one arrival, from first instance to completion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RevisionState(StrEnum):
    """The life of a revision."""

    OPEN = "open"  # instances still arrive
    UNROUTED = "unrouted"  # complete, and no candidate matches: held, determined again later
    ROUTED = "routed"  # complete, deliveries exist
    SETTLED = "settled"  # every required delivery is delivered
    RECLAIMED = "reclaimed"  # its bytes have left the spool


@dataclass(frozen=True, slots=True)
class RevisionKey:
    """Names one revision of one study."""

    id: int
    study_instance_uid: str
    number: int  # 1 for the first arrival


@dataclass(frozen=True, slots=True)
class OpenRevision:
    """An open revision as the ledger knows it at start-up."""

    key: RevisionKey
    opened_at: datetime
    last_instance_at: datetime
    instances: int
    calling_ae_titles: frozenset[str]
