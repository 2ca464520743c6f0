"""Identifiers of C-FIND and C-MOVE (PS3.4 sections C.4.1.1.3 and C.4.2.1.4), by pydicom.

Reading and writing them takes a while: in worker threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.dicom.data_sets import read_data_set, write_data_set
from router.dicom.query import QueryLevel
from router.domain.dictionary import tag_of, vr_of
from router.domain.errors import CannotUnderstand

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

LEVEL, CHARACTER_SET = "QueryRetrieveLevel", "SpecificCharacterSet"
UTF_8 = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: the level, and each key as DICOM writes it; an empty one matches all."""

    level: QueryLevel
    keys: Mapping[str, str]  # by keyword


def read_query(data: bytes, transfer_syntax_uid: str) -> Query:
    """What an identifier asks; raises ``CannotUnderstand``."""
    data_set = read_data_set(data, transfer_syntax_uid, "an identifier")
    level = str(data_set.get(LEVEL) or "").strip()
    if level not in set(QueryLevel):
        raise CannotUnderstand(f"Query/Retrieve Level {level!r} is none of Study Root")
    keys = {
        element.keyword: _text(element)
        for element in data_set
        if element.keyword and element.keyword not in (LEVEL, CHARACTER_SET)
    }
    return Query(QueryLevel(level), keys)


def _text(element: DataElement) -> str:
    value = element.value
    if element.VR == "SQ" or value is None:
        return ""
    if isinstance(value, str | bytes):
        return value if isinstance(value, str) else ""
    several = value if isinstance(value, Sequence) else (value,)
    return "\\".join(map(str, several))


def write_answer(
    query: Query, found: Mapping[str, str], ae_title: str, transfer_syntax_uid: str
) -> bytes:
    """One match: every key that was asked for, empty where nothing is known."""
    values = {**dict.fromkeys(query.keys, ""), **found, "RetrieveAETitle": ae_title}
    values[LEVEL] = query.level.value
    return write_data_set(data_set_of(values), transfer_syntax_uid)


def write_failed(sop_instance_uids: Sequence[str], transfer_syntax_uid: str) -> bytes:
    """The identifier of a last C-MOVE response: what could not be sent."""
    failed = data_set_of({"FailedSOPInstanceUIDList": "\\".join(sop_instance_uids)})
    return write_data_set(failed, transfer_syntax_uid)


def data_set_of(values: Mapping[str, str]) -> Dataset:
    """A data set of these values by keyword, as DICOM writes them."""
    from pydicom.dataset import Dataset

    answer = Dataset()
    for keyword, value in values.items():
        _put(answer, keyword, value)
    if not all(value.isascii() for value in values.values()):
        _put(answer, CHARACTER_SET, UTF_8)
    return answer


def _put(answer: Dataset, keyword: str, value: str) -> None:
    """Set an element; what its VR does not allow, though a modality wrote it, is left empty."""
    from pydicom import config
    from pydicom.dataelem import DataElement

    tag = tag_of(keyword)
    if tag is None:
        return
    vr = vr_of(tag)
    try:
        content = [] if vr == "SQ" else value
        answer.add(DataElement(tag, vr, content, validation_mode=config.IGNORE))
    except (ValueError, TypeError, OverflowError):
        answer.add(DataElement(tag, vr, None))
