"""Candidate determination: which candidates get a complete revision, and why.

Pure and deterministic: the same candidates and facts give the same decision, which the ledger
keeps, ``explain`` prints and the API shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from router.domain.attributes import Attribute
from router.domain.candidate import Candidate, CandidateState, Level
from router.domain.evaluation import Evaluation
from router.domain.expression import Expression, attributes_of
from router.domain.instance import Facts

Member = tuple[int, Facts, str]
"""Ledger id, facts and Series Instance UID of one instance of the revision."""


class Choice(NamedTuple):
    """One candidate's part of a decision; a tuple, which is made in half the time.

    ``instance_ids`` is ``None`` when the candidate gets every instance of the revision.
    """

    ae_title: str
    matched: bool
    reason: str
    priority: int
    required: bool
    instance_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one revision, candidate by candidate, with the reasons."""

    choices: tuple[Choice, ...]

    @property
    def chosen(self) -> tuple[Choice, ...]:
        """The candidates that shall get something."""
        return tuple(choice for choice in self.choices if choice.matched)

    @property
    def explanation(self) -> str:
        """For a person: one line per candidate, with the reason."""
        return "\n".join(
            f"{choice.ae_title} {'gets it' if choice.matched else 'does not'}: {choice.reason}"
            for choice in self.choices
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, of which :meth:`from_json` makes the same decision again."""
        return {"choices": [choice._asdict() for choice in self.choices]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Decision:
        """The decision that :meth:`as_json` put into plain values, maybe by way of JSON text."""
        return cls(tuple(_choice_of(choice) for choice in value["choices"]))


def _choice_of(value: Mapping[str, Any]) -> Choice:
    ids = value["instance_ids"]
    return Choice(**{**value, "instance_ids": None if ids is None else tuple(ids)})


def study_facts(instances: Iterable[Facts]) -> Facts:
    """The facts of a whole: for each attribute the set of values, sorted, each once."""
    union: dict[str, set[str]] = {}
    for facts in instances:
        for name, values in facts.items():
            union.setdefault(name, set()).update(values)
    return {name: tuple(sorted(values)) for name, values in union.items()}


def needed_attributes(candidates: Iterable[Candidate]) -> frozenset[Attribute]:
    """Everything that the criteria and discard filters of these candidates look at."""
    expressions = [
        expression
        for candidate in candidates
        for expression in (candidate.criteria, *candidate.discard)
        if expression is not None
    ]
    return frozenset().union(*map(attributes_of, expressions))


def determine(candidates: Sequence[Candidate], members: Sequence[Member]) -> Decision:
    """Decide for every candidate, in the order of their AE titles."""
    parts = _Parts(members)
    ordered = sorted(candidates, key=attrgetter("ae_title"))
    return Decision(tuple(_choose(candidate, parts) for candidate in ordered))


class _Parts:
    """The instances as candidates look at them, gathered once for all candidates of a level."""

    def __init__(self, members: Sequence[Member]):
        self._members = members
        self.whole = Evaluation(study_facts(facts for _, facts, _ in members))
        self._levels: dict[Level, list[tuple[list[int], Evaluation]]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def at(self, level: Level) -> Sequence[tuple[Sequence[int], Evaluation]]:
        """Each series, or each instance: the ledger ids in it, and what is asked of its facts."""
        if level not in self._levels:
            groups: dict[str, list[Member]] = {}
            for member in self._members:
                number, _, series = member
                key = series if level is Level.SERIES else str(number)
                groups.setdefault(key, []).append(member)
            self._levels[level] = [
                (
                    [number for number, _, _ in group],
                    Evaluation(study_facts(facts for _, facts, _ in group)),
                )
                for group in groups.values()
            ]
        return self._levels[level]


def _choose(candidate: Candidate, parts: _Parts) -> Choice:
    if candidate.state is CandidateState.DRAINING:
        return _choice(candidate, "draining: it receives nothing new", matched=False)
    if candidate.level is Level.STUDY:
        matched, reason = _judge(candidate, parts.whole)
        return _choice(candidate, reason, matched=matched)
    return _choose_parts(candidate, parts)


def _choice(
    candidate: Candidate, reason: str, ids: tuple[int, ...] | None = None, *, matched: bool
) -> Choice:
    if matched and candidate.state is CandidateState.LAPSED:
        reason += " (its lease has lapsed: held until it returns)"
    return Choice(
        candidate.ae_title, matched, reason, int(candidate.priority), candidate.required, ids
    )


def _judge(candidate: Candidate, facts: Evaluation) -> tuple[bool, str]:
    matched, reason = _criteria(candidate.criteria, facts)
    if not matched:
        return False, reason
    for expression in candidate.discard:
        if facts.matches(expression):
            _, refusal = facts.judge(expression)
            return False, f"{reason}; but its discard filter: {refusal}"
    return True, reason


def _criteria(criteria: Expression | None, facts: Evaluation) -> tuple[bool, str]:
    if criteria is None:
        return True, "no criteria: it receives every study"
    return facts.judge(criteria)


def _choose_parts(candidate: Candidate, parts: _Parts) -> Choice:
    """Judge each series, or each instance, by itself."""
    chosen: list[int] = []
    reasons: dict[str, None] = {}
    for numbers, facts in parts.at(candidate.level):
        matched, reason = _judge(candidate, facts)
        if matched:
            chosen += numbers
        reasons.setdefault(reason)
    shown = "; ".join(list(reasons)[:5])
    summary = f"{len(chosen)} of {len(parts)} instances, by {candidate.level}: {shown}"
    ids = None if len(chosen) == len(parts) else tuple(sorted(chosen))
    return _choice(candidate, summary, ids, matched=bool(chosen))
