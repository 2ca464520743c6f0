"""Real DICOM studies for the demonstration: pydicom's packaged files and generated series."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pydicom.data
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from router.modality.sender import OutgoingFile, read_outgoing

PACKAGED = "studies that pydicom packs"


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """A study as one modality sends it."""

    title: str
    calling_ae_title: str
    files: tuple[OutgoingFile, ...]


def make_studies(directory: Path) -> list[DemoStudy]:
    """Write the generated studies below ``directory`` and add those that pydicom brings along."""
    ct = _series(directory / "ct", "CT", CTImageStorage, instances=60, side=512)
    dx = _series(
        directory / "dx", "DX", DigitalXRayImageStorageForPresentation, instances=2, side=2048
    )
    report = _report(directory / "dx", pydicom.dcmread(dx[0], stop_before_pixels=True))
    nameless = _series(directory / "nameless", "", CTImageStorage, instances=3, side=64)
    return [
        DemoStudy("CT, 60 slices", "CT_SCANNER", _outgoing(ct)),
        DemoStudy("DX with its report", "XRAY_ROOM_1", _outgoing([*dx, report])),
        DemoStudy("no Modality: to be discarded", "OLD_DEVICE", _outgoing(nameless)),
        *_packaged_studies(),
    ]


def _outgoing(paths: list[Path]) -> tuple[OutgoingFile, ...]:
    files = (read_outgoing(path) for path in paths)
    return tuple(file for file in files if file is not None)


def _packaged_studies() -> list[DemoStudy]:
    """The studies among pydicom's test files, in all their transfer syntaxes."""
    by_study: dict[str, dict[str, OutgoingFile]] = {}
    packaged = Path(pydicom.data.__file__).parent / "test_files"
    for path in sorted(packaged.rglob("*.dcm")):
        file = read_outgoing(path)
        found = _identify(path) if file is not None else None
        if file is None or found is None or found[1] != file.sop_instance_uid:
            continue
        study_uid, instance_uid = found
        by_study.setdefault(study_uid, {}).setdefault(instance_uid, file)
    return [
        DemoStudy(PACKAGED, "ARCHIVE", tuple(files.values()))
        for _, files in sorted(by_study.items())
    ]


def _identify(path: Path) -> tuple[str, str] | None:
    """Study and instance, where a file says all that a study needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            head = pydicom.dcmread(path, specific_tags=_IDENTIFYING, stop_before_pixels=True)
        except Exception:  # noqa: BLE001 - some of these files are broken on purpose
            return None
    values = [str(head.get(keyword) or "") for keyword in _IDENTIFYING]
    return (values[0], values[1]) if all(values) else None


_IDENTIFYING = ["StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality"]


def _series(
    directory: Path, modality: str, sop_class_uid: str, instances: int, side: int
) -> list[Path]:
    directory.mkdir(parents=True)
    study_uid, series_uid = generate_uid(), generate_uid()
    paths = []
    for number in range(1, instances + 1):
        image = _identified(modality, sop_class_uid, study_uid, series_uid, number)
        image.Rows = image.Columns = side
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        row = bytes((number * 31 + column) % 256 for column in range(side * 2))
        image.PixelData = row * side
        paths.append(_save(image, directory / f"{number:04}.dcm"))
    return paths


def _report(directory: Path, image: Dataset) -> Path:
    report = _identified("SR", BasicTextSRStorage, image.StudyInstanceUID, generate_uid(), 1)
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    return _save(report, directory / "report.dcm")


def _identified(
    modality: str, sop_class_uid: str, study_uid: str, series_uid: str, number: int
) -> Dataset:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = sop_class_uid, generate_uid()
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = study_uid, series_uid
    data_set.Modality = modality
    data_set.InstitutionName = "Demonstration Hospital"
    data_set.PatientName, data_set.PatientID = "Demo^Patient", "DEMO-1"
    data_set.StudyDate, data_set.InstanceNumber = "20260101", number
    return data_set


def _save(data_set: Dataset, path: Path) -> Path:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.save_as(path, enforce_file_format=True)
    return path
