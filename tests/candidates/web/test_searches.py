"""The parameters of QIDO-RS."""

from __future__ import annotations

import pytest

from candidates.writer.web.searches import MAX_RESULTS, Search, read_search

KNOWN = ("PatientID", "StudyInstanceUID", "ModalitiesInStudy")


def search(*parameters: tuple[str, str]) -> Search:
    return read_search(parameters, KNOWN)


def test_nothing_asked_is_all_there_is() -> None:
    assert search() == Search({}, MAX_RESULTS, 0, ())


@pytest.mark.parametrize("name", ["PatientID", "00100020", "patientid"])
def test_an_attribute_is_named_by_keyword_or_tag(name: str) -> None:
    assert search((name, "P1")).keys == {"PatientID": "P1"}


def test_a_list_of_uids_has_commas() -> None:
    assert search(("StudyInstanceUID", "1.2,1.3")).keys == {"StudyInstanceUID": "1.2\\1.3"}
    assert search(("PatientID", "1,2")).keys == {"PatientID": "1,2"}


def test_a_part_of_the_matches_is_asked_for() -> None:
    asked = search(("limit", "10"), ("offset", "20"))
    assert (asked.limit, asked.offset) == (10, 20)
    assert search(("limit", "100000")).limit == MAX_RESULTS


def test_fields_that_are_asked_for_change_nothing() -> None:
    asked = search(("includefield", "all"), ("includefield", "00081030,Nonsense"))
    assert asked == search()


@pytest.mark.parametrize(
    "name", ["BodyPartThickness", "RequestAttributesSequence.ScheduledProcedureStepID", "0040A124"]
)
def test_what_cannot_be_matched_matches_everything_and_that_is_said(name: str) -> None:
    asked = search((name, "x"), ("PatientID", "P1"))

    assert asked.keys == {"PatientID": "P1"}
    [warning] = asked.warnings
    assert "is not matched" in warning


def test_fuzzy_matching_is_not_done_and_that_is_said() -> None:
    assert search(("fuzzymatching", "false")).warnings == ()
    [warning] = search(("fuzzymatching", "true")).warnings
    assert "fuzzy" in warning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "many"),
        ("offset", "-1"),
        ("limit", "9" * 30),
        ("PatientIdent", "P1"),
        ("0010002", "P1"),
        ("99999999", "P1"),
        ("PatientID.Nonsense", "P1"),
        ("", ""),
    ],
)
def test_what_cannot_be_understood_is_an_error(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name.partition(".")[0] or "neither"):
        search((name, value))
