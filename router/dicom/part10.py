"""The head of a DICOM file: preamble, prefix and File Meta group (PS3.10 section 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from router.dicom import uids
from router.domain.errors import CannotUnderstand
from router.domain.instance import Identity

PREAMBLE = bytes(128) + b"DICM"

_SHORT = struct.Struct("<HH2sH")
_LONG = struct.Struct("<HH2sxxI")
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN"})
_GROUP_LENGTH = struct.Struct("<HH2sHI")


def _short(element: int, vr: bytes, value: bytes) -> bytes:
    return _SHORT.pack(2, element, vr, len(value)) + value


def _padded_uid(uid: str) -> bytes:
    raw = uid.encode("latin-1", "replace")
    return raw + b"\0" if len(raw) % 2 else raw


def _padded_text(text: str) -> bytes:
    raw = text.encode("latin-1", "replace")
    return raw + b" " if len(raw) % 2 else raw


_VERSION = _LONG.pack(2, 1, b"OB", 2) + b"\0\1"
_IMPLEMENTATION = _short(0x12, b"UI", _padded_uid(uids.IMPLEMENTATION_CLASS)) + _short(
    0x13, b"SH", _padded_text(uids.IMPLEMENTATION_VERSION)
)


def file_header(identity: Identity, calling_ae_title: str) -> bytes:
    """Everything of a Part 10 file that stands before the data set.

    The transfer syntax is the one of the context that the instance came on, the source
    application entity title the one that sent it.
    """
    group = b"".join(
        (
            _VERSION,
            _short(0x02, b"UI", _padded_uid(identity.sop_class_uid)),
            _short(0x03, b"UI", _padded_uid(identity.sop_instance_uid)),
            _short(0x10, b"UI", _padded_uid(identity.transfer_syntax_uid)),
            _IMPLEMENTATION,
            _short(0x16, b"AE", _padded_text(calling_ae_title)),
        )
    )
    return PREAMBLE + _GROUP_LENGTH.pack(2, 0, b"UL", 4, len(group)) + group


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a File Meta group says, and where the data set begins, in bytes."""

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    data_set_offset: int


def read_file_header(data: bytes) -> FileHeader:
    """Read the head of a file from its first bytes; the group length is not trusted.

    Raises ``CannotUnderstand`` when it is not Part 10, or its File Meta group is cut short or does
    not name class, instance and transfer syntax.
    """
    if data[128:132] != b"DICM":
        raise CannotUnderstand("not a DICOM file: the prefix DICM is missing")
    values: dict[int, str] = {}
    position = len(PREAMBLE)
    while position + 8 <= len(data):
        group, element, vr, length = _SHORT.unpack_from(data, position)
        if group != 2:
            break
        start = position + 8
        if vr in _LONG_VRS:
            if position + 12 > len(data):
                raise CannotUnderstand("the File Meta group is cut short")
            length = _LONG.unpack_from(data, position)[3]
            start = position + 12
        if start + length > len(data):
            raise CannotUnderstand("the File Meta group is cut short")
        values[element] = data[start : start + length].rstrip(b"\0 ").decode("latin-1")
        position = start + length
    wanted = (values.get(0x10, ""), values.get(0x02, ""), values.get(0x03, ""))
    if not all(wanted):
        raise CannotUnderstand("the File Meta group lacks class, instance or transfer syntax")
    return FileHeader(*wanted, position)
