"""What a status says, with pynetdicom's tables as the judge."""

from __future__ import annotations

import pytest
from pynetdicom import status as peer
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from router.dicom import statuses
from router.dicom.statuses import StatusCategory, category, describe, is_stored, is_temporary

EVERY = range(0x10000)


def test_categories_are_those_of_the_standard() -> None:
    theirs = {code: code_to_category(code) for code in EVERY}
    ours = {code: category(code) for code in EVERY}
    differing = {code for code in EVERY if theirs[code] not in (ours[code].title(), "Unknown")}
    assert differing == set()


def test_every_status_of_the_storage_service_is_told_apart() -> None:
    differing = {
        code
        for code, (kind, _) in STORAGE_SERVICE_CLASS_STATUS.items()
        if category(code).title() != kind
    }
    assert differing == set()


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007, 0x0001, 0x0111])
def test_success_warnings_and_duplicates_mean_that_the_peer_holds_the_instance(
    status: int,
) -> None:
    assert is_stored(status)


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0213])
def test_a_lack_of_resources_may_pass(status: int) -> None:
    assert is_temporary(status)
    assert not is_stored(status)


@pytest.mark.parametrize(
    "status", [0xA900, 0xA9FF, 0xC000, 0xCFFF, 0x0122, 0x0117, 0x0124, 0x0119, 0xFE00, 0xFF00]
)
def test_any_other_failure_is_for_good(status: int) -> None:
    assert not is_temporary(status)
    assert not is_stored(status)


def test_no_status_is_both_stored_and_temporary() -> None:
    assert not [status for status in EVERY if is_stored(status) and is_temporary(status)]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0x0000, "success (0000)"),
        (0xA700, "out of resources (A700)"),
        (0xA7FF, "out of resources (A7FF)"),
        (0xA901, "data set does not match SOP class (A901)"),
        (0xC123, "cannot understand (C123)"),
        (0x0124, "not authorised (0124)"),
        (0x4711, "status of the peer's own (4711)"),
    ],
)
def test_every_status_has_words(status: int, text: str) -> None:
    assert describe(status) == text


def test_names_of_constants_are_in_their_categories() -> None:
    constants = {name: value for name, value in vars(statuses).items() if name.isupper()}
    assert category(constants["COERCION"]) is StatusCategory.WARNING
    assert category(constants["CANCEL"]) is StatusCategory.CANCEL
    assert peer.code_to_category(constants["CANCEL"]) == "Cancel"
