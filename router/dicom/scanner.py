"""Reads the wanted attributes of a data set as it streams by, and checks its structure.

Nothing is kept but an incomplete header or an incomplete wanted value (bounded), and values that
nobody wants are skipped by their length without being touched.
"""

from __future__ import annotations

from router.dicom import uids
from router.dicom.findings import Finding, FindingKind, ScanLimits, ScanResult
from router.dicom.scan_plan import ScanPlan
from router.dicom.walk import Walk

__all__ = [
    "DataSetScanner",
    "Finding",
    "FindingKind",
    "ScanLimits",
    "ScanPlan",
    "ScanResult",
]


class DataSetScanner:
    """Fed with the fragments of one data set as they arrive; never raises for content."""

    __slots__ = ("_carry", "_walk", "needs_stored_scan")

    def __init__(self, plan: ScanPlan, transfer_syntax_uid: str, limits: ScanLimits):
        self.needs_stored_scan = uids.is_deflated(transfer_syntax_uid)
        """Deflated: nothing is read here, ``scan_stored`` has to do it off the loop."""
        self._walk = Walk(plan, transfer_syntax_uid, limits)
        self._carry = bytearray()  # what the walk has to see together with what comes next

    def feed(self, view: memoryview) -> None:
        """Look at the next bytes of the data set; keeps no view."""
        if self.needs_stored_scan:
            return
        walk = self._walk
        start, end = 0, len(view)
        while start < end and not walk.is_over:
            if walk.skip:
                start += walk.pass_over(end - start)
            elif self._carry:
                start = self._complete_carry(view, start)
            else:
                start = self._look(view, start)

    def _look(self, view: memoryview, start: int) -> int:
        """Show the walk what is there, and carry what it cannot use yet."""
        walk = self._walk
        start += walk.look(view[start:] if start else view)
        if walk.skip or walk.is_over:
            return start
        self._carry += view[start:]
        return len(view)

    def _complete_carry(self, view: memoryview, start: int) -> int:
        """Add what the carry needs, and look at it as soon as it is enough."""
        walk = self._walk
        taken = view[start : start + max(walk.need - len(self._carry), 0)]
        self._carry += taken
        if len(self._carry) >= walk.need:
            head = bytes(self._carry)
            self._carry.clear()
            walk.need = 0
            rest = head[walk.look(memoryview(head)) :]
            self._carry += rest[walk.pass_over(len(rest)) :]
        return start + len(taken)

    @property
    def study_instance_uid(self) -> str:
        """The Study Instance UID if it has been read already, else empty."""
        values = self._walk.harvest.facts.get("StudyInstanceUID")
        return values[0] if values else ""

    def pass_over(self, available: int) -> int:
        """Go on without the next bytes, at most so many, as far as nobody wants to see them.

        How many were passed over; they must not be fed any more.
        """
        return self._walk.pass_over(available)

    def finish(self) -> ScanResult:
        """The data set has ended: what was found in it."""
        walk, harvest = self._walk, self._walk.harvest
        if not walk.is_over and (self._carry or not walk.is_between_elements()):
            walk.warn(FindingKind.TRUNCATED, "the data set ends in the middle of an element")
        if harvest.left_out:
            walk.warn(FindingKind.VALUE_TOO_LONG, f"{harvest.left_out} beside all the others")
        return ScanResult(harvest.facts, walk.finding, tuple(walk.warnings))
