"""The main DICOM tags: what the index keeps of each level, and no file is read for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from router.domain.attributes import parse_attribute


class Level(StrEnum):
    """Levels of the DICOM model of the real world (PS3.3 section 7)."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


ABOVE_INSTANCES = (Level.PATIENT, Level.STUDY, Level.SERIES)

MAIN_TAGS: Mapping[Level, tuple[str, ...]] = {
    Level.PATIENT: ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    Level.STUDY: (
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "StudyDescription",
        "AccessionNumber",
        "ReferringPhysicianName",
        "InstitutionName",
        "RequestedProcedureDescription",
    ),
    Level.SERIES: (
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDate",
        "SeriesTime",
        "SeriesDescription",
        "BodyPartExamined",
        "ProtocolName",
        "StationName",
        "Manufacturer",
        "OperatorsName",
    ),
    Level.INSTANCE: (
        "SOPInstanceUID",
        "SOPClassUID",
        "InstanceNumber",
        "AcquisitionNumber",
        "NumberOfFrames",
        "ContentDate",
        "ContentTime",
        "ImageComments",
    ),
}
"""Keywords by level; the first one is its unique key. UIDs of instances are those of C-STORE."""

ATTRIBUTES = tuple(parse_attribute(keyword) for tags in MAIN_TAGS.values() for keyword in tags)
"""What is read from each data set."""

_WORD_BEGINS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def column_of(keyword: str) -> str:
    """What the column of a tag is called: ``SOPInstanceUID`` is ``sop_instance_uid``."""
    return _WORD_BEGINS.sub("_", keyword).lower()
