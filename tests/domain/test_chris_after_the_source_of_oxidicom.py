"""Paths and registrations as oxidicom makes them; what is expected is of its own tests or source.

https://github.com/FNNDSC/oxidicom: tests/expected_files.txt, tests/util/expected.rs,
src/patient_age.rs, src/lonk.rs
"""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain import lonk
from router.domain.chris import (
    MAX_COMPONENT,
    REQUIRED,
    NotForChris,
    day_of,
    days_of_age,
    name_of_pacs,
    pacs_file,
    registration,
)
from router.domain.seahash import seahash

PACS = "OXITESTORTHANC"
BRAIN = {
    "PatientID": "1449c1d",
    "PatientName": "anonymized",
    "PatientBirthDate": "20090701",
    "PatientAge": "003Y",
    "PatientSex": "M",
    "StudyDate": "20130308",
    "StudyDescription": "MR-Brain w/o Contrast",
    "AccessionNumber": "98edede8b2",
    "Modality": "MR",
    "ProtocolName": "SAG MPRAGE 220 FOV",
    "StudyInstanceUID": "1.2.840.113845.11.1000000001785349915.20130308061609.6346698",
    "SeriesInstanceUID": "1.3.12.2.1107.5.2.19.45152.2013030808061520200285270.0.0.0",
    "SeriesDescription": "SAG MPRAGE 220 FOV",
    "SeriesNumber": "5",
    "InstanceNumber": "1",
    "SOPInstanceUID": "1.3.12.2.1107.5.2.19.45152.2013030808110258929186035",
}
T1 = {
    "PatientID": "02",
    "PatientName": "Jane_Doe",
    "PatientBirthDate": "19660101",
    "PatientSex": "F",
    "StudyDate": "20130717",
    "StudyDescription": "Hanke_Stadler^0024_transrep",
    "Modality": "MR",
    "ProtocolName": "anat-T1w",
    "StudyInstanceUID": "1.2.826.0.1.3680043.2.1143.2592092611698916978113112155415165916",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.2.1143.515404396022363061013111326823367652",
    "SeriesDescription": "anat-T1w",
    "SeriesNumber": "401",
    "InstanceNumber": "1",
    "SOPInstanceUID": "1.2.826.0.1.3680043.2.1143.1590429688519720198888333603882344634",
}


def path(values: dict[str, str], pacs: str = PACS) -> str:
    file = pacs_file(values, pacs)
    return "/".join((*file.folder, file.name))


def test_an_instance_has_the_path_that_oxidicom_gives_it() -> None:
    assert path(T1) == (
        "SERVICES/PACS/OXITESTORTHANC/02-Jane_Doe-19660101/"
        "Hanke_Stadler_0024_transrep-AccessionNumber-20130717/00401-anat-T1w-661b8fc/"
        "0001-1.2.826.0.1.3680043.2.1143.1590429688519720198888333603882344634.dcm"
    )


def test_a_series_is_registered_as_oxidicom_does_it() -> None:
    assert registration(pacs_file(BRAIN, PACS), PACS, 192) == {
        "PatientID": "1449c1d",
        "StudyDate": "2013-03-08",
        "StudyInstanceUID": BRAIN["StudyInstanceUID"],
        "SeriesInstanceUID": BRAIN["SeriesInstanceUID"],
        "pacs_name": "OXITESTORTHANC",
        "path": "SERVICES/PACS/OXITESTORTHANC/1449c1d-anonymized-20090701/"
        "MR-Brain_w_o_Contrast-98edede8b2-20130308/00005-SAG_MPRAGE_220_FOV-a27cf06",
        "ndicom": 192,
        "PatientName": "anonymized",
        "PatientBirthDate": "20090701",
        "PatientAge": 1096,
        "PatientSex": "M",
        "AccessionNumber": "98edede8b2",
        "Modality": "MR",
        "ProtocolName": "SAG MPRAGE 220 FOV",
        "StudyDescription": "MR-Brain w/o Contrast",
        "SeriesDescription": "SAG MPRAGE 220 FOV",
    }


def test_what_an_instance_lacks_is_null_in_the_registration() -> None:
    told = registration(pacs_file({key: T1[key] for key in REQUIRED}, PACS), PACS, 1)

    assert {key for key, value in told.items() if value is None} == {
        "PatientName",
        "PatientBirthDate",
        "PatientAge",
        "PatientSex",
        "AccessionNumber",
        "Modality",
        "ProtocolName",
        "StudyDescription",
        "SeriesDescription",
    }


def test_what_cube_would_refuse_a_series_for_and_can_do_without_is_left_out() -> None:
    values = {**T1, "PatientBirthDate": "1966", "PatientSex": "U", "PatientAge": "old"}

    told = registration(pacs_file(values, PACS), PACS, 1)

    assert [told[f"Patient{key}"] for key in ("BirthDate", "Sex", "Age")] == [None] * 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"SeriesNumber": ""}, "SeriesNumber-anat-T1w-661b8fc/0001-"),
        ({"SeriesNumber": "007", "InstanceNumber": "12345"}, "00007-anat-T1w-661b8fc/12345-"),
        ({"SeriesNumber": "-1"}, "000-1-anat-T1w-661b8fc/0001-"),
        ({"SeriesDescription": " "}, "00401-SeriesDescription-661b8fc/0001-"),
        ({"InstanceNumber": "1/../../2"}, "00401-anat-T1w-661b8fc/1_.._.._2-"),
    ],
)
def test_numbers_are_padded_and_what_is_missing_is_named(
    changes: dict[str, str], expected: str
) -> None:
    assert f"/{expected}" in path({**T1, **changes})


@pytest.mark.parametrize("keyword", REQUIRED)
@pytest.mark.parametrize("value", [None, "", " ", "\0"])
def test_an_instance_without_a_required_attribute_is_refused_by_its_name(
    keyword: str, value: str | None
) -> None:
    values = {key: text for key, text in {**T1, keyword: value}.items() if text is not None}

    with pytest.raises(NotForChris, match=rf"{keyword} \([0-9a-f]{{4}},[0-9a-f]{{4}}\).*missing"):
        pacs_file(values, PACS)


def test_a_date_that_is_none_is_refused_and_shown() -> None:
    with pytest.raises(NotForChris, match=r"StudyDate \(0008,0020\), and '2013.07' is no date"):
        pacs_file({**T1, "StudyDate": "2013.07"}, PACS)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20130717", date(2013, 7, 17)),
        ("2013-07-17", date(2013, 7, 17)),
        ("20130230", None),
        ("2013.07.17", None),
        ("2013-7-17", None),
        ("٢٠١٣٠٧١٧", None),
        ("", None),
    ],
)
def test_dates_are_read_with_and_without_hyphens(text: str, day: date | None) -> None:
    assert day_of(text) == day


@pytest.mark.parametrize(
    ("age", "days"),
    [
        ("030Y", 10957),
        ("020D", 20),
        ("2W", 14),
        ("5M", 152),
        ("003Y", 1096),
        ("", None),
        ("30", None),
        ("Y", None),
        ("-1Y", None),
        ("030y", None),
    ],
)
def test_ages_are_told_in_days(age: str, days: int | None) -> None:
    assert days_of_age(age) == days


def test_the_hash_is_the_one_of_its_reference() -> None:
    assert seahash(b"to be or not to be") == 1988685042348123509  # docs.rs/seahash


def test_progress_is_told_in_the_bytes_of_oxidicom() -> None:
    assert bytes([0x00]) == lonk.DONE
    assert lonk.progress(192) == bytes([0x01, 192, 0, 0, 0])
    assert lonk.progress(0x01020304) == bytes([0x01, 4, 3, 2, 1])
    assert lonk.error("no date") == b"\x02no date"


def test_a_series_has_a_subject_of_its_own() -> None:
    assert lonk.subject("oxidicom", ("MY PACS", "1.2.3")) == "oxidicom.MY_PACS.1_2_3"
    assert lonk.subject("test.oxidicom", ("A*>.", "1")) == "test.oxidicom.A___.1"


TEXTS = st.one_of(st.sampled_from(["..", ".", "/", "a/../b", "\\", "\0"]), st.text(max_size=80))


@given(st.fixed_dictionaries(dict.fromkeys(T1, TEXTS)), TEXTS)
def test_whatever_the_values_are_a_file_stays_in_the_folder_of_its_pacs(
    values: dict[str, str], ae_title: str
) -> None:
    try:
        file = pacs_file({**values, "StudyDate": "20130717"}, name_of_pacs(ae_title))
    except NotForChris:
        return

    assert file.folder[:2] == ("SERVICES", "PACS")
    assert len(file.folder) == 6
    for part in (*file.folder, file.name):
        assert part not in ("", ".", "..")
        assert len(part.encode()) <= MAX_COMPONENT
        assert part.isascii()
        assert not set(part) & set("/\\\0,")


def test_a_name_that_no_file_system_takes_is_refused() -> None:
    with pytest.raises(NotForChris, match="too long"):
        pacs_file({**T1, "StudyDescription": "x" * 250}, PACS)
