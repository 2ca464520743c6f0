"""``dicom-router send`` against a writer, and against nobody."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from candidates.writer.archive import Archive
from candidates.writer.scp import WriterService
from candidates.writer.storage import Storage
from router.cli.sending import parse_target
from router.modality.media import find_below
from router.modality.sender import send_files
from router.net.acceptor import Acceptor
from tests.cli.command import dicom_router
from tests.corpus import make_ct_series
from tests.e2e.stack import free_port


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[str]:
    """A storage SCP called ROUTER; where it is."""
    archive = Archive.open(Storage(tmp_path / "writer"))
    service = WriterService("ROUTER", archive)
    async with anyio.create_task_group() as tasks:
        await tasks.start(service.run)
        async with Acceptor(service, host="127.0.0.1", port=0) as acceptor:
            yield f"127.0.0.1:{acceptor.port}"
        tasks.cancel_scope.cancel()
    archive.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)
    (tmp_path / "ct" / "notes.txt").write_text("no DICOM file")
    return tmp_path / "ct"


async def test_a_folder_is_sent_and_counted(writer: str, folder: Path) -> None:
    ran = await dicom_router("send", "--to", writer, folder)

    assert ran.status == 0
    assert "accepted: 3 of 3" in ran.out
    assert "success (0000)" in ran.out


async def test_the_report_can_be_had_as_json(writer: str, folder: Path) -> None:
    ran = await dicom_router("send", "--json", "--to", writer, folder)

    assert ran.status == 0
    assert ran.json["files"] == ran.json["sent"] == 3
    assert ran.json["statuses"] == {"0000": 3}
    assert ran.json["failures"] == []


async def test_what_is_not_accepted_is_named_and_makes_it_fail(writer: str, folder: Path) -> None:
    nameless = folder / "nameless.dcm"
    [path] = make_ct_series(folder / "more", instances=1, rows=8, columns=8)
    content = path.read_bytes()
    study = content.index(b"\x20\x00\x0d\x00UI")
    length = int.from_bytes(content[study + 6 : study + 8], "little")
    nameless.write_bytes(content[:study] + content[study + 8 + length :])

    ran = await dicom_router("send", "--to", writer, nameless)

    assert ran.status == 1
    assert "accepted: 0 of 1" in ran.out
    assert "nameless.dcm: cannot understand (C000)" in ran.err


async def test_a_file_that_cannot_be_read_is_named_and_the_others_are_sent(
    writer: str, folder: Path
) -> None:
    (folder / "bad.dcm").symlink_to("/proc/self/mem")  # reading its beginning fails, for anybody

    ran = await dicom_router("send", "--to", writer, folder)

    assert ran.status == 1
    assert "accepted: 3 of 4" in ran.out
    assert "bad.dcm: it cannot be read: Input/output error" in ran.err


async def test_a_file_whose_meta_group_cannot_be_read_is_named(writer: str, folder: Path) -> None:
    (folder / "bad.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 8)

    ran = await dicom_router("send", "--to", writer, folder)

    assert ran.status == 1
    assert "accepted: 3 of 4" in ran.out
    assert "bad.dcm: its File Meta group cannot be read" in ran.err


async def test_files_that_cannot_be_read_any_more_cost_none_of_the_others(
    writer: str, folder: Path
) -> None:
    gone, short, whole = (one.file for one in find_below([folder]) if one.file is not None)
    gone.path.unlink()
    os.truncate(short.path, short.data_set_offset + 8)

    report = await send_files(
        [gone, short, whole], parse_target(writer, "ROUTER", "CT1"), 1, lambda file: None
    )

    assert report.sent == 1
    assert dict(report.failures) == {
        gone.path: "it cannot be read: No such file or directory",
        short.path: f"a data set of {short.data_set_length} bytes ended after 8",
    }


async def test_nobody_who_listens_is_said_once_whatever_was_to_be_sent(folder: Path) -> None:
    port = free_port()

    ran = await dicom_router("send", "--to", f"127.0.0.1:{port}", folder)

    assert ran.status == 1
    assert "accepted: 0 of 3" in ran.out
    assert ran.err.count(f"ROUTER at 127.0.0.1:{port}: no connection") == 1
    assert "and 2 more" in ran.err


async def test_nobody_who_listens_is_a_reason_for_each_file_as_json(folder: Path) -> None:
    ran = await dicom_router("send", "--json", "--to", f"127.0.0.1:{free_port()}", folder)

    assert ran.status == 1
    assert ran.json["sent"] == 0
    assert len(ran.json["failures"]) == 3
    assert "no connection" in ran.json["failures"][0]["reason"]


async def test_a_called_ae_title_that_is_not_known_there_is_said(writer: str, folder: Path) -> None:
    ran = await dicom_router("send", "--to", writer, "--called", "OTHER", folder)

    assert ran.status == 1
    assert "called AE title not recognised" in ran.err


async def test_a_folder_without_dicom_files_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM file")

    ran = await dicom_router("send", tmp_path)

    assert ran.status == 1
    assert "No DICOM files" in ran.err


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--to", "router", "expected host:port, such as 127.0.0.1:11112"),
        ("--to", "router:0", "expected host:port, such as 127.0.0.1:11112"),
        ("--called", "A_TITLE_THAT_IS_TOO_LONG", "has 24 characters; 16 are allowed"),
        ("--calling", "", "an AE title cannot be empty"),
        ("--associations", "0", "greater than or equal to 1"),
    ],
)
async def test_wrong_options_are_refused(
    folder: Path, option: str, value: str, complaint: str
) -> None:
    ran = await dicom_router("send", option, value, folder)

    assert ran.status == 2
    assert complaint in ran.err


async def test_a_path_that_is_not_there_is_a_wrong_argument() -> None:
    ran = await dicom_router("send", "nothing")

    assert ran.status == 2
    assert "'nothing' does not exist" in ran.err
