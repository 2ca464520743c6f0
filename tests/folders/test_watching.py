"""Files that appear in a watched folder come in, and are put away once they are durable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dicomweb.uploading import FullRouter, StowRouter, file_of, study_of
from tests.e2e.stack import WriterProcess, data_set_of, running, wait_until

SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "1s", "stable_after": "10m"},
}


@dataclass(frozen=True)
class Watched:
    """A router that watches a folder, and a writer that gets everything."""

    router: StowRouter
    writer: WriterProcess
    folder: Path

    def put(self, name: str, content: bytes) -> Path:
        """A file as a careful writer puts it there: under another name until it is whole."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}")
        unfinished.write_bytes(content)
        return unfinished.rename(path)

    def is_in(self, place: str, name: str) -> bool:
        return (self.folder / place / name).exists()


def watching(tmp_path: Path, **options: Any) -> tuple[StowRouter, Path]:
    folder = tmp_path / "incoming"
    watch = {"path": str(folder), "settle": "1s", "every": "200ms", **options}
    return StowRouter(tmp_path / "router", {**SETTINGS, "watch": [watch]}), folder


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    tmp_path = tmp_path_factory.mktemp("watch")
    router, folder = watching(tmp_path)
    folder.mkdir()
    writer = WriterProcess(tmp_path, "BACKUP", router.url, None)
    with running(router, writer):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        yield Watched(router, writer, folder)


def test_a_study_that_is_put_there_is_delivered_whole_and_its_files_are_done(
    watched: Watched,
) -> None:
    study = study_of(3)
    paths = [watched.put(f"study/{number}.dcm", file_of(one)) for number, one in enumerate(study)]

    uids = {one.SOPInstanceUID for one in study}
    wait_until(lambda: uids <= watched.writer.data_sets().keys(), "the writer has the study")
    wait_until(lambda: not any(path.exists() for path in paths), "the files are put away")
    [revision] = watched.router.study(study[0].StudyInstanceUID)["revisions"]
    assert revision["instances"] == 3
    done = [data_set_of(path) for path in (watched.folder / "done/study").iterdir()]
    held = watched.writer.data_sets()
    assert sorted(done) == sorted(held[uid] for uid in uids)


def test_a_file_that_grows_is_left_until_it_does_not(watched: Watched) -> None:
    [one] = study_of(1)
    content = file_of(one)
    with (watched.folder / "slow.dcm").open("wb") as stream:
        stream.write(content[:1000])
        stream.flush()
        watched.put("meanwhile.dcm", file_of(study_of(1)[0]))
        wait_until(
            lambda: _grown(stream.fileno(), content) or watched.is_in("done", "meanwhile.dcm"),
            "the other file is done",
        )
        assert not watched.is_in("done", "slow.dcm")
        assert not watched.is_in("failed", "slow.dcm")
        os.ftruncate(stream.fileno(), 0)
        os.pwrite(stream.fileno(), content, 0)

    wait_until(lambda: watched.is_in("done", "slow.dcm"), "it is done")
    assert watched.router.study(one.StudyInstanceUID)["instances"] == 1


def _grown(descriptor: int, content: bytes) -> bool:
    """Let a file grow by a byte."""
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, content[size : size + 1], size)
    return False


def test_what_is_no_dicom_file_is_put_aside_and_the_refusals_say_why(watched: Watched) -> None:
    watched.put("notes.txt", b"no DICOM file")

    wait_until(lambda: watched.is_in("failed", "notes.txt"), "it is put aside")
    wait_until(
        lambda: any(
            one["reason"] == "not a DICOM file: the prefix DICM is missing"
            for one in watched.router.get("/refusals")["refusals"]
        ),
        "the reason is recorded",
    )


def test_a_file_of_the_same_name_does_not_replace_the_one_before(watched: Watched) -> None:
    for _ in range(2):
        watched.put("same.dcm", file_of(study_of(1)[0]))
        wait_until(lambda: not (watched.folder / "same.dcm").exists(), "it is put away")

    assert watched.is_in("done", "same.dcm")
    assert watched.is_in("done", "same.dcm.1")


def test_links_and_unfinished_files_are_left_alone(watched: Watched, tmp_path: Path) -> None:
    [secret, last] = study_of(2)
    (tmp_path / "secret.dcm").write_bytes(file_of(secret))
    (watched.folder / "link.dcm").symlink_to(tmp_path / "secret.dcm")
    (watched.folder / "copying.dcm.part").write_bytes(file_of(secret))
    watched.put("last.dcm", file_of(last))

    wait_until(lambda: watched.is_in("done", "last.dcm"), "what came later is done")
    assert watched.router.study(last.StudyInstanceUID)["instances"] == 1
    assert (watched.folder / "link.dcm").is_symlink()


def test_files_are_deleted_where_that_is_wanted_and_a_folder_may_come_later(
    tmp_path: Path,
) -> None:
    router, folder = watching(tmp_path, after="delete")
    [one] = study_of(1)
    with running(router):
        wait_until(lambda: "cannot be watched" in router.log.read_text(), "it is missed")
        folder.mkdir()
        (folder / "one.dcm").write_bytes(file_of(one))

        wait_until(lambda: not (folder / "one.dcm").exists(), "it is deleted")
        assert router.study(one.StudyInstanceUID)["instances"] == 1
        assert list(folder.iterdir()) == []


def test_without_room_files_stay_where_they_are(tmp_path: Path) -> None:
    router, folder = watching(tmp_path)
    folder.mkdir()
    full = FullRouter(
        tmp_path / "full",
        {"watch": [{"path": str(folder), "settle": "0s"}], "spool": {"min_free": "1000TB"}},
    )
    [one] = study_of(1)
    (folder / "one.dcm").write_bytes(file_of(one))
    with running(full):
        full.refusal(one.SOPInstanceUID)
        assert (folder / "one.dcm").exists()

    with running(router):
        wait_until(lambda: (folder / "done" / "one.dcm").exists(), "there is room again")
