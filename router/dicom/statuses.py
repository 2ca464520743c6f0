"""DIMSE statuses (PS3.7 annex C) and what a storage SCU makes of them (PS3.4 annex B)."""

from __future__ import annotations

from enum import StrEnum

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_OBJECT_INSTANCE = 0x0112
NO_SUCH_EVENT_TYPE = 0x0113
INVALID_ARGUMENT = 0x0115
INVALID_OBJECT_INSTANCE = 0x0117
NO_SUCH_SOP_CLASS = 0x0118
CLASS_INSTANCE_CONFLICT = 0x0119
MISSING_ATTRIBUTE = 0x0120
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
NOT_AUTHORISED = 0x0124
DUPLICATE_INVOCATION = 0x0210
UNRECOGNISED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH = 0xA900
STUDY_DOES_NOT_MATCH = 0xA901  # of A9xx, as other STOW-RS servers answer it
CANNOT_UNDERSTAND = 0xC000
COERCION = 0xB000
ELEMENTS_DISCARDED = 0xB006
DATA_SET_DOES_NOT_MATCH_WARNING = 0xB007
CANCEL = 0xFE00


class StatusCategory(StrEnum):
    """The five kinds of status (PS3.7 annex C)."""

    SUCCESS = "success"
    WARNING = "warning"
    PENDING = "pending"
    CANCEL = "cancel"
    FAILURE = "failure"


NAMES = {
    SUCCESS: "success",
    PROCESSING_FAILURE: "processing failure",
    DUPLICATE_SOP_INSTANCE: "duplicate SOP instance",
    NO_SUCH_OBJECT_INSTANCE: "no such object instance",
    NO_SUCH_EVENT_TYPE: "no such event type",
    INVALID_ARGUMENT: "invalid argument value",
    INVALID_OBJECT_INSTANCE: "invalid object instance",
    NO_SUCH_SOP_CLASS: "no such SOP class",
    CLASS_INSTANCE_CONFLICT: "class-instance conflict",
    MISSING_ATTRIBUTE: "missing attribute",
    SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    NO_SUCH_ACTION: "no such action",
    NOT_AUTHORISED: "not authorised",
    DUPLICATE_INVOCATION: "duplicate invocation",
    UNRECOGNISED_OPERATION: "unrecognised operation",
    MISTYPED_ARGUMENT: "mistyped argument",
    RESOURCE_LIMITATION: "resource limitation",
    COERCION: "warning: coercion of data elements",
    ELEMENTS_DISCARDED: "warning: elements discarded",
    DATA_SET_DOES_NOT_MATCH_WARNING: "warning: data set does not match SOP class",
    CANCEL: "cancelled",
}

RANGES = (
    (0xA700, 0xA7FF, "out of resources"),
    (0xA900, 0xA9FF, "data set does not match SOP class"),
    (0xC000, 0xCFFF, "cannot understand"),
)

_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})


def category(status: int) -> StatusCategory:
    """The kind of a status; what the standard does not know is a failure."""
    if status == SUCCESS:
        return StatusCategory.SUCCESS
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return StatusCategory.WARNING
    if status in (0xFF00, 0xFF01):
        return StatusCategory.PENDING
    if status == CANCEL:
        return StatusCategory.CANCEL
    return StatusCategory.FAILURE


def is_stored(status: int) -> bool:
    """Whether a C-STORE response says that the peer holds the instance (success or warning).

    Duplicate SOP Instance (0111) counts: the peer says that it holds an instance of this UID.
    """
    return status == DUPLICATE_SOP_INSTANCE or category(status) in (
        StatusCategory.SUCCESS,
        StatusCategory.WARNING,
    )


def is_temporary(status: int) -> bool:
    """Whether the same C-STORE may succeed later: the peer lacks resources or had a failure."""
    return is_out_of_resources(status) or status in (PROCESSING_FAILURE, RESOURCE_LIMITATION)


def is_out_of_resources(status: int) -> bool:
    """Whether the peer had no room for the instance (A7xx)."""
    return 0xA700 <= status <= 0xA7FF


def describe(status: int) -> str:
    """Short text for people, with the status itself."""
    name = NAMES.get(status) or next(
        (text for first, last, text in RANGES if first <= status <= last),
        "status of the peer's own",
    )
    return f"{name} ({status:04X})"
