"""What a STOW-RS request is answered (PS3.18 sections 10.5.3 and I.2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from router.dicom import statuses

MAX_COMMENT = 64
"""Characters of Error Comment (VR LO)."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one part of a request; empty UIDs where nobody could tell."""

    sop_class_uid: str
    sop_instance_uid: str
    status: int
    reason: str
    study_instance_uid: str = ""

    @property
    def is_stored(self) -> bool:
        """Whether the router answers for the instance from now on, or a discard filter meant it."""
        return statuses.is_stored(self.status)

    @property
    def is_for_want_of_room(self) -> bool:
        """Whether the same instance may be taken later."""
        return statuses.is_out_of_resources(self.status)


def http_status(results: Sequence[Result]) -> HTTPStatus:
    """The status of the whole request (table 10.5.3-1), and 503 if only room was missing."""
    if not results:
        return HTTPStatus.BAD_REQUEST
    stored = sum(result.is_stored for result in results)
    if stored == len(results):
        return HTTPStatus.OK
    if stored:
        return HTTPStatus.ACCEPTED
    if all(result.is_for_want_of_room for result in results):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT


def response_module(results: Sequence[Result]) -> bytes:
    """The Store Instances Response Module (table I.2-1) in the DICOM JSON model (annex F).

    Why an instance failed stands in Error Comment as well, as in a C-STORE-RSP. There is no
    Retrieve URL: the router is no archive.
    """
    stored = [_reference(one) for one in results if one.is_stored]
    failed = [_failure(one) for one in results if not one.is_stored and one.sop_instance_uid]
    others = [_failure(one) for one in results if not one.is_stored and not one.sop_instance_uid]
    module: dict[str, Any] = {"00081190": {"vr": "UR"}}
    for tag, items in (("00081198", failed), ("00081199", stored), ("0008119A", others)):
        if items:
            module[tag] = {"vr": "SQ", "Value": items}
    return json.dumps(module, separators=(",", ":")).encode()


def _reference(result: Result) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [result.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [result.sop_instance_uid]},
    }


def _failure(result: Result) -> dict[str, Any]:
    comment = result.reason or statuses.describe(result.status)
    item: dict[str, Any] = {
        "00000902": {"vr": "LO", "Value": [comment[:MAX_COMMENT].replace("\\", "/").strip()]},
        "00081197": {"vr": "US", "Value": [result.status]},
    }
    return item if not result.sop_instance_uid else {**item, **_reference(result)}
