"""The DICOM JSON model of a file, without bulk data."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from candidates.writer.reading import StoredFile, open_file
from candidates.writer.storage import Storage
from candidates.writer.web.metadata import MAX_BINARY_BYTES, MAX_BYTES, read_metadata
from router.dicom import uids
from router.dicom.part10 import read_file_header
from router.domain.errors import CannotUnderstand
from tests.dicomweb.uploading import file_of
from tests.ingress.doorway import attributes


@contextmanager
def stored(tmp_path: Path, content: bytes) -> Iterator[StoredFile]:
    """A file of a storage area."""
    storage = Storage(tmp_path)
    incoming = storage.begin(content)
    file = open_file(storage, storage.seal(incoming))
    try:
        yield file
    finally:
        file.close()


def metadata(tmp_path: Path, content: bytes) -> dict[str, Any]:
    with stored(tmp_path, content) as file:
        told: dict[str, Any] = json.loads(read_metadata(file))
        return told


def an_instance(**values: Any) -> Dataset:
    return attributes(
        StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(),
        SOPInstanceUID=generate_uid(),
        **values,
    )


@pytest.mark.parametrize(
    "syntax",
    [
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ],
    ids=uids.name,
)
def test_every_syntax_says_the_same(tmp_path: Path, syntax: str) -> None:
    one = an_instance(PatientName="Doe^Jane", Rows=512, PixelSpacing=[0.5, 0.25])

    told = metadata(tmp_path, file_of(one, syntax))

    assert told["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
    assert told["00280010"] == {"vr": "US", "Value": [512]}
    assert told["00280030"] == {"vr": "DS", "Value": [0.5, 0.25]}
    assert told["0020000D"]["Value"] == [one.StudyInstanceUID]
    assert told["00083002"] == {"vr": "UI", "Value": [syntax]}


def test_pydicom_reads_it_again(tmp_path: Path) -> None:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "T-1", "Thing"
    one = an_instance(PatientID="P1", ProcedureCodeSequence=Sequence([item]), StudyDescription="")

    again = Dataset.from_json(json.dumps(metadata(tmp_path, file_of(one))))

    assert again.ProcedureCodeSequence[0].CodeMeaning == "Thing"
    assert again.PatientID == "P1"
    assert again.StudyDescription == ""


def test_text_is_told_in_utf_8_whatever_it_came_in(tmp_path: Path) -> None:
    one = an_instance(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen")

    told = metadata(tmp_path, file_of(one))

    assert told["00100010"]["Value"] == [{"Alphabetic": "Müller^Jürgen"}]
    assert told["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}


def test_bulk_data_is_left_out_wherever_it_stands(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new(0x54001010, "OW", bytes(MAX_BINARY_BYTES + 2))  # Waveform Data
    item.WaveformBitsAllocated = 16
    one = an_instance(WaveformSequence=Sequence([item]))
    one.add_new(0x00091002, "OB", bytes(MAX_BINARY_BYTES))
    one.add_new(0x00091003, "OB", bytes(MAX_BINARY_BYTES + 2))
    one.PixelData = bytes(1000)
    one["PixelData"].VR = "OW"

    told = metadata(tmp_path, file_of(one))

    assert "7FE00010" not in told
    assert told["54000100"]["Value"] == [{"54001004": {"vr": "US", "Value": [16]}}]
    assert "InlineBinary" in told["00091002"]
    assert "00091003" not in told


def test_nothing_behind_the_head_is_read(tmp_path: Path) -> None:
    one = an_instance(PatientID="P1")
    one.PixelData = bytes(4 << 20)
    one["PixelData"].VR = "OW"

    with stored(tmp_path, file_of(one)) as file:
        read_metadata(file)
        left = len(file.read(8 << 20))

    assert left > 3 << 20


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_word_for_is_left_out(tmp_path: Path, value: float) -> None:
    one = an_instance(PatientID="P1")
    one.add_new(0x00189073, "FD", value)

    told = metadata(tmp_path, file_of(one))

    assert "00189073" not in told
    assert told["00100020"]["Value"] == ["P1"]


def test_a_value_against_its_vr_is_left_out_and_the_rest_is_told(tmp_path: Path) -> None:
    one = an_instance(PatientID="P1")
    one.add(DataElement(0x00200013, "IS", b"one", already_converted=True))

    told = metadata(tmp_path, file_of(one))

    assert told["00100020"]["Value"] == ["P1"]


@pytest.mark.parametrize(
    "content",
    [b"no DICOM", bytes(128) + b"DICM"],
    ids=["nothing", "no File Meta group"],
)
def test_what_is_no_instance_is_not_understood(tmp_path: Path, content: bytes) -> None:
    with stored(tmp_path, content) as file, pytest.raises(CannotUnderstand):
        read_metadata(file)


def test_a_head_beyond_the_bound_is_not_read_into_memory(tmp_path: Path) -> None:
    one = an_instance(PatientID="P1")
    one.add_new(0x00091003, "OB", bytes(MAX_BYTES))

    with stored(tmp_path, file_of(one)) as file, pytest.raises(CannotUnderstand, match="32 MiB"):
        read_metadata(file)


def test_a_deflated_head_beyond_the_bound_is_not_inflated(tmp_path: Path) -> None:
    content = file_of(an_instance(), uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    head = content[: read_file_header(content).data_set_offset]
    element = b"\x09\x00\x03\x10OB\0\0" + (MAX_BYTES + 2).to_bytes(4, "little")
    bomb = zlib.compress(element + bytes(MAX_BYTES + 2), wbits=-zlib.MAX_WBITS)

    with stored(tmp_path, head + bomb) as file, pytest.raises(CannotUnderstand):
        read_metadata(file)
