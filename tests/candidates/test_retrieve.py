"""Studies come back by C-MOVE, asked for and received by dcmtk's movescu."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from router.dicom import statuses
from tests.candidates.sources import head_and_data_set
from tests.candidates.writers import Writer, running_writer
from tests.corpus import make_ct_series
from tests.e2e.stack import free_port
from tests.peers import dcmtk

INSTANCES = 3


@asynccontextmanager
async def archived(
    tmp_path: Path, port: int, *, compress: bool = False
) -> AsyncIterator[tuple[Writer, list[Path]]]:
    """A writer that holds a study, and the files of it as they were sent."""
    sent = make_ct_series(tmp_path / "ct", instances=INSTANCES, rows=256, columns=256)
    move_to = {"MOVESCU": ("127.0.0.1", port)}
    async with running_writer(tmp_path / "writer", compress=compress, move_to=move_to) as writer:
        for path in sent:
            assert await writer.store_file(path) == statuses.SUCCESS
        yield writer, sent


async def movescu(
    writer: Writer, folder: Path, port: int, *keys: str, destination: str = "MOVESCU"
) -> subprocess.CompletedProcess[str]:
    """Ask for what the keys say; what comes is written into the folder."""
    folder.mkdir()
    asked = [word for key in keys for word in ("-k", key)]
    return await anyio.to_thread.run_sync(
        lambda: dcmtk(
            "movescu",
            *("-v", "-S", "-aet", "MOVESCU", "-aem", destination, "-aec", "WRITER"),
            *("+P", str(port), "-od", str(folder), *asked, "127.0.0.1", str(writer.port)),
        )
    )


def data_sets(paths: list[Path]) -> list[bytes]:
    return sorted(head_and_data_set(path)[1] for path in paths)


@pytest.mark.parametrize("compress", [False, True], ids=["as it is", "compressed"])
async def test_a_study_comes_back_byte_for_byte(tmp_path: Path, compress: bool) -> None:
    port = free_port()
    async with archived(tmp_path, port, compress=compress) as (writer, sent):
        study = writer.held()[0].study

        ran = await movescu(
            writer,
            tmp_path / "back",
            port,
            "QueryRetrieveLevel=STUDY",
            f"StudyInstanceUID={study}",
        )

    assert ran.returncode == 0, ran.stderr
    came = [*(tmp_path / "back").iterdir()]
    assert len(came) == INSTANCES
    # movescu writes the File Meta group again, and keeps the data set as it comes
    assert data_sets(came) == data_sets(sent)


async def test_one_instance_comes_back_alone(tmp_path: Path) -> None:
    port = free_port()
    async with archived(tmp_path, port) as (writer, _):
        one = writer.held()[1]

        await movescu(
            writer,
            tmp_path / "back",
            port,
            "QueryRetrieveLevel=IMAGE",
            f"StudyInstanceUID={one.study}",
            f"SeriesInstanceUID={one.series}",
            f"SOPInstanceUID={one.instance}",
        )

    [came] = (tmp_path / "back").iterdir()
    assert head_and_data_set(came)[0].sop_instance_uid == one.instance


async def test_an_instance_whose_file_is_gone_is_reported_and_the_others_come(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with archived(tmp_path, port) as (writer, _):
        held = writer.held()
        held[0].path.unlink()

        ran = await movescu(
            writer,
            tmp_path / "back",
            port,
            "QueryRetrieveLevel=STUDY",
            f"StudyInstanceUID={held[0].study}",
        )

    assert "SubOperationsCompleteOneOrMoreFailures" in ran.stderr + ran.stdout
    came = {head_and_data_set(path)[0].sop_instance_uid for path in (tmp_path / "back").iterdir()}
    assert came == {one.instance for one in held[1:]}


async def test_a_destination_that_is_not_listed_gets_nothing(tmp_path: Path) -> None:
    port = free_port()
    async with archived(tmp_path, port) as (writer, _):
        study = writer.held()[0].study

        ran = await movescu(
            writer,
            tmp_path / "back",
            port,
            "QueryRetrieveLevel=STUDY",
            f"StudyInstanceUID={study}",
            destination="STRANGER",
        )

    assert "MoveDestinationUnknown" in ran.stderr + ran.stdout
    assert [*(tmp_path / "back").iterdir()] == []


async def test_a_retrieval_without_its_unique_key_is_refused(tmp_path: Path) -> None:
    port = free_port()
    async with archived(tmp_path, port) as (writer, _):
        ran = await movescu(writer, tmp_path / "back", port, "QueryRetrieveLevel=STUDY")

    assert "DataSetDoesNotMatchSOPClass" in ran.stderr + ran.stdout
