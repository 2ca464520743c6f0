"""Walks the records of segment files, at start-up and when bytes are reclaimed. Blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import structlog
import xxhash

from router.domain.instance import Instance
from router.spool.files import OpenFile
from router.spool.format import (
    ALIGNMENT,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    RecordHeader,
    aligned,
    frame_checksum,
    record_signature,
    unpack_record_header,
    unpack_segment_header,
    unpack_trailer,
)

CHUNK = 1 << 20

log = structlog.get_logger(__name__)


def record_headers(file: OpenFile, start: int = 0) -> Iterator[RecordHeader]:
    """The headers of all records from ``start`` on.

    Where no record begins, the search goes on for the next one: the nonce and the offset in a
    header make sure that only what the router sealed is found, and a damaged header costs one
    record, not all that follow.
    """
    nonce = _nonce(file)
    if nonce is None:
        return
    offset: int | None = aligned(max(start, SEGMENT_HEADER_BYTES))
    while offset is not None:
        header = _header_at(file, offset, nonce)
        if header is None:
            offset = _next_header(file, offset + ALIGNMENT, nonce)
        else:
            yield header
            offset += header.length


def _nonce(file: OpenFile) -> bytes | None:
    """The segment's nonce; where its header is damaged, the first record knows it, too."""
    data = os.pread(file.descriptor, SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES, 0)
    if (nonce := unpack_segment_header(data)) is not None:
        return nonce
    first = unpack_record_header(data[SEGMENT_HEADER_BYTES:], SEGMENT_HEADER_BYTES)
    return None if first is None else first.nonce


def _header_at(file: OpenFile, offset: int, nonce: bytes) -> RecordHeader | None:
    header = unpack_record_header(os.pread(file.descriptor, RECORD_HEADER_BYTES, offset), offset)
    return header if header is not None and header.nonce == nonce else None


def _next_header(file: OpenFile, start: int, nonce: bytes) -> int | None:
    """Where the next record begins that a search finds; None at the end of the file."""
    signature = record_signature(nonce)
    while len(chunk := os.pread(file.descriptor, CHUNK, start)) >= RECORD_HEADER_BYTES:
        found = chunk.find(signature)
        while found >= 0:
            if _header_at(file, start + found, nonce) is not None:
                return start + found
            found = chunk.find(signature, found + 1)
        start += max(len(chunk) - RECORD_HEADER_BYTES, ALIGNMENT)
    return None


def intact_instances(path: Path, start: int) -> Iterator[Instance]:
    """Every unreclaimed record from ``start`` on whose bytes match their checksums.

    A record with a header but other bytes was never acknowledged (the power failed during its
    flush), or has rotted: it is reported and passed over. So is what the disk cannot read: one
    bad sector keeps nothing else from being recovered.
    """
    try:
        file = OpenFile(path, os.O_RDONLY)
        for header in record_headers(file, start):
            if not header.is_reclaimed and (instance := _verified(file, header)) is not None:
                yield instance
    except OSError as error:
        log.error("a spool segment cannot be read", segment=str(path), error=str(error))


def _verified(file: OpenFile, header: RecordHeader) -> Instance | None:
    try:
        if (instance := _instance(file, header)) is not None:
            return instance
        error = "its bytes do not match their checksum"
    except OSError as failure:
        error = str(failure)
    log.error(
        "a spooled instance is damaged and is not delivered; it was never acknowledged if the "
        "power failed while it arrived, else it has to be sent again",
        segment=str(file.path),
        offset=header.offset,
        length=header.length,
        error=error,
    )
    return None


def _instance(file: OpenFile, header: RecordHeader) -> Instance | None:
    ref = header.ref(file.path.stem)
    part10_header = os.pread(file.descriptor, ref.data_set_skip, ref.file_offset)
    trailer = os.pread(file.descriptor, header.trailer_length, header.trailer_offset)
    if frame_checksum(part10_header, trailer) != header.frame_checksum:
        return None
    if _checksum(file, ref.data_set_offset, ref.data_set_length) != header.data_set_checksum:
        return None
    return unpack_trailer(trailer, ref, header.data_set_checksum)


def _checksum(file: OpenFile, offset: int, length: int) -> int:
    digest = xxhash.xxh3_64()
    end = offset + length
    while offset < end:
        data = os.pread(file.descriptor, min(CHUNK, end - offset), offset)
        if not data:
            break
        digest.update(data)
        offset += len(data)
    return digest.intdigest()
