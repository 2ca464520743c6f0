from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.paths import UNKNOWN, clean, parse_template

TEMPLATE = parse_template(
    "{PatientID}/{StudyDate}-{StudyInstanceUID}/{Modality}/{SOPInstanceUID}.dcm"
)
UIDS = {"StudyInstanceUID": "1.2.3", "SOPInstanceUID": "1.2.3.4"}


def rendered(**values: str) -> str:
    return "/".join(TEMPLATE.render({**UIDS, **values}))


def test_placeholders_are_filled_and_the_folder_of_the_study_is_known() -> None:
    path = rendered(PatientID="P-1", StudyDate="20260301", Modality="CT")

    assert path == "P-1/20260301-1.2.3/CT/1.2.3.4.dcm"
    assert TEMPLATE.study_depth == 2


@pytest.mark.parametrize(
    ("value", "in_path"),
    [
        ("", UNKNOWN),
        ("   ", UNKNOWN),
        ("..", "_"),
        (".", "_"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("a\\b:c*d?e", "a_b_c_d_e"),
        ("Müller^Jürgen", "Muller_Jurgen"),
        ("山田", "__"),
        (".hidden", "_.hidden"),
        ("ends with a dot.", "ends_with_a_dot"),
        ("a\0b\nc", "a_b_c"),
        ("CON", "_CON"),
        ("lpt1.dcm", "_lpt1.dcm"),
        ("{SOPInstanceUID}", "_SOPInstanceUID_"),
    ],
)
def test_a_value_fills_its_place_and_nothing_more(value: str, in_path: str) -> None:
    assert rendered(PatientID=value).split("/") == [
        in_path,
        "UNKNOWN-1.2.3",
        UNKNOWN,
        "1.2.3.4.dcm",
    ]


def test_long_values_that_begin_alike_stay_apart() -> None:
    one, other = clean("x" * 500 + "1"), clean("x" * 500 + "2")

    assert one != other
    assert len(one) == len(other) == 64


@given(st.text(), st.text(), st.text())
def test_whatever_the_values_are_the_path_stays_below_its_folder(
    patient: str, date: str, uid: str
) -> None:
    parts = TEMPLATE.render({"PatientID": patient, "StudyDate": date, "SOPInstanceUID": uid})

    assert len(parts) == 4
    for part in parts:
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", part)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{StudyInstanceUID}.dcm", "needs a folder for each study"),
        ("{PatientID}/{SOPInstanceUID}.dcm", "needs a folder for each study"),
        ("{StudyInstanceUID}/image.dcm", "needs a file for each instance"),
        ("/{StudyInstanceUID}/{SOPInstanceUID}", "is no part of a path"),
        ("../{StudyInstanceUID}/{SOPInstanceUID}", "is no part of a path"),
        ("a//{StudyInstanceUID}/{SOPInstanceUID}", "is no part of a path"),
        (".x/{StudyInstanceUID}/{SOPInstanceUID}", "is no part of a path"),
        ("a b/{StudyInstanceUID}/{SOPInstanceUID}", "is no part of a path"),
        ("{StudyInstanceUID/{SOPInstanceUID}", "is no part of a path"),
        ("{PatentID}/{StudyInstanceUID}/{SOPInstanceUID}", "PatentID"),
        ("{SourceAETitle}/{StudyInstanceUID}/{SOPInstanceUID}", "is no DICOM keyword"),
        ("{StudyInstanceUID}/{SOPInstanceUID}" + "/x" * 20, "has more than 12 parts"),
    ],
)
def test_a_template_that_would_mix_studies_or_leave_its_folder_is_refused(
    text: str, says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_template(text)
