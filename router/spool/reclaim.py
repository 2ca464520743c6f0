"""Gives the bytes of records back to the file system. Blocks: for threads."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.domain.instance import SpoolRef
from router.spool.files import OpenFile
from router.spool.format import (
    RECLAIMED_MARK,
    RECLAIMED_MARK_AT,
    RECORD_HEADER_BYTES,
    RecordHeader,
    unpack_record_header,
)
from router.spool.linux import punch_hole
from router.spool.recovery import record_headers

BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """How much of a segment has just been given back."""

    records: int
    bytes: int


def reclaim_records(path: Path, refs: Sequence[SpoolRef], being_read: Collection[int]) -> Reclaimed:
    """Mark records of one segment as reclaimed, durably, then punch holes where their bytes are.

    What is marked already stays so: a call that was cut short can be repeated. Records whose
    offsets are in ``being_read`` keep their bytes until the whole file goes. Raises ``OSError``.
    """
    file = OpenFile(path, os.O_RDWR)
    live: list[SpoolRef] = []
    for ref in refs:
        header = _header_of(file, ref)
        if header is not None and not header.is_reclaimed:
            os.pwrite(file.descriptor, RECLAIMED_MARK, ref.offset + RECLAIMED_MARK_AT)
            live.append(ref)
    if live:
        os.fdatasync(file.descriptor)
    for ref in refs:
        if ref.offset not in being_read and _header_of(file, ref) is not None:
            _punch(file, ref)
    return Reclaimed(len(live), sum(ref.length for ref in live))


def count_live(path: Path) -> int:
    """How many records of a segment are not reclaimed. Raises ``OSError``."""
    return sum(not header.is_reclaimed for header in record_headers(OpenFile(path, os.O_RDONLY)))


def _header_of(file: OpenFile, ref: SpoolRef) -> RecordHeader | None:
    """The header of the record that ``ref`` means; None if there is no such record."""
    data = os.pread(file.descriptor, RECORD_HEADER_BYTES, ref.offset)
    header = unpack_record_header(data, ref.offset)
    return header if header is not None and header.length == ref.length else None


def _punch(file: OpenFile, ref: SpoolRef) -> None:
    """Only whole blocks: parts of one would be overwritten with zeros and free nothing."""
    first = -(-(ref.offset + RECORD_HEADER_BYTES) // BLOCK) * BLOCK
    last = (ref.offset + ref.length) // BLOCK * BLOCK
    punch_hole(file.descriptor, first, last - first)
