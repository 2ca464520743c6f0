"""What answers of candidates, and failures to read the spool, mean for instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from router.dicom import statuses
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CorruptRecord, RecordReclaimed, RouterError, SpoolFailed

STORED = Outcome(OutcomeKind.STORED, statuses.SUCCESS, "")
"""The candidate has it, and there is nothing more to say."""
UNREADABLE = (SpoolFailed, CorruptRecord)
"""What keeps an instance from being read."""


class Spoiled(RouterError):
    """One of the instances that are transferred all or none cannot be read: none is sent."""

    def __init__(self, index: int, error: RouterError):
        """``index`` is that of the instance, ``error`` why it cannot be read."""
        super().__init__(str(error))
        self._index = index
        self._outcome = outcome_of_failure(error)

    def outcomes(self, items: Sequence[DeliveryItem]) -> Sequence[Outcome]:
        """The outcome of each of the instances."""
        uid = items[self._index].sop_instance_uid
        reason = f"not sent: without instance {uid} it would not be whole"
        other = Outcome(self._outcome.kind, None, reason)
        return [self._outcome if at == self._index else other for at in range(len(items))]


@contextmanager
def spoiling(index: int) -> Iterator[None]:
    """Raises ``Spoiled`` where the instance of this index turns out to be unreadable."""
    try:
        yield
    except UNREADABLE as error:
        raise Spoiled(index, error) from error


def outcome_of(status: int, comment: str = "") -> Outcome:
    """What a status of the Storage service means for the delivery (PS3.4 table B.2-1)."""
    reason = statuses.describe(status) + (f": {comment}" if comment else "")
    if statuses.is_stored(status):
        return Outcome(OutcomeKind.STORED, status, "" if status == statuses.SUCCESS else reason)
    kind = OutcomeKind.TEMPORARY if statuses.is_temporary(status) else OutcomeKind.PERMANENT
    return Outcome(kind, status, reason)


def outcome_of_failure(error: RouterError) -> Outcome:
    """What it means that an instance could not be read: an error of the disk may pass.

    Bytes that have changed, or are gone, do not come back.
    """
    is_final = isinstance(error, CorruptRecord | RecordReclaimed)
    return Outcome(OutcomeKind.PERMANENT if is_final else OutcomeKind.TEMPORARY, None, str(error))
