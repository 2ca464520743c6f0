"""The bytes of a segment: pure packing and unpacking.

A segment is a header and then records, back to back, each beginning at a multiple of 64 bytes::

    segment header   magic, nonce, checksum                                              64 bytes
    record header    magic, nonce, own offset, lengths, checksums; a mark when reclaimed 128 bytes
    file             preamble, File Meta group and data set: a Part 10 stream
    trailer          JSON: identity, provenance, facts, disposition, reason

The record header is written last and carries the segment's random nonce and its own offset, so
neither stale bytes nor anything that a sender put into a data set can pass for a record. Two
checksums (XXH3-64) cover the rest: one the data set, one the frame around it, which is the Part 10
header and the trailer.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from datetime import datetime

import xxhash

from router.domain.instance import (
    Disposition,
    Facts,
    Identity,
    Instance,
    Provenance,
    SpoolRef,
)

ALIGNMENT = 64
SEGMENT_HEADER_BYTES = 64
RECORD_HEADER_BYTES = 128
NONCE_BYTES = 16

_SEGMENT = struct.Struct("<8s16sI36x")
_RECORD = struct.Struct("<8s16sQQIIQQ")  # followed by its checksum, then by the mark
_CHECKSUM = struct.Struct("<Q")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_SEGMENT_MAGIC = b"DRSEGM01"
_RECORD_MAGIC = b"DRRECD01"

RECLAIMED_MARK = b"RECLAIMD"
"""Written into a record header when its bytes are given back.

Eight bytes inside one disk sector, outside of the header's checksum: there or not there, never
half there. No single damaged byte turns the zeros of a live record into it.
"""
RECLAIMED_MARK_AT = _RECORD.size + _CHECKSUM.size
"""Where the mark stands, from the start of the record, in bytes."""


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What the header of a record says; offsets and lengths in bytes."""

    nonce: bytes
    offset: int
    file_length: int
    data_set_skip: int
    trailer_length: int
    data_set_checksum: int
    frame_checksum: int
    is_reclaimed: bool = False

    @property
    def length(self) -> int:
        """Of the whole record, up to where the next one begins."""
        return aligned(RECORD_HEADER_BYTES + self.file_length + self.trailer_length)

    @property
    def trailer_offset(self) -> int:
        """Where the trailer begins, from the start of the segment."""
        return self.offset + RECORD_HEADER_BYTES + self.file_length

    def ref(self, segment: str) -> SpoolRef:
        """The reference to this record."""
        return SpoolRef(
            segment,
            self.offset,
            self.length,
            self.offset + RECORD_HEADER_BYTES,
            self.file_length,
            self.data_set_skip,
        )


def aligned(length: int) -> int:
    """The next multiple of the alignment."""
    return (length + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def pack_segment_header(nonce: bytes) -> bytes:
    """The first bytes of a segment."""
    return _SEGMENT.pack(_SEGMENT_MAGIC, nonce, zlib.crc32(nonce))


def unpack_segment_header(data: bytes) -> bytes | None:
    """The nonce of a segment; None if these are not the first bytes of one."""
    if len(data) < SEGMENT_HEADER_BYTES:
        return None
    magic, nonce, checksum = _SEGMENT.unpack_from(data)
    if magic != _SEGMENT_MAGIC or checksum != zlib.crc32(nonce):
        return None
    return bytes(nonce)


def pack_record_header(header: RecordHeader) -> bytes:
    """The header of a record that is not reclaimed."""
    body = _RECORD.pack(
        _RECORD_MAGIC,
        header.nonce,
        header.offset,
        header.file_length,
        header.data_set_skip,
        header.trailer_length,
        header.data_set_checksum,
        header.frame_checksum,
    )
    return (body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))).ljust(RECORD_HEADER_BYTES, b"\0")


def unpack_record_header(data: bytes, offset: int) -> RecordHeader | None:
    """The header of the record at this offset; None if these are not the bytes of one.

    It belongs to a segment only if it carries that segment's nonce.
    """
    if len(data) < RECORD_HEADER_BYTES:
        return None
    body = data[: _RECORD.size]
    magic, nonce, found_offset, file_length, skip, trailer_length, data_set, frame = _RECORD.unpack(
        body
    )
    (checksum,) = _CHECKSUM.unpack_from(data, _RECORD.size)
    if magic != _RECORD_MAGIC or found_offset != offset:
        return None
    if checksum != xxhash.xxh3_64_intdigest(body):
        return None
    mark = data[RECLAIMED_MARK_AT : RECLAIMED_MARK_AT + len(RECLAIMED_MARK)]
    return RecordHeader(
        nonce=nonce,
        offset=found_offset,
        file_length=file_length,
        data_set_skip=skip,
        trailer_length=trailer_length,
        data_set_checksum=data_set,
        frame_checksum=frame,
        is_reclaimed=mark == RECLAIMED_MARK,
    )


def record_signature(nonce: bytes) -> bytes:
    """The first bytes of every record header of a segment."""
    return _RECORD_MAGIC + nonce


def frame_checksum(part10_header: bytes, trailer: bytes) -> int:
    """The checksum of what a record holds besides its data set."""
    return xxhash.xxh3_64_intdigest(part10_header + trailer)


def pack_trailer(
    identity: Identity,
    provenance: Provenance,
    facts: Facts,
    disposition: Disposition,
    reason: str,
) -> bytes:
    """All that the ledger needs of an instance besides its bytes."""
    document = {
        "identity": [
            identity.sop_class_uid,
            identity.sop_instance_uid,
            identity.study_instance_uid,
            identity.series_instance_uid,
            identity.transfer_syntax_uid,
        ],
        "provenance": [
            provenance.calling_ae_title,
            provenance.called_ae_title,
            provenance.address,
            provenance.association_id,
            provenance.received_at.isoformat(),
        ],
        "facts": dict(facts),
        "disposition": disposition,
        "reason": reason,
    }
    return _encode(document).encode("utf-8", "surrogatepass")


def unpack_trailer(data: bytes, ref: SpoolRef, data_set_checksum: int) -> Instance:
    """The instance of a record, from a trailer that matched its checksum."""
    document = json.loads(data.decode("utf-8", "surrogatepass"))
    calling, called, address, association_id, received_at = document["provenance"]
    return Instance(
        identity=Identity(*document["identity"]),
        provenance=Provenance(
            calling, called, address, association_id, datetime.fromisoformat(received_at)
        ),
        facts={name: tuple(values) for name, values in document["facts"].items()},
        ref=ref,
        checksum=f"{data_set_checksum:016x}",
        disposition=Disposition(document["disposition"]),
        reason=document["reason"],
    )
