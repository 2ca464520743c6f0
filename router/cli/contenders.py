"""Who may be chosen: static candidates of a routing YAML, and those that a running router knows."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from pydantic import ValidationError

from router.admin.models.candidates import CandidateAnswer, Candidates
from router.cli.remote import fetch
from router.domain.candidate import Candidate, CandidateState
from router.domain.criteria import parse_criteria
from router.domain.errors import RouterError
from router.registry.overlay import NOTHING_SAID, static_candidate
from router.settings.candidate import CandidateSection
from router.settings.models import Settings


def contenders(settings: Settings, url: str | None) -> list[Candidate]:
    """The candidates of the YAML and, where ``url`` is given, of the router there.

    The YAML outranks what that router says, as if the router had been started with it.
    """
    associations = settings.delivery.associations
    found = {
        ae_title: static_candidate(ae_title, section, associations)
        for ae_title, section in settings.candidates.items()
        if section.is_static
    }
    for answer in _running(url) if url else ():
        section = settings.candidates.get(answer.ae_title, NOTHING_SAID)
        found[answer.ae_title] = _laid_over(_candidate(answer), section, associations)
    return [found[ae_title] for ae_title in sorted(found)]


def _running(url: str) -> list[CandidateAnswer]:
    try:
        return list(Candidates.model_validate(fetch(url, "/candidates")).candidates)
    except ValidationError as error:
        raise RouterError(
            f"{url}: what answers there is no router of this version "
            f"({error.error_count()} values of its candidates are not understood)"
        ) from error


def _candidate(answer: CandidateAnswer) -> Candidate:
    return Candidate(
        ae_title=answer.ae_title,
        host=answer.host,
        port=answer.port,
        kind=answer.kind,
        criteria=None if answer.criteria is None else parse_criteria(answer.criteria),
        discard=tuple(map(parse_criteria, answer.discard)),
        level=answer.level,
        priority=answer.priority,
        required=answer.required,
        associations=answer.associations,
        rate=answer.rate,
        window=answer.window,
        commitment=answer.commitment,
        origin=answer.origin,
        state=answer.state,
        registered_at=answer.registered_at,
        lease_expires_at=answer.lease_expires_at,
    )


def _laid_over(candidate: Candidate, section: CandidateSection, associations: int) -> Candidate:
    """The candidate under a YAML that the router may not have been started with."""
    if section.is_static:
        draining = candidate.state is CandidateState.DRAINING
        static = static_candidate(candidate.ae_title, section, associations)
        return replace(static, state=candidate.state) if draining else static
    known = {field.name for field in fields(Candidate)} - {"kind"}  # a registration says its own
    said: dict[str, Any] = {
        name: getattr(section, name) for name in known & section.model_fields_set
    }
    return replace(candidate, **{name: value for name, value in said.items() if value is not None})
