"""AE titles and UIDs as they are parsed at an edge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import validate_value

from router.domain.errors import InvalidAETitle, InvalidUID, RouterError
from router.domain.identifiers import ae_title, uid


@pytest.mark.parametrize(
    ("written", "title"),
    [("ROUTER", "ROUTER"), ("  CT 1  ", "CT 1"), ("a" * 16, "a" * 16), ("NO", "NO")],
)
def test_an_ae_title_is_taken_without_the_spaces_around_it(written: str, title: str) -> None:
    assert ae_title(written) == title


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a" * 17, "17 characters"),
        ("A\\B", "backslash"),
        ("A\tB", "printable"),
        ("A\0", "printable"),
        ("MÜNCHEN", "printable ASCII"),
    ],
)
def test_an_ae_title_that_dicom_does_not_allow_is_refused(written: str, complaint: str) -> None:
    with pytest.raises(InvalidAETitle, match=complaint):
        ae_title(written)


@given(st.text(max_size=20))
def test_an_ae_title_is_refused_or_is_one_for_pydicom_too(text: str) -> None:
    try:
        title = ae_title(text)
    except InvalidAETitle:
        return
    validate_value("AE", title, config.RAISE)
    assert ae_title(title) == title
    assert ae_title(title.center(16)) == title


@pytest.mark.parametrize("written", ["1.2.3", "1.2.3\0", "1.2.3 ", "1.2.003", "2." + "1" * 62])
def test_a_uid_is_taken_without_its_padding(written: str) -> None:
    assert uid(written) == written.strip(" \0")


@pytest.mark.parametrize(
    "written", ["", "1.2.", ".1", "1..2", "1.2.a", "1.2-3", "1.2.٣", "2." + "1" * 63, "1 .2"]
)
def test_what_is_no_uid_is_refused(written: str) -> None:
    with pytest.raises(InvalidUID, match="is not a UID"):
        uid(written)


@given(st.integers(0, 2**128))
def test_every_uid_that_pydicom_makes_is_one(number: int) -> None:
    assert uid(f"2.25.{number}") == f"2.25.{number}"
    made = generate_uid()
    assert UID(uid(made)).is_valid


@pytest.mark.parametrize("kind", [InvalidAETitle, InvalidUID])
def test_what_is_wrong_with_them_is_the_fault_of_who_wrote_them(kind: type[RouterError]) -> None:
    assert kind.http_status == 422
    assert kind.dimse_status == 0x0117
