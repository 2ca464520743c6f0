"""What is kept of a data set is bounded, whatever a sender puts into it."""

from __future__ import annotations

import io

import pytest
from pydicom.dataset import Dataset

from router.dicom import uids
from router.dicom.scanner import DataSetScanner, FindingKind, ScanLimits, ScanPlan, ScanResult
from router.domain.attributes import BASE_ATTRIBUTES, parse_attribute

LIMITS = ScanLimits(max_kept_bytes=4096)
LONG = "x" * 1500
IN_ITEMS = "ProcedureCodeSequence[*].CodeValue"

pytestmark = pytest.mark.filterwarnings("ignore:The value length")


def scan(data_set: Dataset, *asked: str) -> ScanResult:
    target = io.BytesIO()
    data_set.save_as(target, implicit_vr=False, little_endian=True)
    plan = ScanPlan.compile((*BASE_ATTRIBUTES, *map(parse_attribute, asked)))
    scanner = DataSetScanner(plan, uids.EXPLICIT_VR_LITTLE_ENDIAN, LIMITS)
    scanner.feed(memoryview(target.getvalue()))
    return scanner.finish()


def named() -> Dataset:
    data_set = Dataset()
    data_set.SOPInstanceUID = "1.2.3.1.1"
    data_set.StudyInstanceUID = "1.2.3"
    data_set.SeriesInstanceUID = "1.2.3.1"
    return data_set


def test_a_usual_data_set_is_kept_whole() -> None:
    data_set = named()
    data_set.PatientName = "Müller^Jörg"
    data_set.SpecificCharacterSet = "ISO_IR 100"
    result = scan(data_set)
    assert result.facts["PatientName"] == ("Müller^Jörg",)
    assert result.warnings == ()


def test_many_long_values_are_kept_up_to_a_bound_and_that_is_said() -> None:
    data_set = named()
    for keyword in ("StudyDescription", "SeriesDescription", "ProtocolName", "PatientID"):
        setattr(data_set, keyword, LONG)
    result = scan(data_set)
    kept = sum(len(value) for values in result.facts.values() for value in values)
    assert kept <= LIMITS.max_kept_bytes + 3 * 64
    assert [warning.kind for warning in result.warnings] == [FindingKind.VALUE_TOO_LONG]


def test_the_uids_that_name_an_instance_are_kept_whatever_comes_before_them() -> None:
    data_set = named()
    for keyword in ("StudyDescription", "SeriesDescription", "ProtocolName", "PatientID"):
        setattr(data_set, keyword, LONG)
    facts = scan(data_set).facts
    assert (facts["StudyInstanceUID"], facts["SeriesInstanceUID"]) == (("1.2.3",), ("1.2.3.1",))


def test_thousands_of_items_are_kept_up_to_a_bound() -> None:
    data_set = named()
    data_set.ProcedureCodeSequence = [_item() for _ in range(3000)]
    result = scan(data_set, IN_ITEMS)
    assert 0 < len(result.facts[parse_attribute(IN_ITEMS).name]) <= 4096 // 64
    assert result.facts["StudyInstanceUID"] == ("1.2.3",)


def _item() -> Dataset:
    item = Dataset()
    item.CodeValue = "X"
    return item
