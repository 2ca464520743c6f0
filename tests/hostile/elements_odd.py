"""Elements that are wrong one by one: their VR, order, number, group, text."""

from __future__ import annotations

from tests.hostile.building import UIDS_END, inserted, replaced, whole
from tests.hostile.expected import (
    CANNOT_UNDERSTAND,
    PASSED,
    Content,
    Expected,
    HostileObject,
    Table,
    refused,
)
from tests.wire import encoding as wire
from tests.wire.encoding import explicit

VRS, ORDER, TEXT = "VRs", "order and repetition", "text"
NAME, CHARSET, MODALITY = (0x0010, 0x0010), (0x0008, 0x0005), (0x0008, 0x0060)
STUDY, COMMENTS = (0x0020, 0x000D), (0x0020, 0x4000)
BEHIND_UIDS = 8
NO_STUDY = refused(CANNOT_UNDERSTAND, "no StudyInstanceUID")


def _vr(name: str, content: Content, expected: Expected = PASSED) -> HostileObject:
    return HostileObject(name, VRS, content, expected)


def _order(name: str, content: Content, expected: Expected = PASSED) -> HostileObject:
    return HostileObject(name, ORDER, content, expected)


def _text(name: str, charset: bytes, patient: bytes) -> HostileObject:
    def content(made: list[wire.Element]) -> list[wire.Element]:
        named = [(*NAME, "PN", patient) if one[:2] == NAME else one for one in made]
        return [(*CHARSET, "CS", charset), *named]

    return HostileObject(name, TEXT, whole(content), PASSED)


def _raw(vr: bytes, value: bytes = b"\4\0what") -> bytes:
    """An element with some VR and a length of two bytes."""
    return b"\x20\0\0\x40" + vr + value


WRONG_VRS: Table = (
    _vr("a name of VR US", replaced(NAME, "US", b"A^B^C ")),
    _vr("a name of VR SQ", replaced(NAME, "SQ", b"A^B^C^D "), NO_STUDY),
    _vr("a name of VR OB", replaced(NAME, "OB", b"A^B^C ")),
    _vr("a Study Instance UID of VR UN",
        whole(lambda made: [(*one[:2], "UN" if one[:2] == STUDY else one[2], one[3])
                            for one in made])),
    _vr("a Study Instance UID of VR SH",
        whole(lambda made: [(*one[:2], "SH" if one[:2] == STUDY else one[2], one[3])
                            for one in made])),
    _vr("a number of VR LO", replaced((0x28, 0x10), "LO", b"four")),
    _vr("pixel data of VR SQ", replaced((0x7FE0, 0x10), "SQ", bytes(32))),
    _vr("pixel data of VR DS", replaced((0x7FE0, 0x10), "DS", b"\xff" * 32)),
    _vr("a VR of the future behind the UIDs",
        inserted(b"\x20\0\0\x40ZZ\0\0\4\0\0\0what", at=BEHIND_UIDS)),
    _vr("a VR of the future before the UIDs", inserted(b"\x09\0\1\x10ZZ\0\0\4\0\0\0what", at=3)),
    _vr("a VR in lower case behind the UIDs", inserted(_raw(b"pn"), at=BEHIND_UIDS)),
    _vr("a VR of NUL behind the UIDs", inserted(_raw(b"\0\0"), at=BEHIND_UIDS)),
    _vr("a VR of FF behind the UIDs", inserted(_raw(b"\xff\xff"), at=BEHIND_UIDS)),
    _vr("a VR of question marks before the UIDs", inserted(_raw(b"??"), at=3), NO_STUDY),
    _vr("implicit elements among explicit ones",
        inserted(wire.element(0x0020, 0x4000, b"what"), at=BEHIND_UIDS)),
)  # fmt: skip

ODD_ORDER: Table = (
    _order("elements in falling order", whole(lambda made: made[::-1])),
    _order("UIDs behind the pixel data", whole(lambda made: [*made[UIDS_END:], *made[:UIDS_END]])),
    _order("pixel data twice", whole(lambda made: [*made, made[-1]])),
    _order("a name twice", whole(lambda made: [*made[:4], (*NAME, "PN", b"Other^One "),
                                               *made[4:]])),
    _order("a name 10,000 times", whole(lambda made: [*made[:4], *[made[3]] * 10_000, *made[4:]])),
    _order("a modality twice, not the same", whole(lambda made: [*made[:3],
                                                                 (*MODALITY, "CS", b"MR"),
                                                                 *made[3:]])),
    _order("File Meta elements at the beginning",
           whole(lambda made: [(2, 0x10, "UI", wire.padded(wire.IMPLICIT)), *made])),
    _order("File Meta elements at the end",
           whole(lambda made: [*made, (2, 0x10, "UI", wire.padded(wire.JPEG_LOSSLESS))])),
    _order("command elements at the beginning",
           whole(lambda made: [(0, 0x100, "US", b"\1\0"), *made])),
    _order("group lengths that lie",
           whole(lambda made: [(8, 0, "UL", b"\xff\xff\xff\x7f"), *made])),
    _order("elements of group FFFF", inserted(explicit(0xFFFF, 0xFFFF, "OB", bytes(8)))),
    _order("trailing padding of odd length",
           whole(lambda made: [*made, (0xFFFC, 0xFFFC, "OB", bytes(99))])),
    _order("a private element without its creator",
           whole(lambda made: [*made[:3], (0x0009, 0x1001, "LO", b"lost"), *made[3:]])),
    _order("a private creator that is bytes",
           whole(lambda made: [*made[:3], (0x0009, 0x0010, "OB", b"\xff\0\x1b\n"), *made[3:]])),
)  # fmt: skip

ODD_TEXT: Table = (
    _text("a character set that does not exist", b"ISO_IR 999", b"A^B "),
    _text("a character set of bytes", b"\xff\xfe\0\x1b", b"A^B "),
    _text("a hundred character sets", b"\\".join([b"ISO 2022 IR 87"] * 100), b"A^B "),
    _text("UTF-8 that is none", b"ISO_IR 192", b"\xc3\x28\xff\xfe^\xf0\x9f"),
    _text("an escape that never ends", b"\\ISO 2022 IR 87 ", b"\x1b$B\x3b\x33^\x1b$"),
    _text("an escape of an unknown set", b"\\ISO 2022 IR 87 ", b"\x1b%/zA^B "),
    _text("a Korean name without its escape", b"\\ISO 2022 IR 149", b"\xb1\xe8\xc8\xf1^A "),
    _text("control characters in a name", b"ISO_IR 100", b"A\r\n\t\x1b[2J\0^B "),
    _text("NUL all over a name", b"ISO_IR 100", bytes(64)),
    _text("a name of 60,000 characters", b"ISO_IR 100", b"A" * 60_000),
    _text("a name of a thousand components", b"ISO_IR 100", b"^" * 1000),
    _text("a name of odd length", b"ISO_IR 100", b"A^B"),
    _text("a name of 30,000 values", b"ISO_IR 100", b"\\" * 30_000),
)

OBJECTS: Table = (*WRONG_VRS, *ODD_ORDER, *ODD_TEXT)
