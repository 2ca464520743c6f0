"""What is wrong with a request is said of it, costs nobody else anything, and leaves nothing."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest

from tests.dicomweb.uploading import (
    CLOSING,
    DICOM,
    MULTIPART,
    StowRouter,
    begin,
    body_of,
    file_of,
    part,
    post,
    post_files,
    study_of,
)
from tests.e2e.stack import wait_until

MIB = 1 << 20
ZEROS = bytes(MIB)


def spool_bytes(router: StowRouter) -> int:
    """Bytes of the files of the spool."""
    return sum(one.stat().st_size for one in (router.directory / "data/spool").glob("*.seg"))


def connections(router: StowRouter) -> list[Any]:
    """The connections of those who store."""
    return [
        one
        for one in psutil.Process(router.child.pid).net_connections("tcp")
        if one.laddr.port == router.stow_port and one.raddr
    ]


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"Content-Type": "application/dicom"}, 415, "multipart/related"),
        ({"Content-Type": MULTIPART.replace("dicom", "dicom+json")}, 415, "multipart/related"),
        ({"Content-Type": 'multipart/related; type="application/dicom"'}, 400, "a boundary has"),
        ({"Content-Encoding": "gzip"}, 415, "must not be encoded (gzip)"),
        ({"Accept": "application/dicom+xml"}, 406, "application/dicom+json"),
    ],
)
def test_a_request_of_another_kind_is_refused_as_a_whole(
    router: StowRouter, headers: dict[str, str], status: int, says: str
) -> None:
    answer = post(router, b"whatever", headers=headers)

    assert answer.status == status
    assert says in answer.detail


def test_what_will_be_refused_is_refused_before_its_body_is_sent(router: StowRouter) -> None:
    with socket.create_connection(("127.0.0.1", router.stow_port), 30) as connection:
        connection.sendall(
            b"POST /dicom-web/studies HTTP/1.1\r\nHost: router\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 415 ")


def test_a_study_in_the_url_that_is_no_uid_is_refused(router: StowRouter) -> None:
    answer = post(router, body_of([]), "no-uid")

    assert (answer.status, answer.detail) == (400, "no-uid is no Study Instance UID")


@pytest.mark.parametrize("body", [b"", CLOSING, b"no boundary", b"--other\r\n\r\nA\r\n--other--"])
def test_a_body_without_any_part_is_a_bad_request(router: StowRouter, body: bytes) -> None:
    answer = post(router, body)

    assert answer.status == 400
    assert "no part was found" in answer.detail


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param(part(b"junk" * 100), "not a DICOM file", id="no DICOM"),
        pytest.param(part(b""), "not a DICOM file", id="empty"),
        pytest.param(part(bytes(128) + b"DICM"), "File Meta group", id="no File Meta group"),
        pytest.param(part(b"<x/>", "Content-Type: text/xml"), "text/xml", id="another type"),
        pytest.param(part(b"x", "\0broken"), "headers cannot be read", id="broken headers"),
        pytest.param(part(b"x", "A: " + "b" * 9000), "headers are longer", id="endless headers"),
        pytest.param(
            part(base64.b64encode(b"x"), DICOM, "Content-Transfer-Encoding: base64"),
            "content-transfer-encoding base64",
            id="encoded",
        ),
        pytest.param(
            part(b"--x\r\n\r\n" * 3000, "Content-Type: multipart/mixed; boundary=x"),
            "multipart/mixed",
            id="nested",
        ),
    ],
)
def test_a_part_that_is_no_instance_is_explained_and_the_others_are_stored(
    router: StowRouter, bad: bytes, says: str
) -> None:
    before, behind = study_of(2)

    answer = post(router, part(file_of(before)) + bad + part(file_of(behind)) + CLOSING)

    assert answer.status == 202
    assert answer.stored == [before.SOPInstanceUID, behind.SOPInstanceUID]
    [(reason, comment)] = answer.others
    assert reason == 0xC000
    assert says in comment


def test_a_length_that_a_part_claims_wrongly_does_no_harm(router: StowRouter) -> None:
    study = study_of(3)
    parts = [part(file_of(one), DICOM, "Content-Length: 10") for one in study]

    answer = post(router, b"".join(parts) + CLOSING)

    assert answer.stored == [one.SOPInstanceUID for one in study]


def test_nothing_but_bad_parts_is_a_conflict(router: StowRouter) -> None:
    answer = post_files(router, [b"junk", b"more junk"])

    assert answer.status == 409
    assert len(answer.others) == 2


@pytest.mark.parametrize("missing", [len(CLOSING), len(CLOSING) + 1, 500])
def test_without_the_closing_boundary_what_is_whole_is_stored_and_the_rest_is_not(
    router: StowRouter, missing: int
) -> None:
    whole, torn = study_of(2)

    answer = post(router, body_of([file_of(whole), file_of(torn)])[:-missing])

    assert answer.status == 202
    assert answer.stored[0] == whole.SOPInstanceUID
    failures = [*answer.failed.values(), *answer.others]
    assert failures == [(0xC000, "broken off: the closing boundary is missing")]


def test_chunks_that_are_none_are_a_body_that_stands_still(router: StowRouter) -> None:
    whole, torn = study_of(2)
    sent = part(file_of(whole)) + part(file_of(torn))[:1000]
    chunk = f"{len(sent):x}\r\n".encode() + sent + b"\r\n"
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: router\r\nContent-Type: {MULTIPART}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", router.stow_port), 30) as connection:
        connection.sendall(head.encode() + chunk)
        assert router.study(whole.StudyInstanceUID)["instances"] == 1
        connection.sendall(b"no chunk\r\n")
        answer = connection.recv(10_000)

    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"stood still" in answer


def test_a_client_that_leaves_in_the_middle_of_a_part_leaves_nothing_of_it(
    router: StowRouter,
) -> None:
    whole, torn = study_of(2)
    for _ in range(20):
        connection = begin(router, 10 * MIB)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with closing(connection):
            connection.sendall(part(file_of(whole)) + part(file_of(torn)) + ZEROS)
            router.study(whole.StudyInstanceUID)

    wait_until(lambda: not connections(router), "every request is over")
    assert router.study(whole.StudyInstanceUID)["instances"] == 1
    assert spool_bytes(router) < 10 * MIB
    assert post_files(router, [file_of(torn)]).status == 200
    assert "a request failed" not in router.log.read_text()  # it is nobody's fault here


def zeros(head: bytes, mebibytes: int, tail: bytes) -> Iterator[bytes]:
    yield head
    for _ in range(mebibytes):
        yield ZEROS
    yield tail


@pytest.mark.parametrize(("is_dicom", "mebibytes"), [(True, 10 * 1024), (False, 512)])
def test_a_huge_part_is_refused_in_little_memory_and_the_others_are_stored(
    router: StowRouter, *, is_dicom: bool, mebibytes: int
) -> None:
    small, huge, last = study_of(3)
    content = file_of(huge) if is_dicom else b""
    memory = router.resident_bytes
    body = zeros(
        part(file_of(small)) + part(content)[:-2],
        mebibytes,
        b"\r\n" + part(file_of(last)) + CLOSING,
    )

    answer = post(router, body)

    assert answer.status == 202
    assert answer.stored == [small.SOPInstanceUID, last.SOPInstanceUID]
    [(reason, comment)] = [*answer.failed.values(), *answer.others]
    assert "larger than stow.max_instance" in comment or "not a DICOM file" in comment
    assert reason == (0x0124 if is_dicom else 0xC000)
    assert router.resident_bytes - memory < 16 * MIB
    assert spool_bytes(router) < 64 * MIB
