"""Discard filters: any of them is enough, and the reason says which."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.domain.criteria import parse_criteria
from router.domain.filters import DiscardFilter
from router.domain.instance import Facts


def discard(*criteria: object) -> DiscardFilter:
    return DiscardFilter(tuple(map(parse_criteria, criteria)))


NAMELESS = discard("MODALITY|IS_NULL", "INSTITUTION_NAME|IS_NULL")


def test_without_filters_everything_is_let_in() -> None:
    assert discard().examine({}) is None
    assert discard().attributes == frozenset()


def test_what_no_filter_matches_is_let_in() -> None:
    facts: Facts = {"Modality": ("CT",), "InstitutionName": ("Hospital",)}
    assert NAMELESS.examine(facts) is None


def test_the_first_filter_that_matches_gives_the_reason() -> None:
    found = NAMELESS.examine({})
    assert found is not None
    assert found.reason == "discard filter: Modality has no value; IS_NULL: yes"
    assert found.filter == parse_criteria("MODALITY|IS_NULL")


def test_a_later_filter_matches_as_well() -> None:
    found = NAMELESS.examine({"Modality": ("CT",), "InstitutionName": ()})
    assert found is not None
    assert found.reason == "discard filter: InstitutionName has no value; IS_NULL: yes"


def test_a_list_in_one_filter_must_match_as_a_whole() -> None:
    phantom = discard(["MODALITY|EQUAL|CT", "PATIENT_ID|STARTS_WITH|QA"])
    assert phantom.examine({"Modality": ("CT",), "PatientID": ("17",)}) is None
    assert phantom.examine({"Modality": ("CT",), "PatientID": ("QA-17",)}) is not None


def test_a_filter_may_ask_for_the_way_in() -> None:
    found = discard("SOURCE_AE_TITLE|EQUAL|TEST").examine({"SourceAETitle": ("TEST",)})
    assert found is not None


def test_its_attributes_are_those_of_all_filters() -> None:
    filters = discard("MODALITY|IS_NULL", {"not": ["StudyID|EQUAL|1", "PatientID|NOT_NULL"]})
    assert {one.name for one in filters.attributes} == {"Modality", "StudyID", "PatientID"}


@given(st.dictionaries(st.sampled_from(["Modality", "InstitutionName"]), st.just(("x",))))
def test_exactly_what_matches_a_filter_is_discarded(facts: Facts) -> None:
    matching = [one for one in NAMELESS.expressions if one.matches(facts)]
    found = NAMELESS.examine(facts)
    assert (found.filter if found else None) == (matching[0] if matching else None)
