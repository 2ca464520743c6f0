"""Real DICOM files for tests: those that pydicom packs, and generated ones."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydicom
import pydicom.data
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from router.dicom.part10 import read_file_header
from router.domain.errors import CannotUnderstand


@dataclass(frozen=True)
class CorpusFile:
    """A Part 10 file and what its File Meta group says."""

    path: Path
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    data_set: bytes
    is_routable: bool  # its data set says all that a router needs, in line with its File Meta


@cache
def real_files() -> tuple[CorpusFile, ...]:
    """Every file of pydicom's with a complete File Meta group; each SOP Instance UID once."""
    found: dict[str, CorpusFile] = {}
    packaged = Path(pydicom.data.__file__).parent  # what the wheel carries; nothing is downloaded
    paths = [*packaged.glob("test_files/**/*"), *packaged.glob("charset_files/*.dcm")]
    for path in sorted(paths):
        file = _read(path) if path.is_file() else None
        if file is not None:
            known = found.get(file.sop_instance_uid)
            if known is None or (file.is_routable and not known.is_routable):
                found[file.sop_instance_uid] = file
    return tuple(found.values())


def _read(path: Path) -> CorpusFile | None:
    content = path.read_bytes()
    try:
        header = read_file_header(content)
    except CannotUnderstand:
        return None
    return CorpusFile(
        path,
        header.transfer_syntax_uid,
        header.sop_class_uid,
        header.sop_instance_uid,
        content[header.data_set_offset :],
        _is_routable(path, header.sop_class_uid, header.sop_instance_uid),
    )


def _is_routable(path: Path, sop_class_uid: str, sop_instance_uid: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            head = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception:  # noqa: BLE001 - some of these files are broken on purpose
            return False
    same = (head.get("SOPClassUID"), head.get("SOPInstanceUID")) == (
        sop_class_uid,
        sop_instance_uid,
    )
    study, series = head.get("StudyInstanceUID"), head.get("SeriesInstanceUID")
    return bool(same and study and series and head.get("Modality"))


def make_ct_series(
    directory: Path, instances: int, rows: int, columns: int, modality: str = "CT"
) -> list[Path]:
    """One study of one series, each instance in a file that is named after its UID."""
    directory.mkdir(parents=True, exist_ok=True)
    study_uid, series_uid = generate_uid(), generate_uid()
    return [
        _save(
            _image(modality, CTImageStorage, study_uid, series_uid, number, rows, columns),
            directory,
        )
        for number in range(1, instances + 1)
    ]


def make_study(directory: Path, modality: str = "MR", **series: int) -> dict[str, list[Path]]:
    """One study; for each SeriesDescription, in which ``_`` is a space, so many instances."""
    directory.mkdir(parents=True, exist_ok=True)
    study_uid = generate_uid()
    made: dict[str, list[Path]] = {}
    for name, instances in series.items():
        series_uid = generate_uid()
        made[name] = []
        for number in range(1, instances + 1):
            image = _image(modality, MRImageStorage, study_uid, series_uid, number, 16, 16)
            image.SeriesDescription = name.replace("_", " ")
            made[name].append(_save(image, directory))
    return made


def make_dx(directory: Path, rows: int = 512, columns: int = 512) -> Path:
    """A study of one DX image."""
    directory.mkdir(parents=True, exist_ok=True)
    image = _image(
        "DX",
        DigitalXRayImageStorageForPresentation,
        generate_uid(),
        generate_uid(),
        1,
        rows,
        columns,
    )
    return _save(image, directory)


def _image(
    modality: str,
    sop_class_uid: str,
    study_uid: str,
    series_uid: str,
    number: int,
    rows: int,
    columns: int,
) -> Dataset:
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = sop_class_uid, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = study_uid, series_uid
    image.Modality, image.InstitutionName = modality, "Test Hospital"
    image.PatientName, image.PatientID = "Test^Patient", "T-1"
    image.StudyDate, image.InstanceNumber = "20260101", number
    image.Rows, image.Columns = rows, columns
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelData = bytes((number + column) % 251 for column in range(columns * 2)) * rows
    return image


def _save(data_set: Dataset, directory: Path) -> Path:
    path = directory / f"{data_set.SOPInstanceUID}.dcm"
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.save_as(path, enforce_file_format=True)
    return path


def nested_sequences(levels: int, *, explicit: bool = True, undefined: bool = True) -> bytes:
    """A sequence (0040,0275) nested so many levels deep, in little endian."""
    body = b""
    for _ in range(levels):
        item_end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) if undefined else b""
        sequence_end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""
        item_length = 0xFFFFFFFF if undefined else len(body)
        item = struct.pack("<HHI", 0xFFFE, 0xE000, item_length) + body + item_end
        length = 0xFFFFFFFF if undefined else len(item)
        vr = b"SQ\0\0" if explicit else b""
        body = struct.pack("<HH", 0x0040, 0x0275) + vr + struct.pack("<I", length)
        body += item + sequence_end
    return body


def make_deep_nesting(directory: Path, levels: int) -> Path:
    """A file that crashes common receivers: valid in every other way."""
    [path] = make_ct_series(directory, instances=1, rows=4, columns=4)
    content = path.read_bytes()
    pixel_data = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    path.write_bytes(content[:pixel_data] + nested_sequences(levels) + content[pixel_data:])
    return path
