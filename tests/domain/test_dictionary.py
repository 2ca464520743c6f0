"""The data dictionary and the registry of UIDs, with pydicom as the judge of every entry."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._private_dict import private_dictionaries
from pydicom._uid_dict import UID_dictionary

from router.domain import dictionary

REPEATED = sorted(RepeatersDictionary)
PRIVATE = [
    (int(pattern[:4].replace("x", "1"), 16), int(pattern[-2:].replace("x", "1"), 16), creator)
    for creator, elements in private_dictionaries.items()
    for pattern in elements
]
HEX = "0123456789ABCDEF"


def vr_by_pydicom(tag: int) -> str:
    try:
        return datadict.dictionary_VR(tag)[:2]
    except KeyError:
        return ""


def private_vr_by_pydicom(group: int, low_byte: int, creator: str) -> str:
    try:
        return datadict.private_dictionary_VR(group << 16 | 0x1000 | low_byte, creator)[:2]
    except KeyError:
        return ""


def test_every_element_has_its_vr_and_keyword() -> None:
    expected = {tag: (entry[0][:2], entry[4]) for tag, entry in DicomDictionary.items()}

    assert {
        tag: (dictionary.vr_of(tag), dictionary.keyword_of(tag)) for tag in expected
    } == expected


def test_every_keyword_names_its_tag_however_it_is_written() -> None:
    expected = {keyword: tag for keyword, tag in datadict.keyword_dict.items() if keyword}

    assert {keyword: dictionary.tag_of(keyword) for keyword in expected} == expected
    assert {keyword: dictionary.tag_of(keyword.upper()) for keyword in expected} == expected
    assert sorted(dictionary.keywords()) == sorted(expected)


def test_what_is_no_keyword_names_no_tag() -> None:
    assert [
        dictionary.tag_of(name) for name in ("", "_", "Xyzzy", "OverlayRows", "Rows\nColumns", "\n")
    ] == [None] * 6


@given(st.integers(0, 0xFFFFFFFF))
def test_any_tag_is_looked_up_as_pydicom_does(tag: int) -> None:
    assert dictionary.vr_of(tag) == vr_by_pydicom(tag)
    assert dictionary.keyword_of(tag) == datadict.keyword_for_tag(tag)


@given(st.sampled_from(REPEATED), st.lists(st.sampled_from(HEX), min_size=8, max_size=8))
def test_every_element_of_a_repeating_group_is_looked_up_as_pydicom_does(
    pattern: str, digits: list[str]
) -> None:
    tag = int("".join(d if p == "x" else p for p, d in zip(pattern, digits, strict=True)), 16)

    assert dictionary.vr_of(tag) == vr_by_pydicom(tag)
    assert dictionary.keyword_of(tag) == datadict.keyword_for_tag(tag)


def test_every_private_element_is_looked_up_as_pydicom_does() -> None:
    assert [dictionary.private_vr_of(*one) for one in PRIVATE] == [
        private_vr_by_pydicom(*one) for one in PRIVATE
    ]


@pytest.mark.parametrize(
    ("group", "low_byte", "creator"), [(9, 2, "NOBODY"), (9, 0xEE, "GEMS_IDEN_01"), (9, 2, "")]
)
def test_a_private_element_that_is_not_known_has_no_vr(
    group: int, low_byte: int, creator: str
) -> None:
    assert dictionary.private_vr_of(group, low_byte, creator) == ""


def test_every_uid_of_the_standard_has_its_name_and_kind() -> None:
    known = {
        uid: (registered.name, registered.kind)
        for uid, registered in dictionary.registered_uids().items()
    }

    assert known | {uid: entry[:2] for uid, entry in UID_dictionary.items()} == known


def test_the_library_around_the_tables_is_not_loaded() -> None:
    program = """
import sys
from router.domain import dictionary
assert dictionary.private_vr_of(9, 2, "GEMS_IDEN_01") == "SH"
print([name for name in sys.modules if name.partition(".")[0] == "pydicom"])
"""

    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"
