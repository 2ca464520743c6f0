"""UIDs that are missing, empty, too long, no UIDs, or not those of the command set."""

from __future__ import annotations

from tests.hostile.building import replaced, whole, without
from tests.hostile.expected import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    PASSED,
    Content,
    Expected,
    HostileObject,
    Table,
    quarantined,
    refused,
)
from tests.wire import encoding as wire
from tests.wire.encoding import Element

GROUP = "UIDs"
CLASS, INSTANCE = (0x0008, 0x0016), (0x0008, 0x0018)
STUDY, SERIES = (0x0020, 0x000D), (0x0020, 0x000E)
STUDY_AT, SERIES_AT = 5, 6
OTHER = b"1.2.826.99.7.666"
CHARACTERS = refused(CANNOT_UNDERSTAND, "characters that no UID can have")


def _uid(
    name: str, content: Content, expected: Expected = PASSED, announced: str = ""
) -> HostileObject:
    return HostileObject(name, GROUP, content, expected, announced=announced)


def _again(at: int, value: bytes) -> Content:
    """One of the UIDs a second time, with another value."""

    def content(made: list[Element]) -> list[Element]:
        return [*made[: at + 1], (*made[at][:3], value), *made[at + 1 :]]

    return whole(content)


def _changed(at: int, change: bytes) -> Content:
    """Something behind one of the UIDs."""

    def content(made: list[Element]) -> list[Element]:
        group, number, vr, value = made[at]
        return [*made[:at], (group, number, vr, value.rstrip(b"\0") + change), *made[at + 1 :]]

    return whole(content)


def _odd(made: list[Element]) -> list[Element]:
    """The Series Instance UID made one character longer if its length is even; not padded."""
    group, number, vr, value = made[SERIES_AT]
    raw = value.rstrip(b"\0")
    return [*made[:SERIES_AT], (group, number, vr, raw + b"7" * (1 - len(raw) % 2)),
            *made[SERIES_AT + 1 :]]  # fmt: skip


MISSING: Table = (
    _uid("no SOP Class UID", without(CLASS)),
    _uid("no SOP Instance UID", without(INSTANCE)),
    _uid("no Study Instance UID", without(STUDY),
         refused(CANNOT_UNDERSTAND, "no StudyInstanceUID")),
    _uid("no Series Instance UID", without(SERIES),
         refused(CANNOT_UNDERSTAND, "no SeriesInstanceUID")),
    _uid("no UIDs", without(CLASS, INSTANCE, STUDY, SERIES),
         refused(CANNOT_UNDERSTAND, "no StudyInstanceUID and no SeriesInstanceUID")),
    _uid("an empty Study Instance UID", replaced(STUDY, "UI", b""),
         refused(CANNOT_UNDERSTAND, "no StudyInstanceUID")),
    _uid("a Study Instance UID of NUL", replaced(STUDY, "UI", bytes(8)),
         refused(CANNOT_UNDERSTAND, "no StudyInstanceUID")),
    _uid("a Study Instance UID of spaces", replaced(STUDY, "UI", b"    "),
         refused(CANNOT_UNDERSTAND, "no StudyInstanceUID")),
    _uid("an empty Series Instance UID", replaced(SERIES, "UI", b""),
         refused(CANNOT_UNDERSTAND, "no SeriesInstanceUID")),
)  # fmt: skip

BROKEN: Table = (
    _uid("a Study Instance UID of 65 characters", replaced(STUDY, "UI", b"1." * 32 + b"1"),
         refused(CANNOT_UNDERSTAND, "65 characters; 64 are allowed")),
    _uid("a Study Instance UID of 60,000 characters", replaced(STUDY, "UI", b"1" * 60_000),
         refused(CANNOT_UNDERSTAND, "64 are allowed")),
    _uid("a Study Instance UID with a path in it", replaced(STUDY, "UI", b"../../etc/passwd"),
         CHARACTERS),
    _uid("a Study Instance UID of bytes", replaced(STUDY, "UI", b"\xff\xfe\x80\x81"), CHARACTERS),
    _uid("a Study Instance UID with a NUL inside", replaced(STUDY, "UI", b"1.2\x003.4"),
         CHARACTERS),
    _uid("a Study Instance UID of words", replaced(STUDY, "UI", b"my study"), CHARACTERS),
    _uid("a Series Instance UID of a shell command", replaced(SERIES, "UI", b"$(reboot)"),
         CHARACTERS),
    _uid("a component with a leading zero", _changed(SERIES_AT, b".007")),
    _uid("a UID of letters", replaced(SERIES, "UI", b"series-a")),
    _uid("a UID padded with spaces", _changed(STUDY_AT, b"   ")),
    _uid("a UID padded with many NULs", _changed(STUDY_AT, bytes(9))),
    _uid("a UID of odd length", whole(_odd)),
)  # fmt: skip

CONTRADICTING: Table = (
    _uid("another SOP Class than the command set", replaced(CLASS, "UI", wire.padded(wire.MR)),
         refused(DOES_NOT_MATCH, "SOPClassUID is")),
    _uid("another SOP Instance than the command set", replaced(INSTANCE, "UI", OTHER),
         refused(DOES_NOT_MATCH, "SOPInstanceUID is")),
    _uid("a SOP Instance UID that is longer by a zero", _changed(1, b"0"),
         refused(DOES_NOT_MATCH, "SOPInstanceUID is")),
    _uid("two SOP Instance UIDs", _again(1, OTHER), quarantined("SOPInstanceUID has 2 values")),
    _uid("two Study Instance UIDs", _again(STUDY_AT, OTHER),
         quarantined("StudyInstanceUID has 2 values")),
    _uid("two Study Instance UIDs in one element", _changed(STUDY_AT, b"\\" + OTHER),
         quarantined("StudyInstanceUID has 2 values")),
    _uid("two Series Instance UIDs", _again(SERIES_AT, OTHER),
         quarantined("SeriesInstanceUID has 2 values")),
    _uid("the same Study Instance UID twice",
         whole(lambda made: [*made[:6], made[STUDY_AT], *made[6:]])),
)  # fmt: skip

OBJECTS: Table = (*MISSING, *BROKEN, *CONTRADICTING)
