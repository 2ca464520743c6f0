"""What is packed into a segment comes out again, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from router.domain.instance import Disposition, Identity, Provenance
from router.spool.format import (
    ALIGNMENT,
    NONCE_BYTES,
    RECLAIMED_MARK,
    RECLAIMED_MARK_AT,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    RecordHeader,
    pack_record_header,
    pack_segment_header,
    pack_trailer,
    record_signature,
    unpack_record_header,
    unpack_segment_header,
    unpack_trailer,
)

CHECKSUM_ENDS = RECLAIMED_MARK_AT

any_text = st.text(st.characters(), max_size=40)
nonces = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
words = st.integers(0, 2**64 - 1)
headers = st.builds(
    RecordHeader,
    nonce=nonces,
    offset=st.integers(1, 2**40).map(lambda number: number * ALIGNMENT),
    file_length=st.integers(0, 2**50),
    data_set_skip=st.integers(0, 2**32 - 1),
    trailer_length=st.integers(0, 2**32 - 1),
    data_set_checksum=words,
    frame_checksum=words,
)
identities = st.builds(Identity, any_text, any_text, any_text, any_text, any_text)
provenances = st.builds(
    Provenance, any_text, any_text, any_text, any_text, st.datetimes(timezones=st.just(UTC))
)
facts = st.dictionaries(any_text, st.lists(any_text, max_size=3).map(tuple), max_size=5)


@given(nonces)
def test_a_segment_header_tells_its_nonce(nonce: bytes) -> None:
    packed = pack_segment_header(nonce)

    assert len(packed) == SEGMENT_HEADER_BYTES
    assert unpack_segment_header(packed) == nonce


@given(st.binary(max_size=2 * SEGMENT_HEADER_BYTES))
def test_other_bytes_are_no_segment_header(data: bytes) -> None:
    assert unpack_segment_header(data) is None


@given(headers)
def test_a_record_header_comes_out_as_it_went_in(header: RecordHeader) -> None:
    packed = pack_record_header(header)

    assert len(packed) == RECORD_HEADER_BYTES
    assert packed.startswith(record_signature(header.nonce))
    assert unpack_record_header(packed, header.offset) == header


@given(headers)
def test_records_are_aligned_and_hold_all_of_their_parts(header: RecordHeader) -> None:
    ref = header.ref("segment-1")

    assert header.length % ALIGNMENT == 0
    assert ref.data_set_offset == header.offset + RECORD_HEADER_BYTES + header.data_set_skip
    assert header.trailer_offset + header.trailer_length <= header.offset + header.length


@given(headers, st.integers(0, 2**46))
def test_a_record_header_counts_at_its_own_offset_only(header: RecordHeader, offset: int) -> None:
    found = unpack_record_header(pack_record_header(header), offset)

    assert (found is not None) == (offset == header.offset)


@given(headers, st.integers(0, CHECKSUM_ENDS - 1), st.integers(1, 255))
def test_a_damaged_record_header_is_none(header: RecordHeader, at: int, flipped: int) -> None:
    damaged = bytearray(pack_record_header(header))
    damaged[at] ^= flipped

    assert unpack_record_header(bytes(damaged), header.offset) is None


@given(headers, st.integers(0, RECORD_HEADER_BYTES - 1))
def test_a_torn_record_header_is_none(header: RecordHeader, length: int) -> None:
    assert unpack_record_header(pack_record_header(header)[:length], header.offset) is None


@given(headers)
def test_a_mark_in_the_header_says_that_the_record_is_reclaimed(header: RecordHeader) -> None:
    marked = bytearray(pack_record_header(header))
    marked[RECLAIMED_MARK_AT : RECLAIMED_MARK_AT + len(RECLAIMED_MARK)] = RECLAIMED_MARK
    found = unpack_record_header(bytes(marked), header.offset)

    assert found is not None
    assert found.is_reclaimed
    assert found.ref("segment-1") == header.ref("segment-1")


@given(identities, provenances, facts, st.sampled_from(Disposition), any_text)
def test_a_trailer_restores_the_instance_whatever_its_text(
    identity: Identity,
    provenance: Provenance,
    facts: dict[str, tuple[str, ...]],
    disposition: Disposition,
    reason: str,
) -> None:
    ref = RecordHeader(bytes(NONCE_BYTES), 64, 500, 400, 100, 0, 0).ref("segment-1")
    trailer = pack_trailer(identity, provenance, facts, disposition, reason)
    instance = unpack_trailer(trailer, ref, 0xAB)

    assert instance.identity == identity
    assert instance.provenance == provenance
    assert instance.facts == facts
    assert (instance.disposition, instance.reason) == (disposition, reason)
    assert instance.ref == ref
    assert instance.checksum == "00000000000000ab"


def test_text_that_is_no_valid_unicode_is_kept_as_it_is() -> None:
    ref = RecordHeader(bytes(NONCE_BYTES), 64, 500, 400, 100, 0, 0).ref("segment-1")
    lone_surrogates = "\ud83d and \udc00"
    identity = Identity("", lone_surrogates, "", "", "")
    provenance = Provenance("", "", "", "", datetime(2026, 3, 1, tzinfo=UTC))
    trailer = pack_trailer(identity, provenance, {}, Disposition.ACCEPTED, "")

    assert unpack_trailer(trailer, ref, 0).identity == identity
