"""DIMSE messages as values (PS3.7 sections 9 and 10).

A field without a default is mandatory in a request (``dimse_codec`` holds peers to that).
"""

from __future__ import annotations

from dataclasses import dataclass

MEDIUM = 0x0000
"""The priority of requests that say nothing about it."""


@dataclass(frozen=True, slots=True)
class CEchoRQ:
    """C-ECHO request."""

    message_id: int
    sop_class_uid: str = ""  # there is only one, and who leaves it out is answered
    has_data_set: bool = False


@dataclass(frozen=True, slots=True)
class CEchoRSP:
    """C-ECHO response."""

    message_id: int
    sop_class_uid: str
    status: int
    has_data_set: bool = False


@dataclass(frozen=True, slots=True)
class CStoreRQ:
    """C-STORE request."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    priority: int = MEDIUM
    move_originator_ae_title: str = ""
    move_originator_message_id: int | None = None
    has_data_set: bool = True


@dataclass(frozen=True, slots=True)
class CStoreRSP:
    """C-STORE response."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    status: int
    error_comment: str = ""
    has_data_set: bool = False


@dataclass(frozen=True, slots=True)
class CFindRQ:
    """C-FIND request; its identifier is the data set."""

    message_id: int
    sop_class_uid: str
    priority: int = MEDIUM
    has_data_set: bool = True


@dataclass(frozen=True, slots=True)
class CFindRSP:
    """C-FIND response; a pending one carries an identifier."""

    message_id: int
    sop_class_uid: str
    status: int
    has_data_set: bool = False
    error_comment: str = ""


@dataclass(frozen=True, slots=True)
class CMoveRQ:
    """C-MOVE request; its identifier is the data set."""

    message_id: int
    sop_class_uid: str
    move_destination: str
    priority: int = MEDIUM
    has_data_set: bool = True


@dataclass(frozen=True, slots=True)
class SubOperations:
    """How many C-STORE sub-operations have ended in which way."""

    remaining: int | None  # None in the last response, unless it was cancelled: there are none
    completed: int
    failed: int
    warning: int


@dataclass(frozen=True, slots=True)
class CMoveRSP:
    """C-MOVE response; the last one may carry an identifier that lists what failed."""

    message_id: int
    sop_class_uid: str
    status: int
    counts: SubOperations | None = None
    has_data_set: bool = False
    error_comment: str = ""


@dataclass(frozen=True, slots=True)
class CGetRQ:
    """C-GET request; its identifier is the data set, its sub-operations come back the same way."""

    message_id: int
    sop_class_uid: str
    priority: int = MEDIUM
    has_data_set: bool = True


@dataclass(frozen=True, slots=True)
class CGetRSP:
    """C-GET response; the last one may carry an identifier that lists what failed."""

    message_id: int
    sop_class_uid: str
    status: int
    counts: SubOperations | None = None
    has_data_set: bool = False
    error_comment: str = ""


@dataclass(frozen=True, slots=True)
class NActionRQ:
    """N-ACTION request."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    action_type_id: int
    has_data_set: bool = True


@dataclass(frozen=True, slots=True)
class NActionRSP:
    """N-ACTION response."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    action_type_id: int
    status: int
    has_data_set: bool = False


@dataclass(frozen=True, slots=True)
class NEventReportRQ:
    """N-EVENT-REPORT request."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    event_type_id: int
    has_data_set: bool = True


@dataclass(frozen=True, slots=True)
class NEventReportRSP:
    """N-EVENT-REPORT response."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    event_type_id: int
    status: int
    has_data_set: bool = False


@dataclass(frozen=True, slots=True)
class CCancelRQ:
    """C-CANCEL request: has no response of its own."""

    message_id: int  # of the request to be cancelled
    has_data_set: bool = False


@dataclass(frozen=True, slots=True)
class UnknownRequest:
    """An operation that the router has no name for: answered 0211, the association lives on."""

    message_id: int
    command_field: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


@dataclass(frozen=True, slots=True)
class UnknownResponse:
    """Some other response, as far as all responses are alike."""

    message_id: int
    command_field: int
    status: int
    has_data_set: bool


@dataclass(frozen=True, slots=True)
class MalformedRequest:
    """A request without a mandatory element: answered 0120, the association lives on."""

    message_id: int
    command_field: int
    missing: tuple[str, ...]
    has_data_set: bool


Request = (
    CEchoRQ
    | CStoreRQ
    | CFindRQ
    | CMoveRQ
    | CGetRQ
    | NActionRQ
    | NEventReportRQ
    | CCancelRQ
    | UnknownRequest
    | MalformedRequest
)
Response = (
    CEchoRSP
    | CStoreRSP
    | CFindRSP
    | CMoveRSP
    | CGetRSP
    | NActionRSP
    | NEventReportRSP
    | UnknownResponse
)
Message = Request | Response
