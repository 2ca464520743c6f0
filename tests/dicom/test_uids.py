"""UIDs that the router knows, with pydicom's dictionary as the judge."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID, generate_uid
from pynetdicom import AllStoragePresentationContexts, sop_class

from router.dicom import uids

SYNTAXES = [uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"]


@pytest.mark.parametrize("uid", SYNTAXES)
def test_every_transfer_syntax_is_read_as_pydicom_reads_it(uid: str) -> None:
    theirs = UID(uid)
    assert uids.is_implicit_vr(uid) == theirs.is_implicit_VR
    assert uids.is_big_endian(uid) == (not theirs.is_little_endian)
    jpip = uid in ("1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
    assert uids.is_deflated(uid) == (theirs.is_deflated or jpip)


def test_what_the_network_asks_about_is_not_kept() -> None:
    uids.is_known_non_storage("1.2.3")  # the registry is read once
    tracemalloc.start()
    try:
        for number in range(20_000):
            uids.is_storage_sop_class(f"1.2.3.{number}")
            uids.is_known_non_storage(f"1.2.3.{number}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_private_and_unknown_syntaxes_are_explicit_little_endian() -> None:
    assert not uids.is_implicit_vr("1.2.3.4")
    assert not uids.is_big_endian("1.2.3.4")
    assert uids.is_encapsulated("1.2.3.4")
    assert uids.is_implicit_vr(uids.GE_PRIVATE_IMPLICIT)
    assert not uids.is_encapsulated(uids.GE_PRIVATE_IMPLICIT)


def test_storage_classes_are_those_of_pynetdicom_and_what_else_the_registry_calls_so() -> None:
    named = {
        uid
        for uid, (title, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in title
    }
    of_other_services = {
        uid
        for uid in named
        if "Commitment" in UID_dictionary[uid][0] or "Media" in UID_dictionary[uid][0]
    }
    current = set(sop_class._STORAGE_CLASSES.values())
    without_a_study = set(sop_class._NON_PATIENT_OBJECT_CLASSES.values())

    found = {uid for uid in {*UID_dictionary, *current} if uids.is_storage_sop_class(uid)}

    assert found == (current | named) - of_other_services - without_a_study


def test_every_storage_class_of_pynetdicom_stores_studies() -> None:
    missing = [
        context.abstract_syntax
        for context in AllStoragePresentationContexts
        if not uids.is_storage_sop_class(str(context.abstract_syntax))
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("uid", "is_storage", "is_known_non_storage"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", True, False),  # CT
        ("1.2.840.10008.5.1.4.1.1.5", True, False),  # Nuclear Medicine, retired
        ("1.2.840.10008.5.1.4.1.1.88.11", True, False),  # Basic Text SR
        ("1.2.840.10008.1.1", False, True),  # Verification
        ("1.2.840.10008.1.20.1", False, True),  # Storage Commitment Push
        ("1.2.840.10008.1.3.10", False, True),  # Media Storage Directory
        ("1.2.840.10008.5.1.4.38.1", False, True),  # Hanging Protocol: of no study
        ("1.2.840.10008.5.1.4.34.5", False, True),  # a service class, no SOP class
        ("1.2.840.10008.1.2.1", False, True),  # no class at all
        ("1.3.12.2.1107.5.9.1", False, False),  # Siemens CSA
    ],
)
def test_classes_are_told_apart(uid: str, is_storage: bool, is_known_non_storage: bool) -> None:
    assert uids.is_storage_sop_class(uid) == is_storage
    assert uids.is_known_non_storage(uid) == is_known_non_storage


@pytest.mark.parametrize(
    "uid", ["1.2.3", "1.2.003", "0", "2." + "1" * 62, uids.IMPLEMENTATION_CLASS]
)
def test_uids_are_valid_with_leading_zeros_too(uid: str) -> None:
    assert uids.is_valid_uid(uid)


@pytest.mark.parametrize("uid", ["", ".", "1.", "1..2", "1.2.a", "1.2 ", "1.٣", "2." + "1" * 63])
def test_what_is_no_uid_is_not_valid(uid: str) -> None:
    assert not uids.is_valid_uid(uid)


@given(st.text("0123456789.", max_size=70))
def test_what_pydicom_takes_for_valid_is_valid(text: str) -> None:
    assert UID(text, config.IGNORE).is_valid <= uids.is_valid_uid(text)
    assert uids.is_valid_uid(generate_uid())


def test_a_uid_has_the_name_of_the_standard_or_its_own() -> None:
    assert uids.name("1.2.840.10008.5.1.4.1.1.2") == "CT Image Storage"
    assert uids.name("1.2.3") == "1.2.3"
