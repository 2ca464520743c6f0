"""``dicom-writer verify`` finds whatever a disk, or a person with a shell, can do to an archive."""

from __future__ import annotations

import json
import signal
import sys
import zlib
from pathlib import Path

import anyio
import pytest

from candidates.writer.archive import Archive
from candidates.writer.errors import ArchiveMismatch
from candidates.writer.index.database import open_database
from candidates.writer.storage import Storage
from candidates.writer.verify import Trouble, verify
from router.dicom import statuses
from router.dicom.part10 import read_file_header
from tests.candidates.arrivals import arrived
from tests.candidates.holdings import Held, held_in
from tests.candidates.indexes import Index, option
from tests.candidates.sources import PausingModality, head_and_data_set
from tests.candidates.test_cli import environment, says, started
from tests.corpus import make_ct_series
from tests.e2e.stack import free_port

WITHIN_S = 60


@pytest.fixture(params=[False, True], ids=["as it is", "compressed"])
def root(request: pytest.FixtureRequest, tmp_path: Path, index: Index) -> Path:
    """A stopped writer's archive of three instances."""
    storage = Storage(tmp_path / "writer", compress=request.param)
    archive = Archive.open(storage, index.address)
    archive.commit([arrived(archive.storage, bytes([n]) * 50_000, f"1.2.3.{n}") for n in range(3)])
    archive.close()
    return tmp_path / "writer"


def only(found: list[Held], instance: str) -> Path:
    [path] = [one.path for one in found if one.instance == instance]
    return path


def flip_a_bit(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_sound_archive_is_read_to_the_end(root: Path, index: Index) -> None:
    report = verify(root, index.address)

    assert report.is_sound
    assert report.attachments == 3
    assert report.stored_bytes == sum(one.path.stat().st_size for one in held_in(root, index))


@pytest.mark.parametrize("at", [0, 20, -1])
def test_one_bit_that_has_changed_is_found(root: Path, index: Index, at: int) -> None:
    path = only(held_in(root, index), "1.2.3.1")
    flip_a_bit(path, at)

    [finding] = verify(root, index.address).findings

    assert (finding.trouble, finding.path) == (Trouble.DAMAGED, str(path))
    assert finding.sop_instance_uid == "1.2.3.1"


def test_a_file_that_was_cut_short_is_found(root: Path, index: Index) -> None:
    path = only(held_in(root, index), "1.2.3.1")
    path.write_bytes(path.read_bytes()[:-1])

    [finding] = verify(root, index.address).findings

    assert (finding.trouble, finding.path) == (Trouble.DAMAGED, str(path))


def test_a_file_that_is_gone_is_found(root: Path, index: Index) -> None:
    path = only(held_in(root, index), "1.2.3.1")
    path.unlink()

    [finding] = verify(root, index.address).findings

    assert (finding.trouble, finding.path) == (Trouble.NO_FILE, str(path))
    assert finding.sop_instance_uid == "1.2.3.1"


def test_a_file_that_the_index_does_not_have_is_found(root: Path, index: Index) -> None:
    path = only(held_in(root, index), "1.2.3.1")
    stray = path.with_name("stray")
    stray.write_bytes(b"")

    [finding] = verify(root, index.address).findings

    assert (finding.trouble, finding.path) == (Trouble.NO_ROW, str(stray))


def test_a_file_in_another_folder_than_its_own_is_found_on_both_sides(
    root: Path, index: Index
) -> None:
    path = only(held_in(root, index), "1.2.3.1")
    elsewhere = root / "00" / "00" / path.name
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    path.rename(elsewhere)

    found = {finding.trouble: finding.path for finding in verify(root, index.address).findings}

    assert found == {Trouble.NO_FILE: str(path), Trouble.NO_ROW: str(elsewhere)}


def test_what_the_next_start_puts_in_order_is_no_fault(root: Path, index: Index) -> None:
    archive = Archive.open(Storage(root), index.address)
    archive.storage.begin(b"the first half").close()
    archive.index.record([arrived(archive.storage, b"acknowledged, not placed", "1.9")])
    archive.close()

    report = verify(root, index.address)

    assert report.is_sound
    assert report.attachments == 4


def test_a_folder_that_is_no_archive_is_not_verified(tmp_path: Path) -> None:
    with pytest.raises(ArchiveMismatch, match="there is no index"):
        verify(tmp_path)


def test_a_database_that_is_no_index_is_not_verified_and_not_made_one(
    tmp_path: Path, index: Index
) -> None:
    Storage(tmp_path / "writer")

    with pytest.raises(ArchiveMismatch, match="there is no index"):
        verify(tmp_path / "writer", index.address)

    database = open_database(index.address)
    assert database.is_new
    database.close()


async def dicom_writer_verify(
    directory: Path, *options: str, **variables: str
) -> tuple[int, str, str]:
    """The exit status, and what was said."""
    command = [sys.executable, "-m", "candidates.writer.cli", "verify", *options]
    with anyio.fail_after(WITHIN_S):
        ran = await anyio.run_process(command, env=environment(directory, **variables), check=False)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


async def test_the_command_is_content_with_a_sound_archive(root: Path, index: Index) -> None:
    status, out, _ = await dicom_writer_verify(root.parent, "--index", option(index))

    assert status == 0
    assert "3 attachments" in out
    assert "all are as they were written" in out


async def test_the_command_fails_and_names_what_is_wrong(root: Path, index: Index) -> None:
    path = only(held_in(root, index), "1.2.3.1")
    path.unlink()

    status, out, _ = await dicom_writer_verify(root.parent, "--index", option(index), "--json")

    report = json.loads(out)
    assert status == 1
    assert report["sound"] is False
    assert report["counts"] == {"no-file": 1}
    assert report["findings"][0]["path"] == str(path)
    assert report["findings"][0]["sop_instance_uid"] == "1.2.3.1"


async def test_the_command_says_that_the_writer_runs(tmp_path: Path) -> None:
    async with started(tmp_path) as writer:
        await says(tmp_path, "writer ready")

        status, _, error = await dicom_writer_verify(tmp_path)

    assert status == 2
    assert f"in use by process {writer.pid}" in error


async def test_a_compressing_writer_keeps_what_can_be_inflated(tmp_path: Path) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=256, columns=256)
    index, port = tmp_path / "elsewhere.db", free_port()
    async with started(tmp_path, COMPRESS="true", INDEX=str(index), PORT=str(port)) as writer:
        await says(tmp_path, "writer ready")
        with PausingModality(port, path) as modality:
            modality.send_first_half()
            assert modality.send_second_half() == statuses.SUCCESS
        writer.send_signal(signal.SIGTERM)
        with anyio.fail_after(WITHIN_S):
            await writer.wait()

    [stored] = (tmp_path / "writer").glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")
    content = zlib.decompress(stored.read_bytes())
    assert content[read_file_header(content).data_set_offset :] == head_and_data_set(path)[1]
    assert verify(tmp_path / "writer", index).is_sound
