"""DIMSE messages to and from command sets (PS3.7 sections 9.3 and 10.3, annex E).

Every field of a message is one element of its command set, whatever the message: one table says
which, and the layouts of all messages follow from their fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from typing import NamedTuple

from router.dicom import commandset as cs
from router.dicom.commandset import CommandSetError
from router.dicom.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CMoveRQ,
    CMoveRSP,
    CStoreRQ,
    CStoreRSP,
    MalformedRequest,
    Message,
    NActionRQ,
    NActionRSP,
    NEventReportRQ,
    NEventReportRSP,
    SubOperations,
    UnknownRequest,
    UnknownResponse,
)

IS_RESPONSE = 0x8000
"""The bit of a Command Field that tells a response from its request."""

HAS_DATA_SET = 0x0001
"""Any Command Data Set Type but ``commandset.NO_DATA_SET``."""

MAX_COMMENT = 64
"""ErrorComment is an LO."""

# Command Fields (PS3.7 table E.1-1)
C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_GET_RQ, C_GET_RSP = 0x0010, 0x8010
C_FIND_RQ, C_FIND_RSP = 0x0020, 0x8020
C_MOVE_RQ, C_MOVE_RSP = 0x0021, 0x8021
C_ECHO_RQ, C_ECHO_RSP = 0x0030, 0x8030
N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP = 0x0100, 0x8100
N_ACTION_RQ, N_ACTION_RSP = 0x0130, 0x8130
C_CANCEL_RQ = 0x0FFF

_MESSAGES: dict[int, type[Message]] = {
    C_STORE_RQ: CStoreRQ,
    C_STORE_RSP: CStoreRSP,
    C_GET_RQ: CGetRQ,
    C_GET_RSP: CGetRSP,
    C_FIND_RQ: CFindRQ,
    C_FIND_RSP: CFindRSP,
    C_MOVE_RQ: CMoveRQ,
    C_MOVE_RSP: CMoveRSP,
    C_ECHO_RQ: CEchoRQ,
    C_ECHO_RSP: CEchoRSP,
    N_EVENT_REPORT_RQ: NEventReportRQ,
    N_EVENT_REPORT_RSP: NEventReportRSP,
    N_ACTION_RQ: NActionRQ,
    N_ACTION_RSP: NActionRSP,
}

_ELEMENTS = {
    "sop_class_uid": cs.AFFECTED_SOP_CLASS_UID,
    "sop_instance_uid": cs.AFFECTED_SOP_INSTANCE_UID,
    "priority": cs.PRIORITY,
    "status": cs.STATUS,
    "error_comment": cs.ERROR_COMMENT,
    "event_type_id": cs.EVENT_TYPE_ID,
    "action_type_id": cs.ACTION_TYPE_ID,
    "move_destination": cs.MOVE_DESTINATION,
    "move_originator_ae_title": cs.MOVE_ORIGINATOR_AE_TITLE,
    "move_originator_message_id": cs.MOVE_ORIGINATOR_MESSAGE_ID,
}
_REQUESTED = {
    "sop_class_uid": cs.REQUESTED_SOP_CLASS_UID,
    "sop_instance_uid": cs.REQUESTED_SOP_INSTANCE_UID,
}
"""What N-ACTION requests have where all others have the affected ones."""

_KEYWORDS = {
    cs.AFFECTED_SOP_CLASS_UID: "AffectedSOPClassUID",
    cs.AFFECTED_SOP_INSTANCE_UID: "AffectedSOPInstanceUID",
    cs.REQUESTED_SOP_CLASS_UID: "RequestedSOPClassUID",
    cs.REQUESTED_SOP_INSTANCE_UID: "RequestedSOPInstanceUID",
    cs.MOVE_DESTINATION: "MoveDestination",
    cs.EVENT_TYPE_ID: "EventTypeID",
    cs.ACTION_TYPE_ID: "ActionTypeID",
}
"""Of all that is mandatory in any request."""

_SUB_OPERATIONS = {
    "remaining": cs.REMAINING_SUB_OPERATIONS,
    "completed": cs.COMPLETED_SUB_OPERATIONS,
    "failed": cs.FAILED_SUB_OPERATIONS,
    "warning": cs.WARNING_SUB_OPERATIONS,
}
"""The elements of the only field that is several of them."""
_COUNTING = (CMoveRSP, CGetRSP)

_NOTHING = ("", None)

_Elements = dict[int, int | str]


class _Field(NamedTuple):
    """A field of a message, and the element that it is."""

    name: str
    element: int
    blank: object
    """What the field holds when there is no such element."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a message lies in its command set."""

    message: Callable[..., Message]
    command_field: int
    mandatory: tuple[_Field, ...]  # in a request
    optional: tuple[_Field, ...]  # left out where they say nothing
    fields: tuple[_Field, ...]  # all of them


def _layout(command_field: int, message: type[Message]) -> _Layout:
    elements = _ELEMENTS | (_REQUESTED if message is NActionRQ else {})
    mandatory, optional = [], []
    for field in fields(message):
        if (element := elements.get(field.name)) is None:
            continue  # not of this message alone, or not of one element
        if field.default is MISSING:
            blank = 0 if element in cs.NUMBERS else ""
            mandatory.append(_Field(field.name, element, blank))
        else:
            optional.append(_Field(field.name, element, field.default))
    return _Layout(
        message, command_field, tuple(mandatory), tuple(optional), (*mandatory, *optional)
    )


_LAYOUTS = {command: _layout(command, message) for command, message in _MESSAGES.items()}
_LAYOUTS_BY_MESSAGE = {layout.message: layout for layout in _LAYOUTS.values()}


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
    if command & IS_RESPONSE:
        return _decode_response(command, elements, has_data_set)
    if command == C_CANCEL_RQ:
        return CCancelRQ(_number(elements, cs.MESSAGE_ID_BEING_RESPONDED_TO))
    return _decode_request(command, elements, has_data_set)


def _decode_request(command: int, elements: _Elements, has_data_set: bool) -> Message:
    message_id = elements.get(cs.MESSAGE_ID)
    if not isinstance(message_id, int):
        raise CommandSetError("the command set has no Message ID")
    layout = _LAYOUTS.get(command)
    if layout is None:
        sop_class = _text(elements, cs.AFFECTED_SOP_CLASS_UID, cs.REQUESTED_SOP_CLASS_UID)
        instance = _text(elements, cs.AFFECTED_SOP_INSTANCE_UID, cs.REQUESTED_SOP_INSTANCE_UID)
        return UnknownRequest(message_id, command, sop_class, instance, has_data_set)
    missing = tuple(
        _KEYWORDS[element] for _, element, _ in layout.mandatory if elements.get(element, "") == ""
    )
    if missing:
        return MalformedRequest(message_id, command, missing, has_data_set)
    return layout.message(message_id, has_data_set=has_data_set, **_values(layout, elements))


def _decode_response(command: int, elements: _Elements, has_data_set: bool) -> Message:
    message_id = elements.get(cs.MESSAGE_ID_BEING_RESPONDED_TO)
    status = elements.get(cs.STATUS)
    if not isinstance(message_id, int) or not isinstance(status, int):
        raise CommandSetError("a response without Message ID Being Responded To, or Status")
    layout = _LAYOUTS.get(command)
    if layout is None:
        return UnknownResponse(message_id, command, status, has_data_set)
    values = _values(layout, elements)
    if layout.message in _COUNTING and cs.COMPLETED_SUB_OPERATIONS in elements:
        values["counts"] = _sub_operations(elements)
    return layout.message(message_id, has_data_set=has_data_set, **values)


def _values(layout: _Layout, elements: _Elements) -> dict[str, object]:
    get = elements.get
    return {name: get(element, blank) for name, element, blank in layout.fields}


def _sub_operations(elements: _Elements) -> SubOperations:
    counts = {name: _number(elements, element) for name, element in _SUB_OPERATIONS.items()}
    sub_operations = SubOperations(**counts)
    if cs.REMAINING_SUB_OPERATIONS in elements:
        return sub_operations
    return replace(sub_operations, remaining=None)


def _number(elements: _Elements, element: int) -> int:
    value = elements.get(element, 0)
    return value if isinstance(value, int) else 0


def _text(elements: _Elements, element: int, otherwise: int) -> str:
    return str(elements.get(element, "") or elements.get(otherwise, ""))


def encode_message(message: Message) -> bytes:
    """The command set of a message."""
    layout = _LAYOUTS_BY_MESSAGE.get(type(message))
    if layout is None:
        raise TypeError(f"{type(message).__name__} is only received, never sent")
    command = layout.command_field
    is_response = command & IS_RESPONSE
    elements: _Elements = {
        cs.COMMAND_FIELD: command,
        cs.MESSAGE_ID_BEING_RESPONDED_TO if is_response else cs.MESSAGE_ID: message.message_id,
        cs.COMMAND_DATA_SET_TYPE: HAS_DATA_SET if message.has_data_set else cs.NO_DATA_SET,
    }
    for name, element, _ in layout.mandatory:
        elements[element] = getattr(message, name)
    for name, element, _ in layout.optional:
        if (value := getattr(message, name)) not in _NOTHING:
            elements[element] = value
    if isinstance(message, CMoveRSP | CGetRSP) and message.counts is not None:
        for name, element in _SUB_OPERATIONS.items():
            if (count := getattr(message.counts, name)) is not None:
                elements[element] = count
    return _encode(elements)


def encode_failure(request: UnknownRequest | MalformedRequest, status: int, comment: str) -> bytes:
    """The response to a request that cannot be carried out, whatever it was."""
    return _encode(
        {
            cs.COMMAND_FIELD: request.command_field | IS_RESPONSE,
            cs.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
            cs.COMMAND_DATA_SET_TYPE: cs.NO_DATA_SET,
            cs.STATUS: status,
            cs.ERROR_COMMENT: comment,
        }
    )


def _encode(elements: _Elements) -> bytes:
    comment = elements.get(cs.ERROR_COMMENT)
    if isinstance(comment, str):
        elements[cs.ERROR_COMMENT] = comment[:MAX_COMMENT]
    return cs.encode(elements)
