"""The data sets of storage commitment: what comes in may be anything, what goes out is standard."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom import uids
from router.dicom.commitment import (
    ALL_COMMITTED,
    SOME_FAILED,
    event_type,
    read_report,
    read_request,
    write_report,
    write_request,
)
from router.domain.commitment import CommitmentReport, CommitmentRequest, Reference
from router.domain.errors import CannotUnderstand

EXPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN
SYNTAXES = [uids.IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT, uids.EXPLICIT_VR_BIG_ENDIAN]
CT = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1")
MR = Reference("1.2.840.10008.5.1.4.1.1.4", "1.2.3.2")
TRANSACTION_UID, REFERENCED, FAILED = (0x0008, 0x1195), (0x0008, 0x1199), (0x0008, 0x1198)
CLASS_UID, INSTANCE_UID, REASON = (0x0008, 0x1150), (0x0008, 0x1155), (0x0008, 0x1197)


def element(tag: tuple[int, int], vr: str, value: bytes) -> bytes:
    """One element of an explicit VR little endian data set."""
    long = vr in ("SQ", "UN")
    length = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
    return struct.pack("<HH", *tag) + vr.encode() + length + value


def item(*elements: bytes) -> bytes:
    """One item of a sequence."""
    value = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


TRANSACTION = element(TRANSACTION_UID, "UI", b"1.2.99")
ITEM = item(element(CLASS_UID, "UI", b"1.2.840\0"), element(INSTANCE_UID, "UI", b"1.2.34"))
NEITHER = {
    "no sequence where one belongs": TRANSACTION + element(REFERENCED, "LO", b"abcd"),
    "an item without UIDs": TRANSACTION + element(REFERENCED, "SQ", item()),
    "a sequence for a UID": TRANSACTION
    + element(
        REFERENCED, "SQ", item(element(CLASS_UID, "SQ", ITEM), element(INSTANCE_UID, "UI", b"1.2 "))
    ),
    "two UIDs for one": TRANSACTION
    + element(
        REFERENCED,
        "SQ",
        item(element(CLASS_UID, "UI", b"1.2\0"), element(INSTANCE_UID, "UI", b"1.2\\1.3\0")),
    ),
    "a UID that is none": TRANSACTION
    + element(
        REFERENCED,
        "SQ",
        item(element(CLASS_UID, "UI", b"CT"), element(INSTANCE_UID, "UI", b"1.2\0")),
    ),
    "elements without end": TRANSACTION + element(FAILED, "SQ", b"") + bytes(8) * 1000,
    "no transaction": element(REFERENCED, "SQ", ITEM),
    "an element that ends too soon": TRANSACTION[:-2],
}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_asked_is_read_as_it_was_written(syntax: str) -> None:
    request = CommitmentRequest("1.2.99", (CT, MR))

    assert read_request(write_request(request, syntax), syntax) == request


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_reported_is_read_as_it_was_written(syntax: str) -> None:
    report = CommitmentReport("1.2.99", (CT,), ((MR, 0x0112),))

    assert read_report(write_report(report, syntax), syntax) == report
    assert event_type(report) == SOME_FAILED
    assert event_type(CommitmentReport("1.2.99", (CT,), ())) == ALL_COMMITTED


@pytest.mark.parametrize("data", NEITHER.values(), ids=list(NEITHER))
def test_what_cannot_be_understood_is_said_to_be_so(data: bytes) -> None:
    for read in (read_request, read_report):
        with pytest.raises(CannotUnderstand):
            read(data, EXPLICIT)


def test_a_request_about_nothing_is_none() -> None:
    with pytest.raises(CannotUnderstand, match="lists no instances"):
        read_request(TRANSACTION, EXPLICIT)


@pytest.mark.parametrize(
    "reason",
    [
        b"",
        element(REASON, "US", b""),
        element(REASON, "LO", b"lost"),
        element(REASON, "US", struct.pack("<HH", 1, 2)),
        element(REASON, "US", struct.pack("<H", 0)),
    ],
    ids=["none", "empty", "text", "two", "success"],
)
def test_a_failure_without_a_reason_is_a_failure(reason: bytes) -> None:
    failed = ITEM[8:] + reason
    report = read_report(TRANSACTION + element(FAILED, "SQ", item(failed)), EXPLICIT)

    assert report.failed == ((Reference("1.2.840", "1.2.34"), 0x0110),)


@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_any_bytes_are_understood_or_not(data: bytes, syntax: str) -> None:
    for read in (read_request, read_report):
        try:
            read(TRANSACTION + data, syntax)
        except CannotUnderstand:
            continue
