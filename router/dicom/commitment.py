"""The data sets of storage commitment (PS3.4 tables J.3-1 and J.3-2).

They may list thousands of instances: read and write them in a worker thread. What is written is
pydicom's; what comes is walked without it, for any peer may send it: a megabyte of empty items took
pydicom twenty seconds and a hundred megabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from router.dicom import uids
from router.dicom.data_sets import write_data_set
from router.dicom.sequences import Element, ItemStart, Walk
from router.domain.commitment import (
    CommitmentReport,
    CommitmentRequest,
    FailureReason,
    Reference,
)
from router.domain.errors import CannotUnderstand

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

REQUEST_STORAGE_COMMITMENT = 1  # action type
ALL_COMMITTED, SOME_FAILED = 1, 2  # event types
MAX_ELEMENTS = 256
"""Of one item, or beside the sequences; the standard has three."""
_TRANSACTION_UID, _FAILED, _REFERENCED = 0x00081195, 0x00081198, 0x00081199
_CLASS_UID, _INSTANCE_UID, _FAILURE_REASON = 0x00081150, 0x00081155, 0x00081197
_SEQUENCES = frozenset({_REFERENCED, _FAILED})


def read_request(data: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """What an N-ACTION asks; raises ``CannotUnderstand``."""
    said = _Said(data, transfer_syntax_uid)
    if not said.referenced:
        raise CannotUnderstand("the storage commitment request lists no instances")
    return CommitmentRequest(said.transaction_uid, tuple(said.referenced))


def read_report(data: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """What an N-EVENT-REPORT says; raises ``CannotUnderstand``."""
    said = _Said(data, transfer_syntax_uid)
    return CommitmentReport(said.transaction_uid, tuple(said.referenced), tuple(said.failed))


def write_request(request: CommitmentRequest, transfer_syntax_uid: str) -> bytes:
    """The action information of an N-ACTION."""
    from pydicom.dataset import Dataset

    data_set = Dataset()
    data_set.TransactionUID = request.transaction_uid
    data_set.ReferencedSOPSequence = _items(request.references)
    return write_data_set(data_set, transfer_syntax_uid)


def write_report(report: CommitmentReport, transfer_syntax_uid: str) -> bytes:
    """The event information of an N-EVENT-REPORT."""
    from pydicom.dataset import Dataset

    data_set = Dataset()
    data_set.TransactionUID = report.transaction_uid
    if report.committed:
        data_set.ReferencedSOPSequence = _items(report.committed)
    if report.failed:
        failed = _items(reference for reference, _ in report.failed)
        for item, (_, reason) in zip(failed, report.failed, strict=True):
            item.FailureReason = reason
        data_set.FailedSOPSequence = failed
    return write_data_set(data_set, transfer_syntax_uid)


def event_type(report: CommitmentReport) -> int:
    """The event type that says what the report says."""
    return SOME_FAILED if report.failed else ALL_COMMITTED


class _Said:
    """What a request or report says. Raises ``CannotUnderstand``."""

    def __init__(self, data: bytes, transfer_syntax_uid: str):
        self.transaction_uid = ""
        self.referenced: list[Reference] = []
        self.failed: list[tuple[Reference, int]] = []
        self._order = ">" if uids.is_big_endian(transfer_syntax_uid) else "<"
        self._walk(
            Walk(
                data,
                implicit=uids.is_implicit_vr(transfer_syntax_uid),
                big_endian=uids.is_big_endian(transfer_syntax_uid),
                sequences=_SEQUENCES,
            )
        )
        if not uids.is_valid_uid(self.transaction_uid):
            raise CannotUnderstand("a storage commitment data set has no valid TransactionUID")

    def _walk(self, walk: Walk) -> None:
        sequence = 0
        item: dict[int, bytes] | None = None
        elements = 0
        for part in walk:
            elements = 0 if isinstance(part, ItemStart) else elements + 1
            if elements > MAX_ELEMENTS:
                raise CannotUnderstand("a storage commitment data set has far too many elements")
            match part:
                case ItemStart((outermost,)):
                    self._add(sequence, item)
                    sequence, item = outermost, {}
                case Element((), tag, value) if tag == _TRANSACTION_UID:
                    self.transaction_uid = _uid(value)
                case Element((_,), tag, value) if item is not None:
                    item[tag] = value
        self._add(sequence, item)

    def _add(self, sequence: int, item: dict[int, bytes] | None) -> None:
        """Keep an item, now that all of it is known."""
        if item is None or sequence not in _SEQUENCES:
            return
        reference = Reference(_uid(item.get(_CLASS_UID)), _uid(item.get(_INSTANCE_UID)))
        if not all(map(uids.is_valid_uid, (reference.sop_class_uid, reference.sop_instance_uid))):
            raise CannotUnderstand("a storage commitment data set refers to no valid UID")
        if sequence == _REFERENCED:
            self.referenced.append(reference)
        else:
            self.failed.append((reference, self._failure_reason(item.get(_FAILURE_REASON, b""))))

    def _failure_reason(self, value: bytes) -> int:
        """Why an instance is not committed; what is no reason at all is a processing failure."""
        reason = struct.unpack(self._order + "H", value)[0] if len(value) == 2 else 0
        return int(reason or FailureReason.PROCESSING_FAILURE)


def _uid(value: bytes | None) -> str:
    return (value or b"").decode("latin-1").strip(" \0")


def _items(references: Iterable[Reference]) -> Sequence[Dataset]:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    items = Items()
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        items.append(item)
    return items
