"""Multipart bodies in pieces, with Python's own parser of mail as the judge."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.multipart import (
    MAX_HEADERS_BYTES,
    MultipartReader,
    PartBegins,
    PartData,
    PartEnds,
)

BOUNDARY = "b0"
Part = tuple[dict[str, str], str, bytes, bool]
"""Headers, fault, body, whether it has ended."""


def read(pieces: Iterable[bytes], boundary: str = BOUNDARY) -> tuple[list[Part], bool]:
    """The parts, and whether the body is finished."""
    reader = MultipartReader(boundary)
    parts: list[Part] = []
    for piece in pieces:
        for event in reader.feed(piece):
            match event:
                case PartBegins(headers, fault):
                    parts.append((dict(headers), fault, b"", False))
                case PartData(data):
                    headers, fault, body, _ = parts[-1]
                    parts[-1] = (headers, fault, body + bytes(data), False)
                case PartEnds():
                    parts[-1] = (*parts[-1][:3], True)
    return parts, reader.is_finished


def bodies(body: bytes, boundary: str = BOUNDARY) -> list[bytes]:
    """The bodies of a whole message in one piece."""
    return [part[2] for part in read([body], boundary)[0]]


def framed(contents: Sequence[bytes], header: bytes = b"Content-Type: application/dicom") -> bytes:
    """A body as a sender writes it."""
    parts = [b"--b0\r\n" + header + b"\r\n\r\n" + content + b"\r\n" for content in contents]
    return b"".join(parts) + b"--b0--\r\n"


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


CONTENTS = st.lists(
    st.binary(max_size=60).filter(lambda content: b"\r\n--b0" not in b"\r\n" + content), min_size=1
)
HOSTILE = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"--", b"-", b"--b0", b"\r\n--b0", b"--b0--", b" ", b"A: b", b"x"]
    ),
    max_size=30,
).map(b"".join)


@given(CONTENTS, st.integers(1, 80))
def test_contents_are_what_was_framed_however_the_bytes_are_cut(
    contents: list[bytes], size: int
) -> None:
    parts, is_finished = read(cut(framed(contents), size))

    headers = {"content-type": "application/dicom"}
    assert parts == [(headers, "", content, True) for content in contents]
    assert is_finished


@given(HOSTILE, st.integers(1, 12))
def test_cuts_change_nothing_whatever_the_bytes_are(body: bytes, size: int) -> None:
    whole, in_pieces = read([body]), read(cut(body, size))

    assert in_pieces == whole


@given(st.lists(st.text("abc\n -", max_size=20), min_size=1, max_size=5))
def test_the_standard_library_reads_the_same(texts: list[str]) -> None:
    contents = [text.replace("\n", "\r\n").encode() for text in texts]
    body = framed(contents, b"Content-Type: text/plain")
    message = email.message_from_bytes(
        b"Content-Type: multipart/related; boundary=b0\r\n\r\n" + body, policy=email.policy.HTTP
    )

    judged = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert bodies(body) == judged


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"--b0--", [], id="no part"),
        pytest.param(b"x\r\ny\r\n--b0\r\n\r\nA\r\n--b0--", [b"A"], id="a preamble is skipped"),
        pytest.param(b"--b0\r\n\r\nA\r\n--b0--\r\nB\r\n--b0\r\n", [b"A"], id="an epilogue too"),
        pytest.param(b"--b0 \t\r\n\r\nA\r\n--b0--", [b"A"], id="white space behind a boundary"),
        pytest.param(b"--b0\r\n\r\nA\r\n--b0x\r\n--b0--", [b"A\r\n--b0x"], id="a longer word"),
        pytest.param(b"--b0\r\n\r\nA\n--b0\n\r\n--b0--", [b"A\n--b0\n"], id="no carriage return"),
        pytest.param(b"--b0\r\n\r\n\r\n--b0--", [b""], id="an empty body"),
        pytest.param(b"--b0\r\nA: b\r\n\r\n--b0--", [b""], id="headers and no body"),
        pytest.param(b"--b0\r\n--b0\r\n\r\nA\r\n--b0--", [b"", b"A"], id="no headers, no body"),
    ],
)
def test_delimiters_are_what_rfc_2046_says(body: bytes, expected: list[bytes]) -> None:
    assert bodies(body) == expected


def test_a_part_whose_headers_are_no_headers_says_so_and_the_next_one_is_read() -> None:
    body = b"--b0\r\n\0\1junk\r\n\r\nA\r\n--b0\r\nA: b\r\n\r\nB\r\n--b0--"

    assert read([body])[0] == [
        ({}, "its headers cannot be read", b"A", True),
        ({"a": "b"}, "", b"B", True),
    ]


@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_headers_without_end_are_not_kept_and_the_next_part_is_read(size: int) -> None:
    body = b"--b0\r\nA: " + b"x" * 3 * MAX_HEADERS_BYTES + b"\r\n--b0\r\n\r\nB\r\n--b0--"

    (_, fault, _, _), second = read(cut(body, size))[0]
    assert fault == "its headers are longer than 8192 bytes"
    assert second == ({}, "", b"B", True)


def test_a_length_that_a_part_claims_is_not_believed() -> None:
    body = framed([b"A" * 20, b"B"], b"Content-Length: 3")

    assert bodies(body) == [b"A" * 20, b"B"]


def test_folded_headers_are_one() -> None:
    body = framed([b"A"], b"Content-Type: application/dicom;\r\n transfer-syntax=1.2")

    assert read([body])[0][0][0] == {"content-type": "application/dicom; transfer-syntax=1.2"}


@pytest.mark.parametrize("end", range(1, 9))
def test_without_its_closing_delimiter_a_body_is_not_finished(end: int) -> None:
    body = framed([b"A", b"B"])[:-2]

    parts, is_finished = read([body[:-end]])
    assert not is_finished
    assert parts[0][3]


@pytest.mark.parametrize("boundary", ["", "x" * 257, "grüße"])
def test_a_boundary_that_none_can_be_is_refused(boundary: str) -> None:
    with pytest.raises(ValueError, match="a boundary has 1 to 256 ASCII characters"):
        MultipartReader(boundary)
