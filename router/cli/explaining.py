"""The command ``explain``: what the router would make of files, and why; nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.cli.contenders import contenders
from router.cli.doorstep import Arrival, Doorstep
from router.cli.output import console, fail, print_json, print_table
from router.dicom import statuses
from router.domain.attributes import Attribute
from router.domain.candidate import Candidate
from router.domain.determination import Choice, Decision, Member, determine, needed_attributes
from router.domain.errors import RouterError
from router.domain.filters import DiscardFilter
from router.domain.identifiers import ae_title
from router.settings.models import Settings


@dataclass(frozen=True, slots=True)
class DeterminedStudy:
    """What is accepted of one study, and who gets it."""

    study_instance_uid: str
    members: tuple[Arrival, ...]
    decision: Decision

    def given_to(self, choice: Choice) -> list[Arrival]:
        """What of the study a candidate gets."""
        if not choice.matched:
            return []
        if choice.instance_ids is None:
            return list(self.members)
        return [self.members[number] for number in choice.instance_ids]


def explain(
    files: Sequence[Path], settings: Settings, url: str | None, calling: str, as_json: bool
) -> bool:
    """Judge the files as the door does, then determine candidates for each study among them.

    With ``url`` the candidates of the router there take part. Whether every file could be read;
    those that could not are said on standard error. Raises ``RouterError``.
    """
    candidates = contenders(settings, url)
    needed = needed_attributes(candidates)
    arrivals = _arrivals(files, Doorstep(settings, ae_title(calling), needed))
    studies = _determined(arrivals, candidates)
    attributes = _names(needed | DiscardFilter(settings.discard).attributes)
    if as_json:
        print_json(_as_json(arrivals, studies, attributes))
    else:
        _print(arrivals, studies, attributes)
    return len(arrivals) == len(files)


def _arrivals(files: Iterable[Path], door: Doorstep) -> list[Arrival]:
    arrivals = []
    for path in files:
        try:
            arrivals.append(door.examine(path))
        except RouterError as error:
            fail(str(error))
    return arrivals


def _determined(
    arrivals: Iterable[Arrival], candidates: Sequence[Candidate]
) -> list[DeterminedStudy]:
    """One decision for what is accepted of each study, as for a complete revision."""
    studies: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        if arrival.is_accepted:
            studies.setdefault(arrival.identity.study_instance_uid, []).append(arrival)
    return [
        DeterminedStudy(study, tuple(members), determine(candidates, _numbered(members)))
        for study, members in studies.items()
    ]


def _numbered(arrivals: Iterable[Arrival]) -> list[Member]:
    return [
        (number, arrival.facts, arrival.identity.series_instance_uid)
        for number, arrival in enumerate(arrivals)
    ]


def _names(attributes: Iterable[Attribute]) -> list[str]:
    """What filters and criteria look at; the modality tells a person what is what."""
    return sorted({"Modality", *(attribute.name for attribute in attributes)})


def _as_json(
    arrivals: Sequence[Arrival], studies: Sequence[DeterminedStudy], attributes: Sequence[str]
) -> dict[str, object]:
    return {
        "files": [_arrival_json(arrival, attributes) for arrival in arrivals],
        "studies": [_study_json(study) for study in studies],
    }


def _arrival_json(arrival: Arrival, attributes: Sequence[str]) -> dict[str, object]:
    return {
        "file": arrival.path,
        "study_instance_uid": arrival.identity.study_instance_uid,
        "sop_instance_uid": arrival.identity.sop_instance_uid,
        "facts": {name: list(arrival.facts.get(name, ())) for name in attributes},
        "disposition": arrival.disposition,
        "status": None if arrival.status is None else f"{arrival.status:04X}",
        "reason": arrival.reason,
        "warnings": [f"{warning.kind}: {warning.reason}" for warning in arrival.warnings],
    }


def _study_json(study: DeterminedStudy) -> dict[str, object]:
    return {
        "study_instance_uid": study.study_instance_uid,
        "choices": [
            {
                "ae_title": choice.ae_title,
                "matched": choice.matched,
                "reason": choice.reason,
                "required": choice.required,
                "files": [arrival.path for arrival in study.given_to(choice)],
            }
            for choice in study.decision.choices
        ],
    }


def _print(
    arrivals: Sequence[Arrival], studies: Sequence[DeterminedStudy], attributes: Sequence[str]
) -> None:
    print_table(
        "at the door",
        ("file", "says", "becomes", "because"),
        [
            (arrival.path, _facts(arrival, attributes), _becomes(arrival), _because(arrival))
            for arrival in arrivals
        ],
    )
    for study in studies:
        _print_study(study)


def _print_study(study: DeterminedStudy) -> None:
    choices = study.decision.choices
    print_table(
        f"study {study.study_instance_uid}, accepted files: {len(study.members)}",
        ("candidate", "gets it", "because"),
        [(choice.ae_title, _gets_it(choice), choice.reason) for choice in choices],
    )
    if not choices:
        console.print("The routing YAML has no static candidates; --url asks a router for others.")
    elif not study.decision.chosen:
        console.print("No candidate matches: the router would hold the study until one does.")


def _facts(arrival: Arrival, attributes: Sequence[str]) -> str:
    shown = ((name, ", ".join(arrival.facts.get(name, ()))) for name in attributes)
    return "\n".join(f"{name}: {values or '(no value)'}" for name, values in shown)


def _becomes(arrival: Arrival) -> str:
    if arrival.status is None:
        return arrival.disposition
    return f"{arrival.disposition}\nanswer: {statuses.describe(arrival.status)}"


def _because(arrival: Arrival) -> str:
    warnings = [f"warning: {warning.kind}: {warning.reason}" for warning in arrival.warnings]
    return "\n".join([arrival.reason or "no discard filter matches", *warnings])


def _gets_it(choice: Choice) -> str:
    if not choice.matched:
        return "no"
    return "yes" if choice.instance_ids is None else "in part"
