"""DIMSE messages as values (PS3.7 sections 9 and 10, annex E), to and from command sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.dicom import commandset as cs
from router.dicom.commandset import CommandSetError

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_FIND_RQ, C_FIND_RSP = 0x0020, 0x8020
C_MOVE_RQ, C_MOVE_RSP = 0x0021, 0x8021
C_ECHO_RQ, C_ECHO_RSP = 0x0030, 0x8030
N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP = 0x0100, 0x8100
N_ACTION_RQ, N_ACTION_RSP = 0x0130, 0x8130
C_CANCEL_RQ = 0x0FFF

MEDIUM = 0x0000
HAS_DATA_SET = 0x0001
MAX_COMMENT = 64
"""ErrorComment is an LO."""


@dataclass(frozen=True, slots=True)
class CEchoRQ:
    """C-ECHO request."""

    message_id: int
    sop_class_uid: str
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

    remaining: int | None  # None in the last response: there are none
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
    | NActionRQ
    | NEventReportRQ
    | CCancelRQ
    | UnknownRequest
    | MalformedRequest
)
Response = (
    CEchoRSP | CStoreRSP | CFindRSP | CMoveRSP | NActionRSP | NEventReportRSP | UnknownResponse
)
Message = Request | Response

_Elements = dict[int, int | str]


def decode_message(data: bytes) -> Message:
    """The message of a command set.

    Raises ``CommandSetError`` when the set cannot be read or says not even what it is; a request
    that merely lacks something mandatory becomes a ``MalformedRequest``.
    """
    elements = cs.decode(data)
    command = elements.get(cs.COMMAND_FIELD)
    if not isinstance(command, int):
        raise CommandSetError("the command set has no Command Field")
    has_data_set = elements.get(cs.COMMAND_DATA_SET_TYPE, cs.NO_DATA_SET) != cs.NO_DATA_SET
    if command & 0x8000:
        return _decode_response(command, elements, has_data_set)
    if command == C_CANCEL_RQ:
        return CCancelRQ(_number(elements, cs.MESSAGE_ID_BEING_RESPONDED_TO))
    message_id = elements.get(cs.MESSAGE_ID)
    if not isinstance(message_id, int):
        raise CommandSetError("the command set has no Message ID")
    missing = _missing(command, elements)
    if missing:
        return MalformedRequest(message_id, command, missing, has_data_set)
    return _decode_request(command, message_id, elements, has_data_set)


_SOP_CLASS = (cs.AFFECTED_SOP_CLASS_UID, "AffectedSOPClassUID")
_SOP_INSTANCE = (cs.AFFECTED_SOP_INSTANCE_UID, "AffectedSOPInstanceUID")
_REQUESTED_CLASS = (cs.REQUESTED_SOP_CLASS_UID, "RequestedSOPClassUID")
_REQUESTED_INSTANCE = (cs.REQUESTED_SOP_INSTANCE_UID, "RequestedSOPInstanceUID")

_MANDATORY: dict[int, tuple[tuple[int, str], ...]] = {
    C_STORE_RQ: (_SOP_CLASS, _SOP_INSTANCE),
    C_FIND_RQ: (_SOP_CLASS,),
    C_MOVE_RQ: (_SOP_CLASS, (cs.MOVE_DESTINATION, "MoveDestination")),
    N_ACTION_RQ: (_REQUESTED_CLASS, _REQUESTED_INSTANCE, (cs.ACTION_TYPE_ID, "ActionTypeID")),
    N_EVENT_REPORT_RQ: (_SOP_CLASS, _SOP_INSTANCE, (cs.EVENT_TYPE_ID, "EventTypeID")),
}


def _missing(command: int, elements: _Elements) -> tuple[str, ...]:
    return tuple(
        keyword
        for element, keyword in _MANDATORY.get(command, ())
        if elements.get(element) in (None, "")
    )


def _decode_request(
    command: int, message_id: int, elements: _Elements, has_data_set: bool
) -> Request:
    sop_class = _text(elements, cs.AFFECTED_SOP_CLASS_UID)
    sop_instance = _text(elements, cs.AFFECTED_SOP_INSTANCE_UID)
    if command == C_STORE_RQ:
        originator = elements.get(cs.MOVE_ORIGINATOR_MESSAGE_ID)
        return CStoreRQ(
            message_id,
            sop_class,
            sop_instance,
            _number(elements, cs.PRIORITY),
            _text(elements, cs.MOVE_ORIGINATOR_AE_TITLE),
            originator if isinstance(originator, int) else None,
            has_data_set,
        )
    if command == C_ECHO_RQ:
        return CEchoRQ(message_id, sop_class, has_data_set)
    if command == C_FIND_RQ:
        return CFindRQ(message_id, sop_class, _number(elements, cs.PRIORITY), has_data_set)
    if command == C_MOVE_RQ:
        destination = _text(elements, cs.MOVE_DESTINATION).strip()
        priority = _number(elements, cs.PRIORITY)
        return CMoveRQ(message_id, sop_class, destination, priority, has_data_set)
    if command == N_EVENT_REPORT_RQ:
        event = _number(elements, cs.EVENT_TYPE_ID)
        return NEventReportRQ(message_id, sop_class, sop_instance, event, has_data_set)
    if command == N_ACTION_RQ:
        return NActionRQ(
            message_id,
            _text(elements, cs.REQUESTED_SOP_CLASS_UID),
            _text(elements, cs.REQUESTED_SOP_INSTANCE_UID),
            _number(elements, cs.ACTION_TYPE_ID),
            has_data_set,
        )
    return UnknownRequest(
        message_id,
        command,
        sop_class or _text(elements, cs.REQUESTED_SOP_CLASS_UID),
        sop_instance or _text(elements, cs.REQUESTED_SOP_INSTANCE_UID),
        has_data_set,
    )


def _decode_response(command: int, elements: _Elements, has_data_set: bool) -> Response:
    message_id = elements.get(cs.MESSAGE_ID_BEING_RESPONDED_TO)
    status = elements.get(cs.STATUS)
    if not isinstance(message_id, int) or not isinstance(status, int):
        raise CommandSetError("a response without Message ID Being Responded To, or Status")
    sop_class = _text(elements, cs.AFFECTED_SOP_CLASS_UID)
    sop_instance = _text(elements, cs.AFFECTED_SOP_INSTANCE_UID)
    comment = _text(elements, cs.ERROR_COMMENT)
    if command == C_STORE_RSP:
        return CStoreRSP(message_id, sop_class, sop_instance, status, comment, has_data_set)
    if command == C_ECHO_RSP:
        return CEchoRSP(message_id, sop_class, status, has_data_set)
    if command == C_FIND_RSP:
        return CFindRSP(message_id, sop_class, status, has_data_set, comment)
    if command == C_MOVE_RSP:
        counts = _sub_operations(elements)
        return CMoveRSP(message_id, sop_class, status, counts, has_data_set, comment)
    if command == N_ACTION_RSP:
        action = _number(elements, cs.ACTION_TYPE_ID)
        return NActionRSP(message_id, sop_class, sop_instance, action, status, has_data_set)
    if command == N_EVENT_REPORT_RSP:
        event = _number(elements, cs.EVENT_TYPE_ID)
        return NEventReportRSP(message_id, sop_class, sop_instance, event, status, has_data_set)
    return UnknownResponse(message_id, command, status, has_data_set)


def _sub_operations(elements: _Elements) -> SubOperations | None:
    if cs.COMPLETED_SUB_OPERATIONS not in elements:
        return None
    remaining = elements.get(cs.REMAINING_SUB_OPERATIONS)
    return SubOperations(
        remaining if isinstance(remaining, int) else None,
        _number(elements, cs.COMPLETED_SUB_OPERATIONS),
        _number(elements, cs.FAILED_SUB_OPERATIONS),
        _number(elements, cs.WARNING_SUB_OPERATIONS),
    )


def _text(elements: _Elements, element: int) -> str:
    value = elements.get(element, "")
    return value if isinstance(value, str) else ""


def _number(elements: _Elements, element: int) -> int:
    value = elements.get(element, 0)
    return value if isinstance(value, int) else 0


def encode_message(message: Message) -> bytes:
    """The command set of a message."""
    encoder = _ENCODERS.get(type(message))
    if encoder is None:
        raise TypeError(f"{type(message).__name__} is only received, never sent")
    elements = encoder(message)
    elements[cs.COMMAND_DATA_SET_TYPE] = HAS_DATA_SET if message.has_data_set else cs.NO_DATA_SET
    return cs.encode(elements)


def encode_failure(request: UnknownRequest | MalformedRequest, status: int, comment: str) -> bytes:
    """The response to a request that cannot be carried out, whatever it was."""
    return cs.encode(
        {
            cs.COMMAND_FIELD: request.command_field | 0x8000,
            cs.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
            cs.COMMAND_DATA_SET_TYPE: cs.NO_DATA_SET,
            cs.STATUS: status,
            cs.ERROR_COMMENT: comment[:MAX_COMMENT],
        }
    )


def _store_rq(message: CStoreRQ) -> _Elements:
    elements: _Elements = {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_STORE_RQ,
        cs.MESSAGE_ID: message.message_id,
        cs.PRIORITY: message.priority,
        cs.AFFECTED_SOP_INSTANCE_UID: message.sop_instance_uid,
    }
    if message.move_originator_message_id is not None:
        elements[cs.MOVE_ORIGINATOR_AE_TITLE] = message.move_originator_ae_title
        elements[cs.MOVE_ORIGINATOR_MESSAGE_ID] = message.move_originator_message_id
    return elements


def _store_rsp(message: CStoreRSP) -> _Elements:
    elements: _Elements = {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_STORE_RSP,
        cs.MESSAGE_ID_BEING_RESPONDED_TO: message.message_id,
        cs.STATUS: message.status,
        cs.AFFECTED_SOP_INSTANCE_UID: message.sop_instance_uid,
    }
    if message.error_comment:
        elements[cs.ERROR_COMMENT] = message.error_comment[:MAX_COMMENT]
    return elements


def _echo_rq(message: CEchoRQ) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_ECHO_RQ,
        cs.MESSAGE_ID: message.message_id,
    }


def _echo_rsp(message: CEchoRSP) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_ECHO_RSP,
        cs.MESSAGE_ID_BEING_RESPONDED_TO: message.message_id,
        cs.STATUS: message.status,
    }


def _find_rq(message: CFindRQ) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_FIND_RQ,
        cs.MESSAGE_ID: message.message_id,
        cs.PRIORITY: message.priority,
    }


def _find_rsp(message: CFindRSP) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_FIND_RSP,
        cs.MESSAGE_ID_BEING_RESPONDED_TO: message.message_id,
        cs.STATUS: message.status,
        **_comment(message.error_comment),
    }


def _comment(text: str) -> _Elements:
    return {cs.ERROR_COMMENT: text[:MAX_COMMENT]} if text else {}


def _move_rq(message: CMoveRQ) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_MOVE_RQ,
        cs.MESSAGE_ID: message.message_id,
        cs.PRIORITY: message.priority,
        cs.MOVE_DESTINATION: message.move_destination,
    }


def _move_rsp(message: CMoveRSP) -> _Elements:
    elements: _Elements = {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: C_MOVE_RSP,
        cs.MESSAGE_ID_BEING_RESPONDED_TO: message.message_id,
        cs.STATUS: message.status,
        **_comment(message.error_comment),
    }
    if message.counts is not None:
        if message.counts.remaining is not None:
            elements[cs.REMAINING_SUB_OPERATIONS] = message.counts.remaining
        elements[cs.COMPLETED_SUB_OPERATIONS] = message.counts.completed
        elements[cs.FAILED_SUB_OPERATIONS] = message.counts.failed
        elements[cs.WARNING_SUB_OPERATIONS] = message.counts.warning
    return elements


def _action_rq(message: NActionRQ) -> _Elements:
    return {
        cs.REQUESTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: N_ACTION_RQ,
        cs.MESSAGE_ID: message.message_id,
        cs.REQUESTED_SOP_INSTANCE_UID: message.sop_instance_uid,
        cs.ACTION_TYPE_ID: message.action_type_id,
    }


def _action_rsp(message: NActionRSP) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: N_ACTION_RSP,
        cs.MESSAGE_ID_BEING_RESPONDED_TO: message.message_id,
        cs.STATUS: message.status,
        cs.AFFECTED_SOP_INSTANCE_UID: message.sop_instance_uid,
        cs.ACTION_TYPE_ID: message.action_type_id,
    }


def _event_rq(message: NEventReportRQ) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: N_EVENT_REPORT_RQ,
        cs.MESSAGE_ID: message.message_id,
        cs.AFFECTED_SOP_INSTANCE_UID: message.sop_instance_uid,
        cs.EVENT_TYPE_ID: message.event_type_id,
    }


def _event_rsp(message: NEventReportRSP) -> _Elements:
    return {
        cs.AFFECTED_SOP_CLASS_UID: message.sop_class_uid,
        cs.COMMAND_FIELD: N_EVENT_REPORT_RSP,
        cs.MESSAGE_ID_BEING_RESPONDED_TO: message.message_id,
        cs.STATUS: message.status,
        cs.AFFECTED_SOP_INSTANCE_UID: message.sop_instance_uid,
        cs.EVENT_TYPE_ID: message.event_type_id,
    }


_ENCODERS: dict[type[Message], Callable[..., _Elements]] = {
    CStoreRQ: _store_rq,
    CStoreRSP: _store_rsp,
    CEchoRQ: _echo_rq,
    CEchoRSP: _echo_rsp,
    CFindRQ: _find_rq,
    CFindRSP: _find_rsp,
    CMoveRQ: _move_rq,
    CMoveRSP: _move_rsp,
    NActionRQ: _action_rq,
    NActionRSP: _action_rsp,
    NEventReportRQ: _event_rq,
    NEventReportRSP: _event_rsp,
}
