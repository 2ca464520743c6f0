"""The data sets of storage commitment (PS3.4 tables J.3-1 and J.3-2), read and written by pydicom.

They may list thousands of instances: read and write them in a worker thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from router.dicom import uids
from router.dicom.data_sets import read_data_set, write_data_set
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
_WHAT = "a storage commitment data set"


def read_request(data: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """What an N-ACTION asks; raises ``CannotUnderstand``."""
    data_set = read_data_set(data, transfer_syntax_uid, _WHAT)
    references = tuple(_reference(item) for item in _items_in(data_set, "ReferencedSOPSequence"))
    if not references:
        raise CannotUnderstand("the storage commitment request lists no instances")
    return CommitmentRequest(_transaction(data_set), references)


def read_report(data: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """What an N-EVENT-REPORT says; raises ``CannotUnderstand``."""
    data_set = read_data_set(data, transfer_syntax_uid, _WHAT)
    return CommitmentReport(
        _transaction(data_set),
        tuple(_reference(item) for item in _items_in(data_set, "ReferencedSOPSequence")),
        tuple(
            (_reference(item), _failure_reason(item))
            for item in _items_in(data_set, "FailedSOPSequence")
        ),
    )


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


def _transaction(data_set: Dataset) -> str:
    uid = str(data_set.get("TransactionUID") or "")
    if not uids.is_valid_uid(uid):
        raise CannotUnderstand("a storage commitment data set has no valid TransactionUID")
    return uid


def _items_in(data_set: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; none if it is not there. A peer may put anything else there."""
    if keyword not in data_set:
        return ()
    if data_set[keyword].VR != "SQ":
        raise CannotUnderstand(f"{keyword} of a storage commitment data set is no sequence")
    return data_set[keyword].value or ()


def _reference(item: Dataset) -> Reference:
    """What an item is about: UIDs that a ledger can keep and a report can name."""
    uids_of_item = [
        str(item.get(keyword) or "")
        for keyword in ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")
    ]
    if not all(map(uids.is_valid_uid, uids_of_item)):
        raise CannotUnderstand("a storage commitment data set refers to no valid UID")
    return Reference(*uids_of_item)


def _failure_reason(item: Dataset) -> int:
    """Why an instance is not committed; what is no reason at all is a processing failure."""
    reason = item.get("FailureReason")
    is_reason = isinstance(reason, int) and 0 < reason <= 0xFFFF
    return reason if is_reason else int(FailureReason.PROCESSING_FAILURE)


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
