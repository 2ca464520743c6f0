"""The head of a DICOM file: preamble, prefix and File Meta group (PS3.10 section 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from router.dicom import uids
from router.domain.errors import CannotUnderstand
from router.domain.instance import Identity

PREAMBLE = bytes(128) + b"DICM"
MAX_HEADER_BYTES = 64 * 1024
"""So much is kept while a head that never ends is read; real ones have a few hundred bytes."""

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


class FileHeaderReader:
    """Reads the head of a file as its bytes arrive; the group length is not trusted."""

    __slots__ = ("_held", "_is_cut", "_position", "_values")

    def __init__(self) -> None:
        self._held = bytearray()
        self._position = len(PREAMBLE)
        self._is_cut = True  # what is held ends in the middle of something
        self._values: dict[int, str] = {}

    def feed(self, data: bytes | memoryview) -> FileHeader | None:
        """Take the next bytes; the header, as soon as something else stands behind it.

        Raises ``CannotUnderstand`` when it is not Part 10, is longer than ``MAX_HEADER_BYTES``, or
        does not name class, instance and transfer syntax.
        """
        self._held += data
        if len(self._held) < len(PREAMBLE):
            return None
        if self._held[128:132] != b"DICM":
            raise CannotUnderstand("not a DICOM file: the prefix DICM is missing")
        if self._reaches_the_data_set():
            return self._header()
        if self._is_cut and len(self._held) > MAX_HEADER_BYTES:
            raise CannotUnderstand("the File Meta group is cut short, or longer than any")
        return None

    def finish(self) -> FileHeader:
        """The header, when no more bytes come; raises as ``feed`` does."""
        if len(self._held) < len(PREAMBLE):
            raise CannotUnderstand("not a DICOM file: the prefix DICM is missing")
        if self._is_cut:
            raise CannotUnderstand("the File Meta group is cut short")
        return self._header()

    def rest(self) -> memoryview:
        """What has been fed of the data set."""
        return memoryview(self._held)[self._position :]

    def _reaches_the_data_set(self) -> bool:
        """Read the elements that are there whole; whether one of another group follows."""
        held = self._held
        self._is_cut = True
        while self._position + 8 <= len(held):
            group, element, vr, length = _SHORT.unpack_from(held, self._position)
            if group != 2:
                self._is_cut = False
                return True
            start = self._position + 8
            if vr in _LONG_VRS:
                if self._position + 12 > len(held):
                    return False
                length = _LONG.unpack_from(held, self._position)[3]
                start = self._position + 12
            if start + length > len(held):
                return False
            value = bytes(held[start : start + length])
            self._values[element] = value.rstrip(b"\0 ").decode("latin-1")
            self._position = start + length
        self._is_cut = False
        return False

    def _header(self) -> FileHeader:
        values = self._values
        wanted = (values.get(0x10, ""), values.get(0x02, ""), values.get(0x03, ""))
        if not all(wanted):
            raise CannotUnderstand("the File Meta group lacks class, instance or transfer syntax")
        return FileHeader(*wanted, self._position)


def read_file_header(data: bytes) -> FileHeader:
    """Read the head of a file from its first bytes; the group length is not trusted.

    Raises ``CannotUnderstand`` when it is not Part 10, or its File Meta group is cut short or does
    not name class, instance and transfer syntax.
    """
    reader = FileHeaderReader()
    return reader.feed(data) or reader.finish()
