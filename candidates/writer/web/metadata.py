"""The metadata of an instance in the DICOM JSON model (PS3.18 section 10.4.1.1.2, annex F).

Everything in front of the pixel data but bulk data, which is left out. pydicom reads and writes it,
in worker threads.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from candidates.writer.reading import StoredFile, read_head
from router.dicom import uids
from router.dicom.part10 import FileHeader
from router.domain.errors import CannotUnderstand, RouterError

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

MAX_BYTES = 32 << 20
"""No data set has more in front of its pixel data; more is not read into memory."""
MAX_BINARY_BYTES = 1024
"""Binary values that are longer are bulk data."""
PIXEL_DATA_GROUP = 0x7FE0

_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_CHARACTER_SET, _TRANSFER_SYNTAX = "00080005", "00083002"

Read = Callable[[int], bytes]


class _Beginning:
    """The beginning of a stream as a file: what has been read can be read again."""

    def __init__(self, held: bytes, read: Read):
        self._held = bytearray(held)
        self._read = read
        self._position = 0

    def read(self, size: int) -> bytes:
        """The next bytes, as many as there are; raises ``CannotUnderstand`` beyond the bound."""
        end = self._position + size
        if end > MAX_BYTES:
            raise CannotUnderstand(f"more than {MAX_BYTES >> 20} MiB stand before its pixel data")
        while len(self._held) < end and (piece := self._read(64 * 1024)):
            self._held += piece
        found = bytes(self._held[self._position : end])
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in front of what has been read, or relative to it."""
        self._position = offset if whence == 0 else self._position + offset
        return self._position

    def tell(self) -> int:
        """Where the next bytes come from."""
        return self._position


def read_metadata(file: StoredFile) -> bytes:
    """The metadata of an instance as JSON text. Blocks.

    Raises ``CannotUnderstand`` or ``SpoolFailed``.
    """
    header, rest = read_head(file.read)
    try:
        told = json_model(_parse(header, rest, file.read))
    except RouterError:
        raise
    except Exception as error:
        raise CannotUnderstand(f"the data set cannot be read: {error}") from error
    if _CHARACTER_SET in told:
        told[_CHARACTER_SET] = {"vr": "CS", "Value": ["ISO_IR 192"]}  # as all of JSON is
    told[_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [header.transfer_syntax_uid]}
    return json.dumps(told, separators=(",", ":")).encode()


def _parse(header: FileHeader, rest: bytes, read: Read) -> Dataset:
    from pydicom.filereader import read_dataset

    syntax = header.transfer_syntax_uid
    stream = _Beginning(rest, read)
    if uids.is_deflated(syntax):
        stream = _Beginning(b"", _inflating(stream.read))
    return read_dataset(
        cast(BinaryIO, stream),
        uids.is_implicit_vr(syntax),
        not uids.is_big_endian(syntax),
        stop_when=lambda tag, _vr, _length: tag.group >= PIXEL_DATA_GROUP,
    )


def _inflating(read: Read) -> Read:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def inflated(size: int) -> bytes:
        while not inflate.eof:
            piece = inflate.unconsumed_tail or read(4096)
            plain = inflate.decompress(piece, size)
            if plain or not piece:
                return plain
        return b""

    return inflated


def json_model(data_set: Dataset) -> dict[str, Any]:
    """A data set in the DICOM JSON model; what cannot be said in it is left out."""
    told: dict[str, Any] = {}
    for tag in sorted(data_set.keys()):
        if tag.element == 0:  # a group length
            continue
        with suppress(Exception):  # pydicom raises anything for what a VR does not allow
            if (said := _said(data_set[tag])) is not None:
                told[f"{tag:08X}"] = said
    return told


def _said(element: DataElement) -> dict[str, Any] | None:
    """An element; None: it is bulk data, or nothing that JSON has a word for."""
    if element.VR == "SQ":
        items = [json_model(item) for item in element.value]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.VR in _BINARY and len(element.value or b"") > MAX_BINARY_BYTES:
        return None
    said = element.to_json_dict(None, 0)
    numbers = [one for one in said.get("Value", ()) if isinstance(one, float)]
    is_sayable = len(said["vr"]) == 2 and all(map(math.isfinite, numbers))
    return said if is_sayable else None
