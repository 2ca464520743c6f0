"""Identifiers of Study Root C-FIND (PS3.4 section C.6.2) that ask how many instances there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router.dicom.data_sets import read_data_set, write_data_set


class QueryLevel(StrEnum):
    """Query/Retrieve Level (0008,0052)."""

    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


_COUNTS = {
    QueryLevel.STUDY: "NumberOfStudyRelatedInstances",
    QueryLevel.SERIES: "NumberOfSeriesRelatedInstances",
}


@dataclass(frozen=True, slots=True)
class Match:
    """What a pending answer says; empty texts and None where it does not say."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    instances: int | None


def write_identifier(
    level: QueryLevel, study_instance_uid: str, transfer_syntax_uid: str, series: str = ""
) -> bytes:
    """Ask for the instances of a study, for its series, or for the instances of a ``series``."""
    from pydicom.dataset import Dataset

    identifier = Dataset()
    identifier.QueryRetrieveLevel = level.value
    identifier.StudyInstanceUID = study_instance_uid
    if level is not QueryLevel.STUDY:
        identifier.SeriesInstanceUID = series
    if level is QueryLevel.IMAGE:
        identifier.SOPInstanceUID = ""
    else:
        setattr(identifier, _COUNTS[level], None)
    return write_data_set(identifier, transfer_syntax_uid)


def read_match(data: bytes, level: QueryLevel, transfer_syntax_uid: str) -> Match:
    """What an answer of this level says; raises ``CannotUnderstand``."""
    found = read_data_set(data, transfer_syntax_uid, "an answer to C-FIND")
    count = found.get(_COUNTS.get(level, ""), None) if level in _COUNTS else None
    return Match(
        str(found.get("StudyInstanceUID") or ""),
        str(found.get("SeriesInstanceUID") or ""),
        str(found.get("SOPInstanceUID") or ""),
        int(count) if isinstance(count, int) and count >= 0 else None,
    )
