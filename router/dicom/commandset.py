"""Command sets: the small Implicit VR Little Endian data sets of DIMSE (PS3.7 section 6.3, E)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from router.domain.errors import ProtocolError

AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
ERROR_ID = 0x0903
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008
REMAINING_SUB_OPERATIONS = 0x1020
COMPLETED_SUB_OPERATIONS = 0x1021
FAILED_SUB_OPERATIONS = 0x1022
WARNING_SUB_OPERATIONS = 0x1023
MOVE_ORIGINATOR_AE_TITLE = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID = 0x1031

NO_DATA_SET = 0x0101
MAX_COMMAND_SET_BYTES = 64 * 1024

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")
_NUMBER = struct.Struct("<HHIH")
_GROUP_LENGTH = struct.Struct("<HHII")

NUMBERS = frozenset(
    {
        COMMAND_FIELD,
        MESSAGE_ID,
        MESSAGE_ID_BEING_RESPONDED_TO,
        PRIORITY,
        COMMAND_DATA_SET_TYPE,
        STATUS,
        ERROR_ID,
        EVENT_TYPE_ID,
        ACTION_TYPE_ID,
        REMAINING_SUB_OPERATIONS,
        COMPLETED_SUB_OPERATIONS,
        FAILED_SUB_OPERATIONS,
        WARNING_SUB_OPERATIONS,
        MOVE_ORIGINATOR_MESSAGE_ID,
    }
)
"""Elements of VR US; all others are text."""

_UIDS = frozenset(
    {
        AFFECTED_SOP_CLASS_UID,
        REQUESTED_SOP_CLASS_UID,
        AFFECTED_SOP_INSTANCE_UID,
        REQUESTED_SOP_INSTANCE_UID,
    }
)

Elements = Mapping[int, int | str]
"""Element number (of group 0000) to value."""


class CommandSetError(ProtocolError):
    """A command set that cannot be read; the association is aborted."""


def encode(elements: Elements) -> bytes:
    """The bytes of a command set, its group length first, elements in order."""
    parts = []
    for element in sorted(elements):
        value = elements[element]
        if isinstance(value, int):
            parts.append(_NUMBER.pack(0, element, 2, value))
        else:
            raw = _text(element, value)
            parts.append(_ELEMENT.pack(0, element, len(raw)) + raw)
    body = b"".join(parts)
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def _text(element: int, value: str) -> bytes:
    raw = value.encode("latin-1", "replace")
    padding = b"\0" if element in _UIDS else b" "
    return raw + padding if len(raw) % 2 else raw


def decode(data: bytes) -> dict[int, int | str]:
    """The elements of a command set.

    The group length is not trusted, elements that are not known or retired are passed over,
    a number of the wrong length is treated as absent. Raises ``CommandSetError`` when an element
    overruns the set or another group appears.
    """
    elements: dict[int, int | str] = {}
    position, end = 0, len(data)
    while position < end:
        if end - position < 8:
            raise CommandSetError("the command set is cut short")
        group, element, length = _ELEMENT.unpack_from(data, position)
        position += 8
        if group != 0:
            raise CommandSetError(f"group {group:04X} in a command set")
        if length > end - position:
            raise CommandSetError(f"element (0000,{element:04X}) overruns the command set")
        if element in NUMBERS:
            if length == 2:
                elements[element] = _US.unpack_from(data, position)[0]
        elif element != 0:
            raw = data[position : position + length]
            elements[element] = raw.decode("latin-1").strip(" \0")
        position += length
    return elements
