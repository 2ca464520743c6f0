"""Scans data sets that are stored: wherever in them one likes, and off the event loop."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from router.dicom import uids
from router.dicom.findings import Finding, FindingKind, ScanLimits, ScanResult
from router.dicom.scan_plan import ScanPlan
from router.dicom.scanner import DataSetScanner

CHUNK = 256 * 1024

Read = Callable[[int, int], bytes]
"""Offset and size to bytes, at most so many."""


class _Inflate(Protocol):
    """A stream that is being inflated; zlib has no name for it."""

    def copy(self) -> _Inflate: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


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
    room = limits.max_inflated_bytes
    try:
        for plain in _inflated(read, length):
            scanner.feed(memoryview(plain)[:room])
            room -= len(plain)
            if room < 0:
                reason = f"{length} bytes inflate to more than {limits.max_inflated_bytes}"
                bomb = Finding(FindingKind.DEFLATE_BOMB, reason)
                return ScanResult(scanner.finish().facts, bomb)
    except zlib.error as error:
        result = scanner.finish()
        warning = Finding(FindingKind.NOT_DEFLATED, str(error))
        return ScanResult(result.facts, result.finding, (*result.warnings, warning))
    return scanner.finish()


def _inflated(read: Read, length: int) -> Iterator[bytes]:
    """What a stream inflates to, at most ``CHUNK`` bytes at a time.

    Raises ``zlib.error`` at a fault, behind all that comes before it.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    offset = 0
    while offset < length and (pending := read(offset, min(CHUNK, length - offset))):
        offset += len(pending)
        is_used_up = False
        while not is_used_up and not inflate.eof:
            before = inflate.copy()
            try:
                plain = inflate.decompress(pending, CHUNK)
            except zlib.error:
                yield _up_to_fault(before, pending)
                raise
            yield plain
            pending = inflate.unconsumed_tail
            is_used_up = len(plain) < CHUNK


def _up_to_fault(inflate: _Inflate, broken: bytes) -> bytes:
    """What comes before the fault in these bytes, which zlib keeps to itself when it finds one.

    Halving leads to the longest beginning of them that is without fault.
    """
    plain, good, bad = b"", 0, len(broken)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            plain, good = inflate.copy().decompress(broken[:middle], CHUNK), middle
        except zlib.error:
            bad = middle
    return plain
