"""The scanner reads what pydicom reads, however the bytes are cut, and cannot be harmed."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from collections.abc import Iterable
from itertools import pairwise

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from router.dicom import uids
from router.dicom.scan_stored import scan_stored
from router.dicom.scanner import (
    DataSetScanner,
    FindingKind,
    ScanLimits,
    ScanPlan,
    ScanResult,
)
from router.domain.attributes import BASE_ATTRIBUTES, parse_attribute
from tests.corpus import CorpusFile, nested_sequences, real_files

KEYWORDS = [attribute.name for attribute in BASE_ATTRIBUTES]
PLAN = ScanPlan.compile(BASE_ATTRIBUTES)
LIMITS = ScanLimits()
ELE, ILE, EBE = (
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
)


def scan(
    data: bytes,
    transfer_syntax: str = ELE,
    plan: ScanPlan = PLAN,
    cuts: Iterable[int] = (),
    limits: ScanLimits = LIMITS,
) -> ScanResult:
    if uids.is_deflated(transfer_syntax):
        return scan_stored(
            plan, transfer_syntax, limits, lambda at, size: data[at : at + size], len(data)
        )
    scanner = DataSetScanner(plan, transfer_syntax, limits)
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        fragment = bytearray(data[start:end])
        scanner.feed(memoryview(fragment))
        fragment[:] = b"\xaa" * len(fragment)  # who kept a view would see this
    return scanner.finish()


def expected(file: CorpusFile) -> dict[str, tuple[str, ...]]:
    """What pydicom says of the base attributes, as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(file.path, stop_before_pixels=True)
        facts = {}
        for keyword in KEYWORDS:
            if keyword in data_set:
                value = data_set[keyword].value
                values = value if isinstance(value, MultiValue | list) else [value]
                texts = tuple("" if one is None else str(one).strip() for one in values)
                facts[keyword] = texts if any(texts) else ()
    return facts


ROUTABLE = [file for file in real_files() if file.is_routable]


@pytest.mark.parametrize("file", ROUTABLE, ids=lambda file: file.path.name)
def test_it_reads_what_pydicom_reads(file: CorpusFile) -> None:
    facts = scan(file.data_set, file.transfer_syntax_uid).facts

    names = tuple(name.rstrip("=") for name in facts.get("PatientName", ()))
    assert {**facts, **({"PatientName": names} if "PatientName" in facts else {})} == expected(file)


@pytest.mark.parametrize("file", ROUTABLE, ids=lambda file: file.path.name)
def test_fragmentation_makes_no_difference(file: CorpusFile) -> None:
    data = file.data_set[:200_000]
    draw = random.Random(1)
    whole = scan(data, file.transfer_syntax_uid)

    for _ in range(5):
        cuts = draw.sample(range(len(data)), min(50, len(data)))
        assert scan(data, file.transfer_syntax_uid, cuts=cuts) == whole
    head = data[:6000]
    assert scan(head, file.transfer_syntax_uid, cuts=range(1, len(head))) == scan(
        head, file.transfer_syntax_uid
    )


@pytest.mark.parametrize("file", ROUTABLE, ids=lambda file: file.path.name)
def test_no_real_file_is_kept_from_its_receivers(file: CorpusFile) -> None:
    assert scan(file.data_set, file.transfer_syntax_uid).finding is None


def encoded(data_set: Dataset, transfer_syntax: str) -> bytes:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data_set, enforce_file_format=True)
    content = stream.getvalue()
    meta = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).file_meta
    return content[144 + int(meta.FileMetaInformationGroupLength) :]


def nested_data_set() -> Dataset:
    data_set = Dataset()
    data_set.Modality, data_set.Rows = "MR", 512
    items = []
    for number in range(3):
        item = Dataset()
        item.ScheduledProcedureStepID = f"STEP{number}"
        item.CommentsOnTheScheduledProcedureStep = "x" * 2000
        items.append(item)
    data_set.RequestAttributesSequence = items
    block = data_set.private_block(0x0009, "GEMS_IDEN_01", create=True)
    block.add_new(0x02, "SH", "MR01")
    return data_set


@pytest.mark.parametrize(
    "transfer_syntax", [ELE, ILE, EBE, uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN]
)
@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("Modality", ("MR",)),
        ("Rows", ("512",)),
        ("RequestAttributesSequence[0].ScheduledProcedureStepID", ("STEP0",)),
        ("RequestAttributesSequence[2].ScheduledProcedureStepID", ("STEP2",)),
        ("RequestAttributesSequence.ScheduledProcedureStepID", ("STEP0", "STEP1", "STEP2")),
        ('(0009,"GEMS_IDEN_01",02)', ("MR01",)),
    ],
)
def test_it_finds_plain_nested_and_private_attributes(
    transfer_syntax: str, attribute: str, values: tuple[str, ...]
) -> None:
    wanted = parse_attribute(attribute)
    data = encoded(nested_data_set(), transfer_syntax)

    facts = scan(data, transfer_syntax, ScanPlan.compile([wanted])).facts

    assert facts[wanted.name] == values


@pytest.mark.parametrize("transfer_syntax", [ELE, ILE, EBE])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "RequestAttributesSequence[1].ScheduledProcedureStepID",
            "RequestAttributesSequence.ScheduledProcedureStepID",
        ),
        ("(0009,1002)", '(0009,"GEMS_IDEN_01",02)'),
        ("(0009,0010)", '(0009,"GEMS_IDEN_01",02)'),
    ],
    ids=["one item and any", "tag and creator", "the creator itself"],
)
def test_an_element_that_is_wanted_in_two_ways_is_found_in_both(
    transfer_syntax: str, one: str, other: str
) -> None:
    both = [parse_attribute(one), parse_attribute(other)]
    data = encoded(nested_data_set(), transfer_syntax)
    alone = [scan(data, transfer_syntax, ScanPlan.compile([each])).facts for each in both]

    facts = scan(data, transfer_syntax, ScanPlan.compile(both)).facts

    for wanted, expected in zip(both, alone, strict=True):
        assert facts[wanted.name] == expected[wanted.name] != ()


def test_a_sequence_of_unknown_vr_is_looked_into_when_something_of_it_is_wanted() -> None:
    wanted = parse_attribute("RequestAttributesSequence[0].ScheduledProcedureStepID")
    step = struct.pack("<HHI", 0x0040, 0x0009, 4) + b"STEP"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(step)) + step
    data = MODALITY_LAST + long_element(b"UN", item)

    facts = scan(data, plan=ScanPlan.compile([wanted])).facts

    assert facts[wanted.name] == ("STEP",)


def test_present_without_a_value_differs_from_absent() -> None:
    data_set = Dataset()
    data_set.Modality = ""

    facts = scan(encoded(data_set, ELE)).facts

    assert facts["Modality"] == ()
    assert "StudyDescription" not in facts


DEEP = 10_000


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize(("explicit", "syntax"), [(True, ELE), (False, ILE)])
def test_nesting_thousands_of_levels_deep_is_found(
    explicit: bool, syntax: str, undefined: bool
) -> None:
    levels = DEEP if undefined else 2000
    data = nested_sequences(levels, explicit=explicit, undefined=undefined)

    finding = scan(data, syntax).finding

    assert finding is not None
    assert finding.kind is FindingKind.NESTING_TOO_DEEP
    assert "65 levels" in finding.reason


def test_deep_nesting_after_the_pixel_data_is_found() -> None:
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 100_000) + bytes(100_000)
    data = pixels + nested_sequences(200).replace(b"\x40\x00\x75\x02", b"\xfa\xff\xfa\xff")

    finding = scan(data).finding

    assert finding is not None
    assert finding.kind is FindingKind.NESTING_TOO_DEEP


def test_deep_nesting_inside_an_element_of_unknown_vr_is_found() -> None:
    content = nested_sequences(200, explicit=False)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + content
    data = struct.pack("<HH2sHI", 0x0041, 0x1001, b"UN", 0, 0xFFFFFFFF) + item

    finding = scan(data).finding

    assert finding is not None
    assert finding.kind is FindingKind.NESTING_TOO_DEEP


def long_element(vr: bytes, value: bytes, tag: tuple[int, int] = (0x0040, 0x0275)) -> bytes:
    return struct.pack("<HH2sHI", *tag, vr, 0, len(value)) + value


MODALITY_LAST = struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 2) + b"CT"
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 8)


def test_deep_nesting_in_an_element_of_unknown_vr_and_defined_length_is_found() -> None:
    inside = nested_sequences(200, explicit=False, undefined=False)[8:]

    finding = scan(long_element(b"UN", inside)).finding

    assert finding is not None
    assert finding.kind is FindingKind.NESTING_TOO_DEEP


@pytest.mark.parametrize("content", [bytes(4000), ITEM + b"\xff" * 4000, ITEM + bytes(4000)])
@given(cuts=st.lists(st.integers(1, 4000)))
def test_bytes_of_unknown_vr_that_are_no_sequence_hide_nothing(
    content: bytes, cuts: list[int]
) -> None:
    data = long_element(b"UN", content) + MODALITY_LAST

    result = scan(data, cuts=cuts)

    assert result.finding is None
    assert result.facts["Modality"] == ("CT",)


def test_what_follows_an_element_of_a_vr_of_the_future_is_read() -> None:
    data = long_element(b"ZZ", b"what") + MODALITY_LAST + long_element(b"ZZ", b"")

    result = scan(data)

    assert result.facts["Modality"] == ("CT",)
    assert result.warnings == ()


def test_deep_nesting_behind_an_element_of_a_vr_of_the_future_is_found() -> None:
    finding = scan(long_element(b"ZZ", b"what") + nested_sequences(200)).finding

    assert finding is not None
    assert finding.kind is FindingKind.NESTING_TOO_DEEP


def test_nesting_within_the_limit_passes() -> None:
    assert scan(nested_sequences(64)).finding is None


def test_a_deflate_bomb_is_found_in_bounded_memory() -> None:
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0xFFFFFFF0)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeeze.compress(pixels)
    for _ in range(64):
        bomb += squeeze.compress(bytes(1 << 20))
    bomb += squeeze.flush()

    result = scan(
        bomb,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        limits=ScanLimits(max_inflated_bytes=1 << 22),
    )

    assert result.finding is not None
    assert result.finding.kind is FindingKind.DEFLATE_BOMB


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        (FindingKind.TRUNCATED, struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 200) + b"CT"),
        (FindingKind.TRUNCATED, b"\x08\x00\x60"),
        (
            FindingKind.MALFORMED,
            struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 2) + b"CT" + b"\x08\x00\x61\x00??\0\0",
        ),
        (FindingKind.MISLABELLED, struct.pack("<HHI", 0x0008, 0x0060, 2) + b"CT"),
        (FindingKind.GROUP_0002, struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", 2) + b"1\0"),
        (
            FindingKind.LENGTH_OVERRUN,
            struct.pack("<HH2sHI", 0x0008, 0x1110, b"SQ", 0, 2000)
            + struct.pack("<HHI", 0xFFFE, 0xE000, 4000)
            + bytes(4000),
        ),
    ],
)
def test_faults_that_receivers_survive_are_warnings(fault: FindingKind, data: bytes) -> None:
    result = scan(data)

    assert result.finding is None
    assert [warning.kind for warning in result.warnings] == [fault]


def test_a_fault_is_reported_once_however_often_more_bytes_had_to_be_awaited() -> None:
    data = struct.pack("<HHI", 0x0002, 0x544F, 2000) + bytes(2000)

    [warning] = scan(data, ILE, cuts=range(1, len(data))).warnings

    assert warning.kind is FindingKind.GROUP_0002


@given(st.binary(max_size=400), st.sampled_from([ELE, ILE, EBE]), st.lists(st.integers(0, 400)))
def test_no_bytes_make_it_raise(data: bytes, syntax: str, cuts: list[int]) -> None:
    inside = [cut for cut in cuts if cut < len(data)]

    assert scan(data, syntax, cuts=inside) == scan(data, syntax)


@given(st.data())
def test_damaged_files_do_not_make_it_raise(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(ROUTABLE))
    damaged = bytearray(file.data_set[:4000])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    scan(bytes(damaged), file.transfer_syntax_uid)
