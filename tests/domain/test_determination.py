"""Which candidates get a revision, and what is said about it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.candidate import Candidate, CandidateState, Level, Priority
from router.domain.criteria import parse_criteria
from router.domain.determination import (
    Choice,
    Decision,
    Member,
    determine,
    needed_attributes,
    study_facts,
)
from router.domain.instance import Facts


def candidate(ae_title: str, criteria: object = None, **changes: Any) -> Candidate:
    expression = None if criteria is None else parse_criteria(criteria)
    if "discard" in changes:
        changes["discard"] = tuple(map(parse_criteria, changes["discard"]))
    return Candidate(ae_title, "writer", 4242, criteria=expression, **changes)


def member(number: int, series: str = "s1", **facts: str) -> Member:
    return number, {name: (value,) for name, value in facts.items()}, series


XRAY = candidate("XRAY", "MODALITY|IN|CR,DX")
GENERIC = candidate("GENERIC", "MODALITY|NOT_IN|CR,DX")
BACKUP = candidate("BACKUP")
DX_WITH_REPORT = [
    member(1, "s1", Modality="DX"),
    member(2, "s1", Modality="DX"),
    member(3, "s2", Modality="SR"),
]


def chosen(decision: Decision) -> list[str]:
    return [choice.ae_title for choice in decision.chosen]


def only(decision: Decision) -> Choice:
    [choice] = decision.choices
    return choice


def test_a_study_goes_whole_to_every_candidate_that_matches_and_to_no_other() -> None:
    decision = determine([XRAY, GENERIC, BACKUP], DX_WITH_REPORT)
    assert chosen(decision) == ["BACKUP", "XRAY"]
    assert all(choice.instance_ids is None for choice in decision.choices)


def test_a_backup_writer_gets_every_study_and_says_why() -> None:
    assert only(determine([BACKUP], DX_WITH_REPORT)).reason == (
        "no criteria: it receives every study"
    )


def test_each_reason_shows_the_values_that_decided() -> None:
    decision = determine([XRAY, GENERIC], DX_WITH_REPORT)
    assert decision.explanation == (
        "GENERIC does not: Modality is {DX, SR}; NOT_IN CR,DX: no\n"
        "XRAY gets it: Modality is {DX, SR}; IN CR,DX: yes"
    )


def test_of_several_criteria_the_reason_names_the_one_that_decided() -> None:
    picky = candidate("PICKY", ["MODALITY|EQUAL|DX", "BODY_PART_EXAMINED|EQUAL|CHEST"])
    choice = only(determine([picky], DX_WITH_REPORT))
    assert choice.reason == "BodyPartExamined has no value; EQUAL CHEST: no"


def test_a_discard_filter_of_a_candidate_outranks_its_criteria() -> None:
    careful = candidate("CAREFUL", "MODALITY|EQUAL|DX", discard=["MODALITY|EQUAL|SR"])
    choice = only(determine([careful], DX_WITH_REPORT))
    assert not choice.matched
    assert choice.reason == (
        "Modality is {DX, SR}; EQUAL DX: yes; but its discard filter: "
        "Modality is {DX, SR}; EQUAL SR: yes"
    )


def test_a_discard_filter_that_does_not_match_is_not_spoken_of() -> None:
    careful = candidate("CAREFUL", None, discard=["MODALITY|EQUAL|CT"])
    assert only(determine([careful], DX_WITH_REPORT)).matched


def test_a_draining_candidate_gets_nothing_new() -> None:
    choice = only(determine([replace(BACKUP, state=CandidateState.DRAINING)], DX_WITH_REPORT))
    assert (choice.matched, choice.reason) == (False, "draining: it receives nothing new")


def test_studies_are_held_for_a_candidate_that_has_lapsed() -> None:
    choice = only(determine([replace(XRAY, state=CandidateState.LAPSED)], DX_WITH_REPORT))
    assert choice.matched
    assert choice.reason.endswith("(its lease has lapsed: held until it returns)")


def test_a_choice_carries_the_priority_and_the_obligation_of_its_candidate() -> None:
    urgent = candidate("URGENT", priority=Priority.URGENT, required=False)
    choice = only(determine([urgent], DX_WITH_REPORT))
    assert (choice.priority, choice.required) == (0, False)


def test_without_candidates_nobody_gets_anything() -> None:
    assert determine([], DX_WITH_REPORT) == Decision(())


@pytest.mark.parametrize(
    ("level", "ids"), [(Level.INSTANCE, (1, 2)), (Level.SERIES, (1, 2)), (Level.STUDY, None)]
)
def test_a_level_says_what_criteria_decide_about(level: Level, ids: tuple[int, ...] | None) -> None:
    choice = only(determine([replace(XRAY, level=level)], DX_WITH_REPORT))
    assert choice.instance_ids == ids


def test_a_series_is_judged_by_all_of_its_instances() -> None:
    mixed = [
        member(1, "s1", Modality="DX"),
        member(2, "s1", Modality="PR"),
        member(3, "s2", Modality="PR"),
    ]
    by_series = only(determine([replace(XRAY, level=Level.SERIES)], mixed))
    by_instance = only(determine([replace(XRAY, level=Level.INSTANCE)], mixed))
    assert by_series.instance_ids == (1, 2)
    assert by_instance.instance_ids == (1,)


def test_who_wants_every_part_gets_the_whole() -> None:
    choice = only(determine([candidate("ALL", level=Level.INSTANCE)], DX_WITH_REPORT))
    assert choice.instance_ids is None
    assert choice.reason.startswith("3 of 3 instances, by instance: ")


def test_who_wants_no_part_gets_nothing() -> None:
    choice = only(
        determine([candidate("MR", "MODALITY|EQUAL|MR", level=Level.SERIES)], DX_WITH_REPORT)
    )
    assert not choice.matched
    assert choice.reason.startswith("0 of 3 instances, by series: ")


def test_needed_attributes_are_those_of_criteria_and_discard_filters() -> None:
    candidates = [XRAY, BACKUP, candidate("X", "StudyID|EQUAL|7", discard=["PatientID|IS_NULL"])]
    assert {one.name for one in needed_attributes(candidates)} == {
        "Modality",
        "StudyID",
        "PatientID",
    }
    assert needed_attributes([]) == frozenset()


def test_the_facts_of_a_study_are_the_sets_of_its_values() -> None:
    facts = study_facts(facts for _, facts, _ in [*DX_WITH_REPORT, member(4, PatientID="7")])
    assert facts == {"Modality": ("DX", "SR"), "PatientID": ("7",)}


_VALUES = ("CT", "MR", "CR", "DX", "")
_FACTS: st.SearchStrategy[Facts] = st.dictionaries(
    st.sampled_from(["Modality", "BodyPartExamined"]),
    st.lists(st.sampled_from(_VALUES), max_size=2).map(tuple),
)
_MEMBERS = st.lists(st.tuples(_FACTS, st.sampled_from(["s1", "s2", "s3"])), min_size=1).map(
    lambda parts: [(number, facts, series) for number, (facts, series) in enumerate(parts)]
)
_CRITERIA = st.sampled_from(
    [
        None,
        "MODALITY|IN|CR,DX",
        "MODALITY|NOT_IN|CR,DX",
        "MODALITY|IS_NULL",
        "MODALITY|NOT_NULL",
        "BODY_PART_EXAMINED|EQUAL|CT",
        {"any": ["MODALITY|EQUAL|CT", {"not": "BODY_PART_EXAMINED|IS_NULL"}]},
    ]
)
_CANDIDATES = st.lists(
    st.builds(
        lambda name, criteria, level, state: candidate(name, criteria, level=level, state=state),
        st.sampled_from(["A", "B", "C", "D"]),
        _CRITERIA,
        st.sampled_from(Level),
        st.sampled_from(CandidateState),
    ),
    unique_by=lambda one: one.ae_title,
)


@given(_CANDIDATES, _MEMBERS, st.randoms(use_true_random=False))
def test_the_same_facts_give_the_same_decision_in_whatever_order(
    candidates: list[Candidate], members: list[Member], random: Any
) -> None:
    decision = determine(candidates, members)
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert determine(shuffled, members) == decision
    assert determine(candidates, list(members)) == decision
    assert [choice.ae_title for choice in decision.choices] == sorted(
        one.ae_title for one in candidates
    )


@given(_MEMBERS)
def test_a_study_goes_to_exactly_one_of_two_candidates_with_opposite_criteria(
    members: list[Member],
) -> None:
    assert len(determine([XRAY, GENERIC], members).chosen) == 1


@given(_CRITERIA, _MEMBERS)
def test_a_candidate_by_instance_gets_exactly_the_instances_that_match_alone(
    criteria: object, members: list[Member]
) -> None:
    picky = candidate("X", criteria, level=Level.INSTANCE)
    choice = only(determine([picky], members))
    matching = tuple(
        number
        for number, facts, series in members
        if only(determine([replace(picky, level=Level.STUDY)], [(number, facts, series)])).matched
    )
    everything = tuple(number for number, _, _ in members)
    got = everything if choice.instance_ids is None else choice.instance_ids
    assert (got if choice.matched else ()) == matching


@given(_CANDIDATES, _MEMBERS)
def test_a_decision_survives_its_way_through_json(
    candidates: list[Candidate], members: list[Member]
) -> None:
    decision = determine(candidates, members)
    assert Decision.from_json(json.loads(json.dumps(decision.as_json()))) == decision
