"""STOW-RS into the archive: a request is stored as a whole, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from candidates.writer.storage import INDEX
from router.dicom import statuses
from tests.candidates.holdings import root_of
from tests.candidates.writers import StowWriter, running_stow_writer
from tests.corpus import make_ct_series
from tests.dicomweb.uploading import Answer, begin, body_of, file_of, post, post_files, study_of
from tests.e2e.stack import (
    RouterProcess,
    WriterProcess,
    data_set_of,
    free_port,
    running,
    wait_until,
)
from tests.peers import dcmtk

WITHIN_S = 60


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[StowWriter]:
    async with running_stow_writer(tmp_path / "writer") as writer:
        yield writer


async def send(writer: StowWriter, contents: list[bytes], study: str = "") -> Answer:
    return await anyio.to_thread.run_sync(post_files, writer, contents, study)


def is_empty(writer: StowWriter) -> bool:
    files = root_of(writer.archive).glob("[0-9a-f][0-9a-f]/*/*")
    return writer.held() == [] and writer.incoming() == [] and not list(files)


async def test_a_study_is_stored_by_one_request(writer: StowWriter) -> None:
    study = study_of(3)

    answer = await send(writer, [file_of(one) for one in study], study[0].StudyInstanceUID)

    assert answer.status == 200
    assert answer.stored == [one.SOPInstanceUID for one in study]
    assert {one.instance for one in writer.held()} == set(answer.stored)
    assert {one.study for one in writer.held()} == {study[0].StudyInstanceUID}
    assert all(one.path.is_file() for one in writer.held())
    assert writer.incoming() == []


async def test_one_part_that_is_no_instance_keeps_all_of_the_request_out(
    writer: StowWriter,
) -> None:
    first, second = study_of(2)

    answer = await send(writer, [file_of(first), b"no DICOM at all" * 100, file_of(second)])

    assert answer.status == 409
    assert {uid: reason for uid, (reason, _) in answer.failed.items()} == {
        first.SOPInstanceUID: statuses.PROCESSING_FAILURE,
        second.SOPInstanceUID: statuses.PROCESSING_FAILURE,
    }
    assert [comment for _, comment in answer.failed.values()] == [
        "nothing of the request is stored: not all of it can be"
    ] * 2
    assert len(answer.others) == 1
    assert is_empty(writer)


async def test_an_instance_of_another_study_than_the_urls_keeps_all_out(
    writer: StowWriter,
) -> None:
    [ours], [other] = study_of(1), study_of(1)

    answer = await send(writer, [file_of(ours), file_of(other)], ours.StudyInstanceUID)

    assert answer.status == 409
    assert answer.failed[other.SOPInstanceUID][0] == statuses.STUDY_DOES_NOT_MATCH
    assert is_empty(writer)


async def test_a_body_that_breaks_off_leaves_nothing(writer: StowWriter) -> None:
    body = body_of([file_of(one) for one in study_of(2)])

    def break_off() -> None:
        with closing(begin(writer, len(body))) as connection:
            connection.sendall(body[:-100])

    await anyio.to_thread.run_sync(break_off)

    with anyio.fail_after(WITHIN_S):
        while not is_empty(writer):
            await anyio.sleep(0.02)


async def test_an_index_that_fails_keeps_all_out_and_says_that_it_may_be_tried_again(
    writer: StowWriter,
) -> None:
    with closing(sqlite3.connect(root_of(writer.archive) / INDEX)) as index, index:
        index.execute("ALTER TABLE change RENAME TO elsewhere")

    answer = await send(writer, [file_of(one) for one in study_of(2)])

    assert answer.status == 503
    assert {reason for reason, _ in answer.failed.values()} == {statuses.OUT_OF_RESOURCES}
    assert is_empty(writer)


async def test_without_the_token_nothing_is_stored(tmp_path: Path) -> None:
    [one] = study_of(1)
    body = body_of([file_of(one)])
    async with running_stow_writer(tmp_path / "writer", token="secret") as writer:
        refused = await anyio.to_thread.run_sync(post, writer, body)
        authorization = {"Authorization": "Bearer secret"}
        taken = await anyio.to_thread.run_sync(post, writer, body, "", authorization)

    assert (refused.status, taken.status) == (401, 200)


def test_a_router_delivers_a_study_to_the_embedded_writer_in_one_request(tmp_path: Path) -> None:
    port = free_port()
    candidate = {"kind": "stow-rs", "url": f"http://127.0.0.1:{port}/dicom-web"}
    settings = {
        "completion": {"quiet_after": "500ms", "stable_after": "3s"},
        "candidates": {"WRITER": candidate},
    }
    router = RouterProcess(tmp_path / "router", settings)
    writer = WriterProcess(tmp_path, "WRITER", router.url, None)
    del writer.environment["ROUTER_URL"]
    writer.environment["HTTP"] = f"127.0.0.1:{port}"
    sent = make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)

    def delivered() -> bool:
        deliveries = router.get("/deliveries")["deliveries"]
        return [one["state"] for one in deliveries] == ["delivered"]

    with running(router, writer):
        dcmtk("dcmsend", "-aec", "ROUTER", "127.0.0.1", str(router.dicom_port), *map(str, sent))
        wait_until(delivered, f"delivered; the writer's log:\n{writer.log.read_text()}")

    assert sorted(writer.data_sets().values()) == sorted(map(data_set_of, sent))
