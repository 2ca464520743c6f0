"""Scans data sets that are stored: wherever in them one likes, and off the event loop."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from router.dicom import uids
from router.dicom.findings import Finding, FindingKind, ScanLimits, ScanResult
from router.dicom.scan_plan import ScanPlan
from router.dicom.scanner import DataSetScanner

CHUNK = 256 * 1024

Read = Callable[[int, int], bytes]
"""Offset and size to bytes, at most so many."""


def scan_stored(
    plan: ScanPlan, transfer_syntax_uid: str, limits: ScanLimits, read: Read, length: int
) -> ScanResult:
    """Scan a stored data set in flat memory, deflated or not; blocks, so for worker threads.

    Values that nobody wants, such as pixel data, are not even read, unless they are deflated.
    """
    if uids.is_deflated(transfer_syntax_uid):
        return _scan_deflated(plan, limits, read, length)
    scanner = DataSetScanner(plan, transfer_syntax_uid, limits)
    offset = 0
    while offset < length and (piece := read(offset, min(CHUNK, length - offset))):
        scanner.feed(memoryview(piece))
        offset += len(piece)
        offset += scanner.pass_over(length - offset)
    return scanner.finish()


def _scan_deflated(plan: ScanPlan, limits: ScanLimits, read: Read, length: int) -> ScanResult:
    scanner = DataSetScanner(plan, uids.EXPLICIT_VR_LITTLE_ENDIAN, limits)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = offset = 0
    while offset < length and (piece := read(offset, min(CHUNK, length - offset))):
        pending = piece
        offset += len(piece)
        while pending and not inflate.eof:
            try:
                plain = inflate.decompress(pending, CHUNK)
            except zlib.error as error:
                result = scanner.finish()
                warning = Finding(FindingKind.NOT_DEFLATED, str(error))
                return ScanResult(result.facts, result.finding, (*result.warnings, warning))
            scanner.feed(memoryview(plain))
            inflated += len(plain)
            if inflated > limits.max_inflated_bytes:
                bomb = Finding(
                    FindingKind.DEFLATE_BOMB,
                    f"{length} bytes inflate to more than {limits.max_inflated_bytes}",
                )
                return ScanResult(scanner.finish().facts, bomb)
            pending = inflate.unconsumed_tail
    return scanner.finish()
