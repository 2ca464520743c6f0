"""Scanning what is stored: only what has to be seen is read."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom import uids
from router.dicom.scan_plan import ScanPlan
from router.dicom.scan_stored import CHUNK, scan_stored
from router.dicom.scanner import DataSetScanner, FindingKind, ScanLimits, ScanResult
from router.domain.attributes import BASE_ATTRIBUTES, parse_attribute
from tests.corpus import CorpusFile, real_files

LIMITS = ScanLimits()
ELE = uids.EXPLICIT_VR_LITTLE_ENDIAN
DEFLATED = uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
PLAN = ScanPlan.compile([*BASE_ATTRIBUTES, parse_attribute("PixelPaddingValue")])
STUDY = b"\x20\x00\x0d\x00UI\x06\x001.2.3\0"


class Stored:
    """Bytes that count how often, and how much of them, is read."""

    def __init__(self, data: bytes, at_most: int = CHUNK):
        self._data = data
        self._at_most = at_most
        self.read_bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        piece = self._data[offset : offset + min(size, self._at_most)]
        self.read_bytes += len(piece)
        return piece


def ow(group: int, element: int, value: bytes) -> bytes:
    return struct.pack("<HH2s2xI", group, element, b"OW", len(value)) + value


def fed_whole(file: CorpusFile) -> ScanResult:
    scanner = DataSetScanner(PLAN, file.transfer_syntax_uid, LIMITS)
    scanner.feed(memoryview(file.data_set))
    return scanner.finish()


@pytest.mark.parametrize(
    "file",
    [file for file in real_files() if not uids.is_deflated(file.transfer_syntax_uid)],
    ids=lambda file: file.path.name,
)
def test_a_stored_scan_finds_what_a_scan_of_the_arriving_bytes_finds(file: CorpusFile) -> None:
    stored = Stored(file.data_set)
    found = scan_stored(PLAN, file.transfer_syntax_uid, LIMITS, stored.read, len(file.data_set))
    assert found == fed_whole(file)


@given(st.integers(1, 5000), st.integers(0, 20_000))
def test_reads_may_be_short(at_most: int, pixels: int) -> None:
    data = STUDY + ow(0x7FE0, 0x0010, bytes(pixels)) + STUDY.replace(b"\x20\x00", b"\xe1\x7f", 1)
    stored = Stored(data, at_most)
    found = scan_stored(PLAN, ELE, LIMITS, stored.read, len(data))
    assert found == ScanResult({"StudyInstanceUID": ("1.2.3",)})


def test_values_that_nobody_wants_are_not_read() -> None:
    data = STUDY + ow(0x7FE0, 0x0010, bytes(50 * CHUNK))
    stored = Stored(data)
    assert not scan_stored(PLAN, ELE, LIMITS, stored.read, len(data)).warnings
    assert stored.read_bytes <= CHUNK


def test_what_follows_such_a_value_is_read() -> None:
    padding = struct.pack("<HH2sHH", 0x0028, 0x0120, b"US", 2, 7)
    data = STUDY + ow(0x0021, 0x1001, bytes(3 * CHUNK)) + padding
    found = scan_stored(PLAN, ELE, LIMITS, Stored(data).read, len(data))
    assert found.facts["PixelPaddingValue"] == ("7",)


def test_a_value_that_is_cut_short_is_reported_without_reading_it() -> None:
    data = STUDY + ow(0x7FE0, 0x0010, bytes(5 * CHUNK))[: -2 * CHUNK]
    stored = Stored(data)
    [warning] = scan_stored(PLAN, ELE, LIMITS, stored.read, len(data)).warnings
    assert "ends in the middle" in warning.reason
    assert stored.read_bytes <= CHUNK


def test_nothing_is_read_behind_the_place_where_a_walk_ends() -> None:
    data = STUDY + b"\x21\x00\x00\x00??" + bytes(10 * CHUNK)
    stored = Stored(data)
    assert scan_stored(PLAN, ELE, LIMITS, stored.read, len(data)).warnings
    assert stored.read_bytes <= CHUNK


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize("at_most", [CHUNK, 1000, 7, 1])
def test_what_comes_before_a_fault_of_a_deflated_stream_is_found(at_most: int) -> None:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    good = deflate.compress(ow(0x0009, 0x1001, bytes(2 * CHUNK)) + STUDY)
    broken = good + deflate.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 400
    found = scan_stored(PLAN, DEFLATED, LIMITS, Stored(broken, at_most).read, len(broken))
    assert found.facts == {"StudyInstanceUID": ("1.2.3",)}
    assert [warning.kind for warning in found.warnings] == [FindingKind.NOT_DEFLATED]


@given(
    st.integers(0, 3000),
    st.binary(min_size=1, max_size=50),
    st.integers(1, 3000),
)
def test_a_deflated_stream_is_scanned_alike_however_it_is_read(
    at: int, fault: bytes, at_most: int
) -> None:
    plain = b"".join(ow(0x0019, 0x1001 + i, random.Random(i).randbytes(90)) for i in range(20))
    data = deflated(plain + STUDY + ow(0x7FE0, 0x0010, bytes(CHUNK)))
    broken = data[:at] + fault + data[at + len(fault) :]
    whole = scan_stored(PLAN, DEFLATED, LIMITS, Stored(broken).read, len(broken))
    pieces = scan_stored(PLAN, DEFLATED, LIMITS, Stored(broken, at_most).read, len(broken))
    assert whole == pieces


@pytest.mark.parametrize("at_most", [CHUNK, 100, 1])
def test_a_bomb_is_not_looked_at_beyond_its_bound(at_most: int) -> None:
    data = deflated(ow(0x0009, 0x1001, bytes(5000)) + STUDY + ow(0x7FE0, 0x0010, bytes(10**7)))
    limits = ScanLimits(max_inflated_bytes=1000)
    found = scan_stored(PLAN, DEFLATED, limits, Stored(data, at_most).read, len(data))
    assert found.finding is not None
    assert found.facts == {}


def test_a_bomb_still_says_which_study_it_is_of() -> None:
    data = deflated(STUDY + ow(0x7FE0, 0x0010, bytes(10_000_000)))
    limits = ScanLimits(max_inflated_bytes=1000)
    found = scan_stored(PLAN, DEFLATED, limits, Stored(data).read, len(data))
    assert found.finding is not None
    assert found.facts["StudyInstanceUID"] == ("1.2.3",)


def test_the_study_is_known_as_soon_as_its_element_has_been_seen() -> None:
    scanner = DataSetScanner(PLAN, ELE, LIMITS)
    known = []
    for at in range(len(STUDY)):
        scanner.feed(memoryview(STUDY)[at : at + 1])
        known.append(scanner.study_instance_uid)
    assert known == [""] * (len(STUDY) - 1) + ["1.2.3"]


def test_a_plan_names_what_it_asks_beyond_the_base_attributes() -> None:
    asked = [parse_attribute(name) for name in ("Modality", "PixelPaddingValue", "SourceAETitle")]
    assert ScanPlan.compile([*BASE_ATTRIBUTES, *asked]).unanswered == {"PixelPaddingValue": ()}


def test_random_bytes_are_scanned_alike_however_they_are_read() -> None:
    for seed in range(200):
        data = STUDY + random.Random(seed).randbytes(3000)
        whole = scan_stored(PLAN, ELE, LIMITS, Stored(data).read, len(data))
        pieces = scan_stored(PLAN, ELE, LIMITS, Stored(data, 7).read, len(data))
        assert whole == pieces
