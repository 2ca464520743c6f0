"""Candidates: writers that can receive studies, and the lease that keeps them live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from router.domain.window import Hours

if TYPE_CHECKING:
    from router.domain.criteria import Expression
    from router.domain.reach import Reach


class Level(StrEnum):
    """What a candidate's criteria decide about."""

    STUDY = "study"  # the whole study, if its set of values matches
    SERIES = "series"  # only the series that match by themselves
    INSTANCE = "instance"  # only the instances that match by themselves


class Priority(IntEnum):
    """Order between studies of one candidate's queue; smaller is sooner."""

    URGENT = 0
    NORMAL = 10
    LOW = 20


class Origin(StrEnum):
    """Who made a candidate known."""

    CONFIGURED = "configured"  # stands in the routing YAML
    REGISTERED = "registered"  # registered itself over HTTP


class CandidateState(StrEnum):
    """Whether a candidate takes part in determination."""

    LIVE = "live"
    LAPSED = "lapsed"  # its lease ran out: studies are still held for it
    DRAINING = "draining"  # finishes what it was given, receives nothing new


@dataclass(frozen=True, slots=True)
class Candidate:
    """A writer as determination and delivery see it: what it said, with the YAML on top.

    ``criteria`` is ``None`` for a backup writer, which matches every study.
    """

    ae_title: str
    host: str
    port: int
    kind: str = "dimse"
    reach: Reach | None = None  # what its kind needs beyond host and port
    criteria: Expression | None = None
    discard: tuple[Expression, ...] = ()
    level: Level = Level.STUDY
    priority: Priority = Priority.NORMAL
    required: bool = True
    associations: int = 2  # parallel associations at most
    rate: int | None = None  # bytes per second at most; None: as fast as it goes
    window: tuple[Hours, ...] = ()  # when it may be sent to; empty: always
    commitment: bool = False  # it is asked to commit itself to what it has stored
    origin: Origin = Origin.CONFIGURED
    state: CandidateState = CandidateState.LIVE
    registered_at: datetime | None = None
    lease_expires_at: datetime | None = None  # None: never

    @property
    def address(self) -> str:
        """Where it is, for a person: ``host:port``, or a URL."""
        elsewhere = "" if self.reach is None else self.reach.address
        return elsewhere or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the ledger keeps of a self-registered candidate: its own words and its lease.

    ``body`` is the JSON text of the validated registration request, so that the routing YAML can
    be laid over it anew after each change of either.
    """

    ae_title: str
    body: str
    registered_at: datetime
    last_seen_at: datetime
    lease_expires_at: datetime
    draining: bool = False
