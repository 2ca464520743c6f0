"""Candidates as the HTTP API answers them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import WithJsonSchema

from router.admin.models.base import Answer, Done
from router.domain.candidate import Candidate, CandidateState, Level, Origin
from router.domain.criteria import as_json
from router.registry.entry import Entry
from router.settings.hours import HoursText
from router.settings.values import CRITERIA_SCHEMA, PriorityName

CriteriaJson = Annotated[Any, WithJsonSchema(CRITERIA_SCHEMA)]


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


class Registered(Done):
    """A registration, or a heartbeat, was taken in."""

    candidate: CandidateAnswer
    """The candidate that the writer is now."""
    lease_s: float
    """Seconds without a heartbeat after which the writer is probed."""
    heartbeat_s: float
    """Seconds between the heartbeats that the router asks for."""
