"""Identifiers of C-FIND: what goes out is standard, what comes in may be anything."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from router.dicom import uids
from router.dicom.data_sets import write_data_set
from router.dicom.query import Match, QueryLevel, read_match, write_identifier
from router.domain.errors import CannotUnderstand
from tests.dicom.test_commitment import element

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")  # pydicom goes on

EXPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN
SYNTAXES = [uids.IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT]
STUDY = "1.2.3.4"
COUNT, LEVEL, STUDY_UID = (0x0020, 0x1208), (0x0008, 0x0052), (0x0020, 0x000D)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("level", "keys"),
    [
        (QueryLevel.STUDY, {"NumberOfStudyRelatedInstances": None}),
        (
            QueryLevel.SERIES,
            {"SeriesInstanceUID": "1.2.3.4.5", "NumberOfSeriesRelatedInstances": None},
        ),
        (QueryLevel.IMAGE, {"SeriesInstanceUID": "1.2.3.4.5", "SOPInstanceUID": ""}),
    ],
)
def test_an_identifier_has_its_level_its_unique_keys_and_what_is_asked(
    level: QueryLevel, keys: dict[str, str | None], syntax: str
) -> None:
    data = write_identifier(level, STUDY, syntax, "1.2.3.4.5")
    read = read_dataset(BytesIO(data), uids.is_implicit_vr(syntax), is_little_endian=True)
    assert {one.keyword: one.value for one in read} == {
        "QueryRetrieveLevel": level,
        "StudyInstanceUID": STUDY,
        **keys,
    }


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_match_says_what_it_says(syntax: str) -> None:

    answer = Dataset()
    answer.StudyInstanceUID = STUDY
    answer.NumberOfStudyRelatedInstances = 42
    data = write_data_set(answer, syntax)
    assert read_match(data, QueryLevel.STUDY, syntax) == Match(STUDY, "", "", 42)
    assert read_match(data, QueryLevel.IMAGE, syntax).instances is None


@pytest.mark.parametrize("count", [b"", b"12\\13 ", b"-3"])
def test_a_count_that_is_none_is_not_taken_for_one(count: bytes) -> None:
    data = element(STUDY_UID, "UI", b"1.2.3.4\0") + element(COUNT, "IS", count)
    found = read_match(data, QueryLevel.STUDY, EXPLICIT)
    assert found.instances is None


@given(st.binary(max_size=64), st.sampled_from(SYNTAXES), st.sampled_from(QueryLevel))
def test_any_answer_is_either_understood_or_refused(
    data: bytes, syntax: str, level: QueryLevel
) -> None:
    with suppress(CannotUnderstand):
        assert isinstance(read_match(data, level, syntax), Match)


@given(st.binary(max_size=16), st.sampled_from(["IS", "SQ", "UI", "LO", "UN", "US", "DS"]))
def test_any_count_is_either_understood_or_refused(value: bytes, vr: str) -> None:
    data = element(STUDY_UID, vr, value) + element(COUNT, vr, value)
    with suppress(CannotUnderstand):
        found = read_match(data, QueryLevel.STUDY, EXPLICIT)
        assert found.instances is None or found.instances >= 0


@given(st.text("0123456789.abcXYZ-_", min_size=1, max_size=64))
def test_any_study_that_was_let_in_can_be_asked_about(study_uid: str) -> None:
    assert study_uid.encode() in write_identifier(QueryLevel.STUDY, study_uid, EXPLICIT)
