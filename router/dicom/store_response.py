"""What a STOW-RS server says it has stored (PS3.18 section 10.5.3, table I.1-1), in DICOM JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from router.dicom import statuses

MEDIA_TYPE = "application/dicom+json"

_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_SEQUENCE = "00081199"
_REFERENCED_SOP_INSTANCE_UID = "00081155"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"


def read_store_response(text: bytes) -> Mapping[str, int]:
    """SOP Instance UID to status, of each instance that the response mentions.

    Success (0000), the reason of a warning, or that of a failure. An instance that it calls stored
    and failed has failed. Raises ``ValueError`` for anything that is no such response.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    data_sets = document if isinstance(document, list) else [document]
    if not all(isinstance(data_set, dict) for data_set in data_sets):
        raise ValueError("it is no data set")
    said: dict[str, int] = {}
    for sequence, reason, otherwise in (
        (_REFERENCED_SOP_SEQUENCE, _WARNING_REASON, statuses.SUCCESS),
        (_FAILED_SOP_SEQUENCE, _FAILURE_REASON, statuses.PROCESSING_FAILURE),
    ):
        for data_set in data_sets:
            for item in _values(data_set, sequence):
                uid = next(_values(item, _REFERENCED_SOP_INSTANCE_UID), None)
                if isinstance(uid, str):
                    status = next(_values(item, reason), otherwise)
                    said[uid.rstrip("\0 ")] = status if isinstance(status, int) else otherwise
    return said


def _values(data_set: Any, tag: str) -> Iterator[Any]:
    """The values of an element, none where it is not there or not as DICOM JSON has it."""
    element = data_set.get(tag) if isinstance(data_set, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return iter(values if isinstance(values, list) else ())
