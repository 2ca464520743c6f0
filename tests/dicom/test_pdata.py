"""Framing: what is cut out of a byte stream, and what is put into one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import pdu as judge

from router.dicom.pdata import (
    LARGEST_PAYLOAD,
    Buffer,
    ControlBody,
    Fragments,
    Malformed,
    Part,
    PDUReader,
    command_fragments,
    data_fragments,
    payload_size,
)
from router.dicom.pdu import MAX_CONTROL_PDU_BYTES

Value = tuple[int, int, bytes]  # context id, message control header, bytes
COMMAND, LAST = 1, 2

values = st.tuples(st.sampled_from((1, 3, 255)), st.integers(0, 3), st.binary(max_size=40))
control_pdus = st.tuples(st.sampled_from((1, 2, 3, 5, 6, 7)), st.binary(max_size=40))
p_data_pdus = st.lists(values, min_size=1, max_size=5)
streams = st.lists(st.one_of(control_pdus, p_data_pdus), max_size=8)


def encode(pdu: tuple[int, bytes] | list[Value]) -> bytes:
    if isinstance(pdu, tuple):
        return struct.pack(">BxI", pdu[0], len(pdu[1])) + pdu[1]
    body = b"".join(
        struct.pack(">IBB", len(value) + 2, context_id, control) + value
        for context_id, control, value in pdu
    )
    return struct.pack(">BxI", 4, len(body)) + body


def split(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(edges)]


def read_all(reader: PDUReader, pieces: Sequence[bytes]) -> list[Part]:
    """Everything read from the pieces, each copied out of a buffer that is then overwritten."""
    parts: list[Part] = []
    for piece in pieces:
        buffer = bytearray(piece)
        view, position = memoryview(buffer), 0
        while True:
            part, position = reader.read(view, position)
            if part is None:
                break
            if isinstance(part, Fragments):
                part.slices = [memoryview(bytes(piece)) for piece in part.slices]
            parts.append(part)
        assert position == len(view)
        buffer[:] = b"\xee" * len(buffer)
    return parts


def merged(parts: Sequence[Part]) -> list[Any]:
    """The same whatever the split: runs of one command or data set are joined."""
    result: list[Any] = []
    for part in parts:
        if not isinstance(part, Fragments):
            result.append(part)
            continue
        entry = [part.context_id, part.is_command, b"".join(part.slices), part.is_last]
        previous = result[-1] if result and isinstance(result[-1], list) else None
        if previous and previous[:2] == entry[:2] and not previous[3]:
            previous[2] += entry[2]
            previous[3] = entry[3]
        elif entry[2] or entry[3]:
            result.append(entry)
    return result


def expected(stream: Sequence[tuple[int, bytes] | list[Value]]) -> list[Any]:
    parts: list[Part] = []
    for pdu in stream:
        if isinstance(pdu, tuple):
            parts.append(ControlBody(*pdu))
            continue
        for context_id, control, value in pdu:
            slices = [memoryview(value)]
            parts.append(Fragments(context_id, bool(control & 1), slices, bool(control & 2)))
    return merged(parts)


@given(streams, st.lists(st.integers(0, 10_000), max_size=30))
def test_any_split_of_any_stream_reads_the_same(
    stream: list[tuple[int, bytes] | list[Value]], cuts: list[int]
) -> None:
    octets = b"".join(map(encode, stream))
    reader = PDUReader()

    parts = read_all(reader, split(octets, cuts))

    assert merged(parts) == expected(stream)
    assert reader.is_between_pdus


@given(streams)
def test_a_stream_that_comes_byte_by_byte_reads_the_same(
    stream: list[tuple[int, bytes] | list[Value]],
) -> None:
    octets = b"".join(map(encode, stream))

    parts = read_all(PDUReader(), [bytes((octet,)) for octet in octets])

    assert merged(parts) == expected(stream)


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_rubbish_is_read_without_an_exception(pieces: list[bytes]) -> None:
    parts = read_all(PDUReader(), pieces)

    assert sum(isinstance(part, Malformed) for part in parts) <= 1


@given(st.lists(values, min_size=1, max_size=5), st.integers(0, 200), st.integers(0, 255))
def test_one_wrong_byte_is_read_without_an_exception(
    pdu: list[Value], position: int, octet: int
) -> None:
    octets = bytearray(encode(pdu))
    octets[position % len(octets)] = octet

    read_all(PDUReader(), [bytes(octets)])


def test_the_fragments_of_one_read_come_as_one_run() -> None:
    pdus = [[(1, 0, bytes(100))], [(1, 0, bytes(100)), (1, 0, bytes(7))]]

    (part,) = read_all(PDUReader(), [b"".join(map(encode, pdus))])

    assert isinstance(part, Fragments)
    assert [len(piece) for piece in part.slices] == [100, 100, 7]


def test_slices_are_views_of_the_callers_buffer() -> None:
    buffer = bytearray(encode([(1, 0, b"before")]))
    part, _ = PDUReader().read(memoryview(buffer), 0)
    assert isinstance(part, Fragments)

    buffer[-6:] = b"after!"

    assert bytes(part.slices[0]) == b"after!"


def test_a_last_fragment_of_zero_length_ends_its_run() -> None:
    first, last = read_all(PDUReader(), [encode([(1, 0, b"ab")]), encode([(1, LAST, b"")])])

    assert first == Fragments(1, is_command=False, slices=[memoryview(b"ab")])
    assert last == Fragments(1, is_command=False, is_last=True)


def test_command_and_data_in_one_pdu_are_two_runs() -> None:
    pdu = [(3, COMMAND | LAST, b"command"), (3, LAST, b"data")]

    assert merged(read_all(PDUReader(), [encode(pdu)])) == [
        [3, True, b"command", True],
        [3, False, b"data", True],
    ]


@pytest.mark.parametrize(
    ("octets", "reason", "text"),
    [
        (b"GET / HTTP/1.1\r\n", 1, "PDU type 0x47 is not known: this looks like HTTP"),
        (b"\x16\x03\x01\x02\x00\x01", 1, "PDU type 0x16 is not known: this looks like TLS"),
        (bytes(6), 1, "PDU type 0x00 is not known"),
        (struct.pack(">BxI", 4, 0), 6, "holds no presentation data value"),
        (struct.pack(">BxI", 4, 5), 6, "holds no presentation data value"),
        (struct.pack(">BxIIBB", 4, 6, 1, 1, 0), 6, "lacks its header"),
        (struct.pack(">BxIIBB", 4, 6, 3, 1, 0), 6, "overruns its PDU"),
        (struct.pack(">BxIIBB", 4, 6, 0xFFFFFFFF, 1, 0), 6, "overruns its PDU"),
        (struct.pack(">BxIIBB", 4, 9, 2, 1, 0), 6, "ends with 3 bytes"),
        (struct.pack(">BxI", 1, MAX_CONTROL_PDU_BYTES + 1), 6, "announces"),
        (struct.pack(">BxI", 1, 0xFFFFFFFF), 6, "announces 4294967295 bytes"),
    ],
)
def test_malformed_framing_is_named_with_its_reason(octets: bytes, reason: int, text: str) -> None:
    (fault,) = read_all(PDUReader(), [octets, b"what follows is swallowed"])

    assert isinstance(fault, Malformed)
    assert fault.reason == reason
    assert text in fault.text


def test_what_came_before_the_fault_is_delivered_first() -> None:
    run, fault = read_all(PDUReader(), [encode([(1, 0, b"data")]) + b"rubbish"])

    assert isinstance(run, Fragments)
    assert isinstance(fault, Malformed)


def test_a_strict_reader_refuses_longer_pdus_than_announced() -> None:
    octets = encode([(1, 0, bytes(100))])

    def read(max_length: int, *, strict: bool) -> type[Part]:
        reader = PDUReader()
        reader.limit_to(max_length, strict=strict)
        return type(read_all(reader, [octets])[0])

    assert read(105, strict=True) is Malformed
    assert read(106, strict=True) is Fragments
    assert read(105, strict=False) is Fragments
    assert read(0, strict=True) is Fragments


@pytest.mark.parametrize("cut", [1, 5, 6, 11, 12, 15])
def test_a_reader_knows_that_it_is_inside_a_pdu(cut: int) -> None:
    octets = encode([(1, LAST, b"data")])
    reader = PDUReader()
    between = [reader.is_between_pdus]

    for piece in (octets[:cut], octets[cut:]):
        read_all(reader, [piece])
        between.append(reader.is_between_pdus)

    assert between == [True, False, True]


@pytest.mark.parametrize(
    ("max_length", "payload"),
    [
        (0, LARGEST_PAYLOAD),
        (1 << 30, LARGEST_PAYLOAD),
        (16384, 16378),
        (16383, 16376),
        (8, 2),
        (7, 1),
        (1, 1),
    ],
)
def test_payload_keeps_to_the_peers_maximum_length(max_length: int, payload: int) -> None:
    assert payload_size(max_length) == payload


def p_data_values(buffers: Sequence[Buffer]) -> list[tuple[int, bytes]]:
    """Context id and value of each PDU, as pynetdicom decodes them."""
    found: list[tuple[int, bytes]] = []
    octets = b"".join(buffers)
    while octets:
        length = 6 + int.from_bytes(octets[2:6], "big")
        decoded = judge.P_DATA_TF()
        decoded.decode(octets[:length])
        found.extend(decoded.to_primitive().presentation_data_value_list)
        octets = octets[length:]
    return found


@given(st.binary(min_size=1, max_size=300), st.integers(7, 100), st.booleans())
def test_an_independent_decoder_reads_our_data_fragments(
    data: bytes, max_length: int, last: bool
) -> None:
    payload = payload_size(max_length)

    found = p_data_values(data_fragments(5, memoryview(data), payload, last=last))

    assert b"".join(value[1:] for _, value in found) == data
    assert {context_id for context_id, _ in found} == {5}
    assert [value[0] for _, value in found[:-1]] == [0] * (len(found) - 1)
    assert found[-1][1][0] == (LAST if last else 0)
    assert max(len(value) for _, value in found) + 5 <= max_length


@given(st.binary(min_size=1, max_size=300), st.integers(7, 100))
def test_an_independent_decoder_reads_our_command_fragments(
    command: bytes, max_length: int
) -> None:
    found = p_data_values(command_fragments(1, command, payload_size(max_length)))

    assert b"".join(value[1:] for _, value in found) == command
    assert [value[0] for _, value in found[:-1]] == [COMMAND] * (len(found) - 1)
    assert found[-1][1][0] == COMMAND | LAST


def test_an_empty_last_chunk_is_a_fragment_of_zero_length() -> None:
    assert p_data_values(data_fragments(1, memoryview(b""), 100, last=True)) == [(1, b"\x02")]
    assert data_fragments(1, memoryview(b""), 100, last=False) == []


def test_data_is_not_copied_on_its_way_out() -> None:
    chunk = memoryview(bytearray(1000))

    buffers = data_fragments(1, chunk, 300, last=False)

    assert [piece.obj for piece in buffers[1::2] if isinstance(piece, memoryview)] == [
        chunk.obj
    ] * 4
