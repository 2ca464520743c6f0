"""What became of files: each cell of the matrix is judged here, from bytes. Pure."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_fragments
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.interop.tap import Carried, Tap

Instances = Mapping[str, Carried]
"""SOP Instance UID to instance."""

PIXEL_DATA = 0x7FE00010
BROKEN = "not readable"
SHORT_NAMES: dict[str, str] = {
    ImplicitVRLittleEndian: "Implicit VR LE",
    ExplicitVRLittleEndian: "Explicit VR LE",
    ExplicitVRBigEndian: "Explicit VR BE",
}


class Mark(StrEnum):
    """How a cell is printed."""

    SAME = "✓"  # every byte of the files arrived, under their transfer syntax
    CHANGED = "≈"  # what the peer sent, or took, is not what the file, or the wire, had
    ABSENT = "–"  # the peer does not do it
    LOST = "✗"  # it was sent, and did not arrive as it was sent


@dataclass(frozen=True)
class Cell:
    """An outcome, and what has to be said about it."""

    mark: Mark
    note: str = ""

    def __str__(self) -> str:
        return f"{self.mark} {self.note}".strip()


SAME = Cell(Mark.SAME)
NOT_PROPOSED = Cell(Mark.LOST, "not proposed by the router")


def sent_and_held(files: Instances, tap: Tap, held: Instances) -> Cell:
    """The cell of a sender: its files, what it made of them, and what the receiver holds.

    The receiver is measured by what was sent; the sender by its files.
    """
    sent = tap.sent
    if not sent:
        return Cell(Mark.ABSENT, _why_nothing_was_sent(tap))
    lost = [uid for uid in sent if held.get(uid) != sent[uid]]
    if lost:
        why = _why_lost(lost, tap, sent, held)
        if change(files[lost[0]], sent[lost[0]]) == BROKEN:
            return Cell(Mark.LOST, f"{BROKEN}: {why}")
        return Cell(Mark.LOST, why)
    return _compared(files, sent)


def _why_nothing_was_sent(tap: Tap) -> str:
    proposed = any(each.proposed for each in tap.associations)
    if not proposed:
        return "not read"
    accepted = any(each.accepted for each in tap.associations)
    return "not sent" if accepted else "no context accepted"


def _why_lost(lost: list[str], tap: Tap, sent: Instances, held: Instances) -> str:
    missing = [uid for uid in lost if uid not in held]
    if not missing:
        return change(sent[lost[0]], held[lost[0]])
    status = tap.stored.get(missing[0])
    return "not answered" if status is None else f"status {status:04X}" if status else "not held"


def _compared(files: Instances, sent: Instances) -> Cell:
    if len(sent) < len(files):
        return Cell(Mark.CHANGED, f"{len(sent)} of {len(files)}")
    changes = {change(files[uid], sent[uid]) for uid in files} - {""}
    most = {one for one in changes if not any(two != one and one in two for two in changes)}
    return Cell(Mark.CHANGED, "; ".join(sorted(most))) if most else SAME


def routed_and_held(files: Instances, tap: Tap, held: Instances) -> Cell:
    """The cell of a writer: files that the router has, what it sent, and what the writer holds.

    ``tap`` is between router and writer, and may have carried other instances as well.
    """
    sent = {uid: one for uid, one in tap.sent.items() if uid in files}
    if any(sent[uid] != files[uid] for uid in sent):
        return Cell(Mark.LOST, "the router changed it")
    if not sent:
        syntaxes = {one.transfer_syntax for one in files.values()}
        asked = any(syntaxes & set(each[1]) for one in tap.associations for each in one.proposed)
        return Cell(Mark.ABSENT, "no context accepted") if asked else NOT_PROPOSED
    missing = [uid for uid in files if uid not in held]
    if missing:
        return Cell(Mark.ABSENT, _why_not_held(missing[0], tap))
    return _compared(files, {uid: held[uid] for uid in files})


def _why_not_held(uid: str, tap: Tap) -> str:
    status = tap.stored.get(uid)
    if status is None:
        return "ends the association"
    return f"refused, {status:04X}" if status else "answers 0000, holds nothing"


def change(before: Carried, after: Carried) -> str:
    """What was done to an instance on its way; empty if nothing."""
    if before == after:
        return ""
    was, now = UID(before.transfer_syntax), UID(after.transfer_syntax)
    if was.is_encapsulated and not now.is_encapsulated and before.data_set == after.data_set:
        return f"encapsulated under {SHORT_NAMES[now]}"
    try:
        changed = _changed_elements(before, after)
    except (zlib.error, ValueError, EOFError):
        return BROKEN
    more = f", changes {', '.join(changed)}" if changed else ""
    if was != now:
        return f"as {SHORT_NAMES.get(now, now.name)}{more}"
    return f"re-encoded{more}"


def _changed_elements(before: Carried, after: Carried) -> list[str]:
    """Keywords of elements whose values are not the same."""
    one, other = read(before), read(after)
    tags = sorted({element.tag for dataset in (one, other) for element in dataset})
    return [
        pydicom.datadict.keyword_for_tag(tag) or str(tag)
        for tag in tags
        if _value(one, tag, before) != _value(other, tag, after)
    ]


def _value(data_set: Dataset, tag: int, carried: Carried) -> object:
    """A value as it can be compared, whatever its encoding; None: absent, or empty."""
    value = data_set[tag].value if tag in data_set else None
    if not value:
        return None
    if not isinstance(value, bytes):
        return str(value)
    if tag == PIXEL_DATA and UID(carried.transfer_syntax).is_encapsulated:
        return b"".join(generate_fragments(value))  # wherever they begin and end
    if data_set[tag].VR == "OW" and carried.transfer_syntax == ExplicitVRBigEndian:
        swapped = bytearray(value)
        swapped[0::2], swapped[1::2] = value[1::2], value[0::2]
        return bytes(swapped)
    return value


def read(carried: Carried) -> Dataset:
    """An instance as pydicom reads it."""
    meta, file = FileMetaDataset(), DicomBytesIO()
    meta.TransferSyntaxUID = UID(carried.transfer_syntax)
    file.write(bytes(128) + b"DICM")
    write_file_meta_info(file, meta, enforce_standard=False)
    file.write(carried.data_set)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set: Dataset = pydicom.dcmread(file)
        data_set.decode()
    return data_set
