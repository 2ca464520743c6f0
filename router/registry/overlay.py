"""Lays the routing YAML over what a writer says of itself; the YAML outranks the writer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from router.domain.candidate import Candidate, CandidateState, Level, Origin, Priority
from router.domain.reach import ROUTER, Reach, WebReach
from router.registry.request import RegistrationRequest
from router.settings.candidate import CandidateSection
from router.settings.kinds import (
    DEFAULT_KIND,
    KINDS,
    dimse_reach,
    knows,
    static_reach,
    web_endpoint,
)

T = TypeVar("T")

NOTHING_SAID = CandidateSection()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a registration stands at the moment."""

    state: CandidateState
    registered_at: datetime
    lease_expires_at: datetime


def static_candidate(ae_title: str, yaml: CandidateSection, associations: int) -> Candidate:
    """The candidate that a YAML section with an address describes.

    ``associations`` holds where the section does not say how many. Raises ``ValueError`` for a
    section without an address.
    """
    if not yaml.is_static:
        raise ValueError(f"{ae_title} has no address in the routing YAML")
    host, port = _endpoint(yaml)
    return Candidate(
        ae_title=ae_title,
        host=host,
        port=port,
        kind=_first(DEFAULT_KIND, yaml.kind),
        reach=static_reach(yaml),
        criteria=yaml.criteria,
        discard=_first((), yaml.discard),
        level=_first(Level.STUDY, yaml.level),
        priority=_first(Priority.NORMAL, yaml.priority),
        required=_first(True, yaml.required),  # noqa: FBT003 - the default of a key
        associations=_first(associations, yaml.associations),
        rate=yaml.rate,
        window=_first((), yaml.window),
        commitment=_is_asked(_first(DEFAULT_KIND, yaml.kind), yaml.commitment),
        origin=Origin.CONFIGURED,
    )


def registered_candidate(
    said: RegistrationRequest, standing: Standing, yaml: CandidateSection, associations: int
) -> Candidate:
    """The candidate that a registration makes under the YAML section of its AE title.

    A section with an address describes a static candidate, whole: what its writer says of itself
    changes nothing but that it may drain. A section without one outranks the writer key by key.
    """
    if yaml.is_static:
        draining = standing.state is CandidateState.DRAINING
        return replace(
            static_candidate(said.aet, yaml, associations),
            state=CandidateState.DRAINING if draining else CandidateState.LIVE,
            registered_at=standing.registered_at,
        )
    host, port = _endpoint(said)
    return Candidate(
        ae_title=said.aet,
        host=host,
        port=port,
        kind=_first(DEFAULT_KIND, said.kind),
        reach=_reach(said, yaml),
        criteria=said.criteria if yaml.criteria is None else yaml.criteria,
        discard=_first((), yaml.discard, said.discard_filters),
        level=_first(Level.STUDY, yaml.level, said.level),
        priority=_first(Priority.NORMAL, yaml.priority, said.priority),
        required=_first(True, yaml.required, said.required),  # noqa: FBT003 - as above
        associations=_first(associations, yaml.associations, said.associations),
        rate=_first(None, yaml.rate, said.rate),
        window=_first((), yaml.window, said.window),
        commitment=_is_asked(_first(DEFAULT_KIND, said.kind), yaml.commitment, said.commitment),
        origin=Origin.REGISTERED,
        state=standing.state,
        registered_at=standing.registered_at,
        lease_expires_at=standing.lease_expires_at,
    )


def _endpoint(said: RegistrationRequest | CandidateSection) -> tuple[str, int]:
    """Host and port, of the URL if there is one; empty and 0 where there is neither."""
    if said.url is not None:
        return web_endpoint(said.url)
    return said.host or "", said.port or 0


def _reach(said: RegistrationRequest, yaml: CandidateSection) -> Reach | None:
    if said.url is not None:
        return WebReach(said.url, gzip=said.gzip or False)
    return dimse_reach(
        None,
        _first(ROUTER, yaml.calling, said.calling),
        _first("never", yaml.transcode, said.transcode),
    )


def _is_asked(kind: str, *said: bool | None) -> bool:
    """Whether the candidate is asked what it holds: where it is told to, or always by its kind."""
    return KINDS[kind].compares or (
        knows(kind, "commitment") and _first(False, *said)  # noqa: FBT003 - the default of a key
    )


def _first(default: T, *said: T | None) -> T:
    """The first thing that was said, else the default."""
    return next((value for value in said if value is not None), default)
