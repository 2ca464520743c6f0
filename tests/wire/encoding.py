"""PDUs, command sets and data sets put together by hand, so that they can also be wrong.

Nothing of the router is used: a fault that it has cannot hide in the bytes that look for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
FILM_SESSION = "1.2.840.10008.5.1.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
APPLICATION = "1.2.840.10008.3.1.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"

CALLED = b"<CALLED-AE-HERE>"
"""Stands for the called AE title; the runner puts the real one there, padded on the right."""

CALLED_RIGHT = b"<CALLED-AE-RIGHT"
"""The same, padded on the left."""

CALLED_MIDDLE = b"<CALLED-IN-SPACE"
"""The same, between spaces; a title of 16 characters has none."""

CALLED_NUL = b"<CALLED-AE-NULS>"
"""The same, padded with NUL on the right, as some C programs do."""

CALLING = b"WIRE".ljust(16)
WHOLE = 0xFFFFFFFF


# -- PDUs (PS3.8 section 9.3) ---------------------------------------------------------------------


def pdu(kind: int, body: bytes = b"", *, length: int | None = None) -> bytes:
    """A PDU; ``length`` is what it claims to be."""
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def item(kind: int, value: bytes | str = b"", *, length: int | None = None) -> bytes:
    """An item or sub-item of an association PDU."""
    raw = value.encode("latin-1") if isinstance(value, str) else value
    return struct.pack(">BxH", kind, len(raw) if length is None else length) + raw


def context(context_id: int, abstract: str, *syntaxes: str) -> bytes:
    """A proposed presentation context; Implicit VR Little Endian where nothing is said."""
    offered = b"".join(item(0x40, uid) for uid in syntaxes or (IMPLICIT,))
    return item(0x20, bytes((context_id, 0, 0, 0)) + item(0x30, abstract) + offered)


def max_length(size: int) -> bytes:
    """A maximum length sub-item."""
    return item(0x51, struct.pack(">I", size))


def user(*items: bytes, size: int | None = 16384) -> bytes:
    """User information: maximum length, implementation class UID, and more items."""
    first = b"" if size is None else max_length(size)
    return item(0x50, first + item(0x52, "1.2.3.4") + b"".join(items))


def role(sop_class: str, scu: int, scp: int) -> bytes:
    """An SCP/SCU role selection sub-item."""
    raw = sop_class.encode()
    return item(0x54, struct.pack(">H", len(raw)) + raw + bytes((scu, scp)))


def identity(kind: int, primary: bytes, secondary: bytes = b"", *, answer: bool = False) -> bytes:
    """A user identity sub-item."""
    fields = struct.pack(">BBH", kind, answer, len(primary)) + primary
    return item(0x58, fields + struct.pack(">H", len(secondary)) + secondary)


APPLICATION_ITEM = item(0x10, APPLICATION)
ECHO_CONTEXT = context(1, VERIFICATION)
CT_CONTEXT = context(3, CT)
USER = user()


def request(
    *items: bytes, called: bytes = CALLED, calling: bytes = CALLING, version: int = 1
) -> bytes:
    """An A-ASSOCIATE-RQ of just these items; the usual ones where there are none."""
    items = items or (APPLICATION_ITEM, ECHO_CONTEXT, CT_CONTEXT, USER)
    fixed = struct.pack(">HH", version, 0) + called + calling + bytes(32)
    return pdu(1, fixed + b"".join(items))


def usual(*contexts: bytes, user: bytes = USER) -> bytes:
    """An A-ASSOCIATE-RQ with these contexts."""
    return request(APPLICATION_ITEM, *contexts, user)


ASSOCIATE_AC = pdu(2, struct.pack(">HH", 1, 0) + CALLED + CALLING + bytes(32) + APPLICATION_ITEM)
ASSOCIATE_RJ = pdu(3, bytes((0, 1, 1, 1)))
RELEASE_RQ = pdu(5, bytes(4))
RELEASE_RP = pdu(6, bytes(4))
ABORT = pdu(7, bytes(4))

COMMAND, LAST = 1, 2


def pdv(context_id: int, control: int, value: bytes = b"", *, length: int | None = None) -> bytes:
    """A presentation data value item."""
    size = len(value) + 2 if length is None else length
    return struct.pack(">IBB", size, context_id, control) + value


def p_data(*values: bytes) -> bytes:
    """A P-DATA-TF of these items."""
    return pdu(4, b"".join(values))


def pieces(data: bytes, size: int) -> list[bytes]:
    """The bytes in slices."""
    return [data[at : at + size] for at in range(0, len(data), size)]


# -- command sets (PS3.7 annex E) -----------------------------------------------------------------

ECHO_RQ, STORE_RQ, FIND_RQ, CANCEL_RQ = 0x0030, 0x0001, 0x0020, 0x0FFF


def element(group: int, number: int, value: bytes, *, length: int | None = None) -> bytes:
    """An element in Implicit VR Little Endian."""
    return struct.pack("<HHI", group, number, len(value) if length is None else length) + value


def us(number: int, value: int) -> bytes:
    """A number of group 0000."""
    return element(0, number, struct.pack("<H", value))


def ui(number: int, uid: str) -> bytes:
    """A UID of group 0000."""
    return element(0, number, padded(uid))


def padded(text: str) -> bytes:
    """A UID of even length."""
    raw = text.encode("latin-1")
    return raw + b"\0" * (len(raw) % 2)


def command(*elements: bytes, group_length: int | None = None) -> bytes:
    """A command set of these elements, group length first."""
    body = b"".join(elements)
    size = len(body) if group_length is None else group_length
    return element(0, 0, struct.pack("<I", size)) + body


def echo_elements(message_id: int = 1, sop_class: str = VERIFICATION) -> list[bytes]:
    """The elements of a C-ECHO-RQ, in order."""
    return [ui(2, sop_class), us(0x100, ECHO_RQ), us(0x110, message_id), us(0x800, 0x0101)]


def echo(message_id: int = 1, context_id: int = 1) -> bytes:
    """A C-ECHO-RQ as one PDU."""
    return message(context_id, command(*echo_elements(message_id)))


def store_elements(
    instance: str, sop_class: str = CT, message_id: int = 1, *, has_data: int = 0
) -> list[bytes]:
    """The elements of a C-STORE-RQ, in order; ``has_data`` is (0000,0800)."""
    return [
        ui(2, sop_class),
        us(0x100, STORE_RQ),
        us(0x110, message_id),
        us(0x700, 0),
        us(0x800, has_data),
        ui(0x1000, instance),
    ]


def message(context_id: int, command_set: bytes, data: bytes | None = None) -> bytes:
    """A command set in one PDU, and its data set in others of at most 16,000 bytes."""
    whole = p_data(pdv(context_id, COMMAND | LAST, command_set))
    if data is None:
        return whole
    parts = pieces(data, 16000) or [b""]
    for part in parts[:-1]:
        whole += p_data(pdv(context_id, 0, part))
    return whole + p_data(pdv(context_id, LAST, parts[-1]))


def store(instance: str, data: bytes, context_id: int = 3, message_id: int = 1) -> bytes:
    """A C-STORE-RQ of a CT with its data set."""
    return message(context_id, command(*store_elements(instance, message_id=message_id)), data)


# -- data sets ------------------------------------------------------------------------------------


def explicit(group: int, number: int, vr: str, value: bytes, *, length: int | None = None) -> bytes:
    """An element in Explicit VR Little Endian."""
    size = len(value) if length is None else length
    if vr in ("OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UN", "UC", "UT", "UR", "SV", "UV"):
        return struct.pack("<HH2sxxI", group, number, vr.encode(), size) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), size) + value


Element = tuple[int, int, str, bytes]


def image_elements(instance: str, study: str, sop_class: str = CT) -> list[Element]:
    """The elements of a small, plain image, in order."""
    return [
        (0x0008, 0x0016, "UI", padded(sop_class)),
        (0x0008, 0x0018, "UI", padded(instance)),
        (0x0008, 0x0060, "CS", b"CT"),
        (0x0010, 0x0010, "PN", b"Hostile^Hugo"),
        (0x0010, 0x0020, "LO", b"WIRE-1"),
        (0x0020, 0x000D, "UI", padded(study)),
        (0x0020, 0x000E, "UI", padded(f"{study}.1")),
        (0x0020, 0x0013, "IS", b"1 "),
        (0x0028, 0x0010, "US", b"\4\0"),
        (0x0028, 0x0011, "US", b"\4\0"),
        (0x0028, 0x0100, "US", b"\20\0"),
        (0x7FE0, 0x0010, "OW", bytes(32)),
    ]


def as_implicit(elements: Iterable[Element]) -> bytes:
    """The elements in Implicit VR Little Endian."""
    return b"".join(element(group, number, value) for group, number, _, value in elements)


def as_explicit(elements: Iterable[Element]) -> bytes:
    """The elements in Explicit VR Little Endian."""
    return b"".join(explicit(*one) for one in elements)


def image(instance: str, study: str = "1.2.3.4.5", sop_class: str = CT) -> bytes:
    """A small CT in Implicit VR Little Endian."""
    return as_implicit(image_elements(instance, study, sop_class))
