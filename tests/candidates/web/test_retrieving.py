"""WADO-RS: what was stored by C-STORE comes back over HTTP as the same bytes."""

from __future__ import annotations

import http.client
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from candidates.writer.web.retrieving import MAX_RETRIEVALS, Retrieving
from router.dicom import statuses, uids
from router.http.problems import explaining
from router.http.server import serve_http
from tests.candidates.descriptors import open_attachments
from tests.candidates.holdings import Held, root_of
from tests.candidates.sources import head_and_data_set
from tests.candidates.writers import StowWriter, running_stow_writer
from tests.corpus import make_ct_series, make_study

WITHIN_S = 60.0
MULTIPART = 'multipart/related; type="application/dicom"'
AS_IT_IS = f"{MULTIPART}; transfer-syntax=*"
LARGE = 4000
"""Rows and columns of an image that no socket buffer takes whole."""


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def parts(self) -> list[tuple[str, bytes]]:
        """Content type and content of each part."""
        media_type, _, boundary = self.headers["Content-Type"].partition("; boundary=")
        assert media_type == MULTIPART
        assert int(self.headers["Content-Length"]) == len(self.body)
        preamble, *parts, closing = (b"\r\n" + self.body).split(b"\r\n--" + boundary.encode())
        assert (preamble, closing) == (b"", b"--\r\n")
        split = [part.removeprefix(b"\r\n").split(b"\r\n\r\n", 1) for part in parts]
        return [(head.decode().removeprefix("Content-Type: "), body) for head, body in split]

    @property
    def detail(self) -> str:
        """Why it could not be had."""
        detail: str = json.loads(self.body)["detail"]
        return detail


def request(port: int, path: str, **headers: str) -> Answer:
    """GET below ``/dicom-web``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
    try:
        connection.request("GET", "/dicom-web" + path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


async def get(writer: StowWriter, path: str, accept: str = AS_IT_IS, **headers: str) -> Answer:
    return await anyio.to_thread.run_sync(
        lambda: request(writer.stow_port, path, Accept=accept, **headers)
    )


async def store(writer: StowWriter, paths: list[Path]) -> None:
    for path in paths:
        assert await writer.store_file(path) == statuses.SUCCESS


def path_of(one: Held, level: str = "instance") -> str:
    study = f"/studies/{one.study}"
    series = f"{study}/series/{one.series}"
    return {"study": study, "series": series, "instance": f"{series}/instances/{one.instance}"}[
        level
    ]


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[StowWriter]:
    async with running_stow_writer(tmp_path / "writer") as writer:
        yield writer


@pytest.mark.parametrize("compress", [False, True], ids=["as it is", "compressed"])
async def test_a_study_comes_back_byte_for_byte(tmp_path: Path, compress: bool) -> None:
    sent = make_ct_series(tmp_path / "ct", instances=3, rows=256, columns=256)
    async with running_stow_writer(tmp_path / "writer", compress=compress) as writer:
        await store(writer, sent)

        answer = await get(writer, path_of(writer.held()[0], "study"))

    assert answer.status == 200
    kinds, files = zip(*answer.parts, strict=True)
    assert set(kinds) == {f"application/dicom; transfer-syntax={uids.EXPLICIT_VR_LITTLE_ENDIAN}"}
    assert list(map(data_set, files)) == [head_and_data_set(path)[1] for path in sent]


def data_set(file: bytes) -> bytes:
    from router.dicom.part10 import read_file_header

    return file[read_file_header(file).data_set_offset :]


async def test_a_series_comes_without_the_others(writer: StowWriter, tmp_path: Path) -> None:
    made = make_study(tmp_path / "mr", first=2, second=3)
    await store(writer, [*made["first"], *made["second"]])
    [first] = {one.series for one in writer.held()[:2]}

    answer = await get(writer, path_of(writer.held()[0], "series"))

    assert [body for _, body in answer.parts] == [
        one.path.read_bytes() for one in writer.held() if one.series == first
    ]


async def test_curl_gets_one_instance_as_a_file(writer: StowWriter, tmp_path: Path) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=2, rows=64, columns=64))
    one = writer.held()[1]
    url = f"http://127.0.0.1:{writer.stow_port}/dicom-web{path_of(one)}"
    command = ["curl", "-sS", "-f", "-H", "Accept: application/dicom", url]

    ran = await anyio.run_process(command)

    assert ran.stdout == one.path.read_bytes()


async def test_a_query_parameter_says_what_is_accepted(writer: StowWriter, tmp_path: Path) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8))
    [one] = writer.held()

    answer = await get(writer, path_of(one) + "?accept=application/dicom", accept="text/html")

    assert answer.headers["Content-Type"].startswith("application/dicom;")
    assert answer.body == one.path.read_bytes()


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/studies/1.2.3", AS_IT_IS, 404),
        ("{study}/series/1.2.3", AS_IT_IS, 404),
        ("{series}/instances/1.2.3", AS_IT_IS, 404),
        ("/studies/1.2.3/metadata", "*/*", 404),
        ("/studies/1.2%5C3", AS_IT_IS, 400),
        ("/nothing", AS_IT_IS, 404),
        ("{study}/rendered", "*/*", 404),
        ("{study}", "image/jpeg", 406),
        ("{study}", "application/dicom", 406),
        ("{instance}", f"{MULTIPART}; transfer-syntax=1.2.840.10008.1.2.4.50", 406),
        ("{study}/metadata", "application/dicom+xml", 406),
    ],
)
async def test_what_cannot_be_had_is_explained(
    writer: StowWriter, tmp_path: Path, path: str, accept: str, status: int
) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8))
    [one] = writer.held()
    named = {level: path_of(one, level) for level in ("study", "series", "instance")}

    answer = await get(writer, path.format(**named), accept)

    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.detail


async def test_without_the_token_nothing_is_told(tmp_path: Path) -> None:
    async with running_stow_writer(tmp_path / "writer", token="secret") as writer:
        await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8))
        [one] = writer.held()
        for path in (path_of(one), path_of(one, "study") + "/metadata", "/studies"):
            refused = await get(writer, path, "*/*")
            authorized = await get(writer, path, "*/*", Authorization="Bearer secret")
            assert (refused.status, authorized.status) == (401, 200)
            assert "--http-token" in refused.detail


async def test_metadata_are_told_of_each_instance(writer: StowWriter, tmp_path: Path) -> None:
    sent = make_ct_series(tmp_path / "ct", instances=3, rows=64, columns=64)
    await store(writer, sent)

    answer = await get(writer, path_of(writer.held()[0], "study") + "/metadata", "*/*")

    assert answer.headers["Content-Type"] == "application/dicom+json"
    told = json.loads(answer.body)
    assert [one["00080018"]["Value"] for one in told] == [[path.stem] for path in sent]
    assert all(one["00280010"]["Value"] == [64] and "7FE00010" not in one for one in told)


# -- what goes wrong on the way --------------------------------------------------------------------


async def test_a_file_that_is_gone_is_no_empty_study(writer: StowWriter, tmp_path: Path) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8))
    [one] = writer.held()
    one.path.unlink()

    for path, accept in ((path_of(one), AS_IT_IS), (path_of(one) + "/metadata", "*/*")):
        answer = await get(writer, path, accept)
        assert answer.status == 500
        assert "not there" in answer.detail


@pytest.mark.parametrize("damage", ["gone", "cut short", "one bit"])
async def test_a_study_that_cannot_be_read_to_its_end_never_looks_whole(
    writer: StowWriter, tmp_path: Path, damage: str
) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=2, rows=512, columns=512))
    first, second = writer.held()
    content = second.path.read_bytes()
    second.path.unlink()
    if damage == "cut short":
        second.path.write_bytes(content[:-1000])
    if damage == "one bit":
        second.path.write_bytes(content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:])

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await get(writer, path_of(first, "study"))
    assert (await get(writer, path_of(first))).status == 200
    assert open_attachments(root_of(writer.archive)) == []


def begin(port: int, path: str) -> socket.socket:
    """A connection whose request is being answered; not much of it is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(WITHIN_S)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET /dicom-web{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert connection.recv(16) == b"HTTP/1.1 200 OK\r"
    return connection


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(WITHIN_S):
        while not condition():
            await anyio.sleep(0.01)


async def test_clients_that_leave_leave_nothing_open(writer: StowWriter, tmp_path: Path) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=LARGE, columns=LARGE))
    [one] = writer.held()
    root = root_of(writer.archive)

    for _ in range(3):
        connection = await anyio.to_thread.run_sync(begin, writer.stow_port, path_of(one))
        assert len(open_attachments(root)) == 1
        connection.close()
        await until(lambda: open_attachments(root) == [])


@asynccontextmanager
async def impatient(
    writer: StowWriter, *, taken_within_s: float = WITHIN_S, stop_within_s: float = WITHIN_S
) -> AsyncIterator[int]:
    """The port of a server over the same archive, which waits for nobody."""
    application = web.Application(middlewares=[explaining("")])
    Retrieving(writer.archive, taken_within_s=taken_within_s).add_to(application)
    async with serve_http(application, "127.0.0.1", 0, stop_within_s=stop_within_s) as server:
        yield server.port


async def test_a_client_that_reads_nothing_is_cut_off(writer: StowWriter, tmp_path: Path) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=LARGE, columns=LARGE))
    [one] = writer.held()
    async with impatient(writer, taken_within_s=0.2) as port:
        connection = await anyio.to_thread.run_sync(begin, port, path_of(one))
        await until(lambda: open_attachments(root_of(writer.archive)) == [])
        left = await anyio.to_thread.run_sync(drain, connection)

    assert left < one.path.stat().st_size


async def test_a_stop_does_not_wait_for_a_client_that_reads_nothing(
    writer: StowWriter, tmp_path: Path
) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=LARGE, columns=LARGE))
    [one] = writer.held()
    async with impatient(writer, stop_within_s=0.2) as port:
        connection = await anyio.to_thread.run_sync(begin, port, path_of(one))

    await until(lambda: open_attachments(root_of(writer.archive)) == [])
    assert await anyio.to_thread.run_sync(drain, connection) < one.path.stat().st_size


def drain(connection: socket.socket) -> int:
    """Read to the end of the connection; how many bytes that was."""
    total = 0
    with connection:
        while piece := connection.recv(1 << 20):
            total += len(piece)
    return total


async def test_no_more_are_answered_than_can_be(writer: StowWriter, tmp_path: Path) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=LARGE, columns=LARGE))
    [one] = writer.held()
    connections = [
        await anyio.to_thread.run_sync(begin, writer.stow_port, path_of(one))
        for _ in range(MAX_RETRIEVALS)
    ]

    busy = await get(writer, path_of(one))
    for connection in connections:
        connection.close()
    await until(lambda: open_attachments(root_of(writer.archive)) == [])

    assert (busy.status, busy.headers["Retry-After"]) == (503, "5")
    assert (await get(writer, path_of(one))).status == 200


async def test_a_large_instance_is_never_in_memory(writer: StowWriter, tmp_path: Path) -> None:
    await store(writer, make_ct_series(tmp_path / "ct", instances=1, rows=LARGE, columns=LARGE))
    [one] = writer.held()

    def read_all() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", writer.stow_port, timeout=WITHIN_S)
        connection.request("GET", "/dicom-web" + path_of(one))
        response = connection.getresponse()
        buffer, total = bytearray(65536), 0
        while size := response.readinto(buffer):
            total += size
        connection.close()
        return total

    tracemalloc.start()
    try:
        total = await anyio.to_thread.run_sync(read_all)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert total > one.path.stat().st_size > 30e6
    assert peak < 8e6
