"""Storage area and index agree, whenever the process ends, and one process owns them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from candidates.writer.archive import Archive, Leftovers
from candidates.writer.errors import ArchiveInUse, ArchiveMismatch, IndexFailed
from candidates.writer.storage import INCOMING, INDEX, LOCK, NAME, Storage
from candidates.writer.tags import Level
from tests import peers
from tests.candidates.areas import read_whole
from tests.candidates.arrivals import NOON, arrived
from tests.candidates.holdings import held_in, root_of
from tests.candidates.indexes import Index, Rows

CHILD = [sys.executable, "-m", "tests.candidates.publishing_child"]
HOLD = """
import sys
from pathlib import Path
from typing import Any
from candidates.writer.archive import Archive
from candidates.writer.storage import Storage
archive = Archive.open(Storage(Path(sys.argv[1])))
print("open", flush=True)
sys.stdin.read()
"""


LATER = NOON + timedelta(days=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "writer"


@pytest.fixture
def archive(root: Path, index: Index) -> Iterator[Archive]:
    archive = Archive.open(Storage(root), index.address)
    yield archive
    archive.close()


def incoming(root: Path) -> list[str]:
    return sorted(path.name for path in (root / INCOMING).iterdir())


def files_in(root: Path) -> list[Path]:
    return sorted(root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"))


def changes(index: Index) -> Rows:
    return index.query("SELECT kind, level, uid FROM change ORDER BY sequence")


def crashed(archive: Archive) -> Path:
    """The process has ended without a word; a test can only let go of the locks."""
    archive.close()
    return root_of(archive)


def reopened(root: Path, index: Index) -> Leftovers:
    """What a start finds and puts in order; a second start then finds nothing."""
    archive = Archive.open(Storage(root), index.address)
    archive.close()
    again = Archive.open(Storage(root), index.address)
    assert again.leftovers == Leftovers(0, 0, 0)
    again.close()
    return archive.leftovers


def test_what_is_committed_has_a_row_and_a_file(archive: Archive, root: Path, index: Index) -> None:
    archive.commit([arrived(archive.storage, b"one", "1.1"), arrived(archive.storage, b"2", "1.2")])

    held = held_in(root, index)
    assert [one.instance for one in held] == ["1.1", "1.2"]
    assert [one.path.read_bytes() for one in held] == [b"header one", b"header 2"]
    assert sorted(one.path for one in held) == files_in(root)
    assert incoming(root) == []


def test_each_level_has_its_main_tags_and_stands_once(
    archive: Archive, root: Path, index: Index
) -> None:
    for number in range(3):
        one = arrived(
            archive.storage,
            b"data set",
            f"1.2.3.{number}",
            PatientName="Doe^Jane",
            StudyDate="20260301",
            Modality="CT",
            InstanceNumber=str(number),
        )
        archive.commit([one])

    assert {level: archive.index.count(level) for level in Level} == {
        Level.PATIENT: 1,
        Level.STUDY: 1,
        Level.SERIES: 1,
        Level.INSTANCE: 3,
    }
    assert index.query("SELECT patient_id, patient_name FROM patient") == [("P1", "Doe^Jane")]
    assert index.query("SELECT study_instance_uid, study_date FROM study") == [("1.2", "20260301")]
    assert index.query("SELECT series_instance_uid, modality FROM series") == [("1.2.3", "CT")]
    assert index.query("SELECT instance_number FROM instance") == [("0",), ("1",), ("2",)]


def test_a_study_keeps_its_patient_whatever_a_later_instance_says(
    archive: Archive, root: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"one", "1.1")])

    archive.commit([arrived(archive.storage, b"two", "1.2", PatientID="P2")])

    assert index.query("SELECT patient_id FROM patient") == [("P1",)]
    assert [one.study for one in held_in(root, index)] == ["1.2", "1.2"]


def test_equal_uids_in_two_studies_are_two_instances(
    archive: Archive, root: Path, index: Index
) -> None:
    one = arrived(archive.storage, b"one", study="1.2")
    other = arrived(archive.storage, b"two", study="1.9")

    archive.commit([one, other])

    assert [(held.study, held.path.read_bytes()) for held in held_in(root, index)] == [
        ("1.2", b"header one"),
        ("1.9", b"header two"),
    ]


def test_an_instance_that_comes_again_replaces_the_older_one(
    archive: Archive, root: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"old")])

    archive.commit([arrived(archive.storage, b"new")])

    [held] = held_in(root, index)
    assert held.path.read_bytes() == b"header new"
    assert files_in(root) == [held.path]


def test_of_an_instance_that_comes_twice_at_once_the_later_one_counts(
    archive: Archive, root: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"old"), arrived(archive.storage, b"new")])

    [held] = held_in(root, index)
    assert held.path.read_bytes() == b"header new"
    assert files_in(root) == [held.path]
    assert incoming(root) == []


def test_the_history_says_what_was_added_and_replaced_in_order(
    archive: Archive, root: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"old")])
    archive.commit([arrived(archive.storage, b"new")])

    assert changes(index) == [
        ("added", "patient", "P1"),
        ("added", "study", "1.2"),
        ("added", "series", "1.2.3"),
        ("added", "instance", "1.2.3.4"),
        ("replaced", "instance", "1.2.3.4"),
    ]


def test_a_study_that_is_removed_leaves_nothing_but_its_history(
    archive: Archive, root: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"one", "1.1"), arrived(archive.storage, b"2", "1.2")])
    archive.commit([arrived(archive.storage, b"stays", "9.1", study="9", PatientID="P9")])

    assert archive.remove_study("1.2", LATER, unless_since=LATER) == 2

    [stays] = held_in(root, index)
    assert files_in(root) == [stays.path]
    assert index.query("SELECT patient_id FROM patient") == [("P9",)]
    assert changes(index)[-5:] == [
        ("removed", "instance", "1.1"),
        ("removed", "instance", "1.2"),
        ("removed", "series", "1.2.3"),
        ("removed", "study", "1.2"),
        ("removed", "patient", "P1"),
    ]


def test_a_study_that_grows_meanwhile_is_not_removed(
    archive: Archive, root: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"one", "1.1")])
    archive.commit([arrived(archive.storage, b"two", "1.2", at=LATER)])

    assert archive.remove_study("1.2", LATER, unless_since=LATER) == 0

    assert len(held_in(root, index)) == 2


def test_a_study_that_was_removed_may_come_again(
    archive: Archive, root: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"one", "1.1")])
    archive.remove_study("1.2", LATER, unless_since=LATER)

    archive.commit([arrived(archive.storage, b"again", "1.1")])

    assert [one.path.read_bytes() for one in held_in(root, index)] == [b"header again"]


def test_what_a_failed_batch_had_begun_is_done_by_the_next(
    archive: Archive, root: Path, index: Index
) -> None:
    index.change("ALTER TABLE change RENAME TO elsewhere")
    with pytest.raises(IndexFailed):
        archive.commit([arrived(archive.storage, b"one", "1.1")])
    index.change("ALTER TABLE elsewhere RENAME TO change")

    archive.commit([arrived(archive.storage, b"one", "1.1")])

    assert [(one.study, one.series, one.instance) for one in held_in(root, index)] == [
        ("1.2", "1.2.3", "1.1")
    ]
    assert len(changes(index)) == 4


def test_numbers_of_changes_never_come_again(archive: Archive, root: Path, index: Index) -> None:
    archive.commit([arrived(archive.storage, b"one")])
    index.change("DELETE FROM change")

    archive.commit([arrived(archive.storage, b"two")])

    assert index.query("SELECT sequence FROM change") == [(5,)]


def test_a_file_that_was_never_acknowledged_is_removed_at_the_start(
    archive: Archive, index: Index
) -> None:
    archive.storage.begin(b"the first half").close()
    arrived(archive.storage, b"sealed, and not committed")

    root = crashed(archive)

    assert reopened(root, index) == Leftovers(discarded=2, placed=0, removed=0)
    assert (incoming(root), files_in(root)) == ([], [])


def test_an_acknowledged_file_that_was_not_placed_is_placed_at_the_start(
    archive: Archive, index: Index
) -> None:
    archive.index.record([arrived(archive.storage, b"data set")])

    root = crashed(archive)

    assert reopened(root, index) == Leftovers(discarded=0, placed=1, removed=0)
    [held] = held_in(root, index)
    assert held.path.read_bytes() == b"header data set"


def test_a_file_that_was_replaced_and_not_removed_is_removed_at_the_start(
    archive: Archive, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"old")])
    archive.index.record([arrived(archive.storage, b"new")])

    root = crashed(archive)

    assert reopened(root, index) == Leftovers(discarded=0, placed=1, removed=1)
    [held] = held_in(root, index)
    assert held.path.read_bytes() == b"header new"
    assert files_in(root) == [held.path]


def test_a_batch_that_the_index_does_not_take_leaves_nothing(
    archive: Archive, root: Path, index: Index
) -> None:
    index.change("DROP TABLE change")

    with pytest.raises(IndexFailed, match="change"):
        archive.commit([arrived(archive.storage, b"data set")])

    assert held_in(root, index) == []
    assert (incoming(root), files_in(root)) == ([], [])


def test_an_attachment_that_cannot_be_placed_is_kept_and_placed_at_the_next_start(
    archive: Archive, root: Path, index: Index
) -> None:
    one = arrived(archive.storage, b"data set")
    in_the_way = root / one.attachment.uuid[:2]
    in_the_way.write_text("a file stands here")

    archive.commit([one])

    assert read_whole(archive.storage, one.attachment.uuid) == b"header data set"
    in_the_way.unlink()
    assert reopened(crashed(archive), index) == Leftovers(discarded=0, placed=1, removed=0)


def test_an_index_may_stand_elsewhere(root: Path, tmp_path: Path) -> None:
    index = tmp_path / "elsewhere.db"
    archive = Archive.open(Storage(root), index)
    archive.commit([arrived(archive.storage, b"data set")])
    archive.close()

    assert index.exists()
    assert not (root / INDEX).exists()


def test_a_second_process_is_refused_and_told_who_owns_the_archive(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"

        with pytest.raises(ArchiveInUse, match=rf"in use by process {owner.pid}: .*stop that one"):
            Archive.open(Storage(root))
        owner.communicate("", timeout=30)

    Archive.open(Storage(root)).close()


def test_one_index_for_two_storage_areas_is_refused_while_one_is_used(
    tmp_path: Path, index: Index
) -> None:
    archive = Archive.open(Storage(tmp_path / "writer"), index.address)

    with pytest.raises(ArchiveInUse, match=rf"the index .* is in use by .*process {os.getpid()}"):
        Archive.open(Storage(tmp_path / "two"), index.address)

    archive.close()
    Archive.open(Storage(tmp_path / "two"), tmp_path / "two.db").close()


def test_an_index_is_that_of_its_storage_area_and_of_no_other(
    archive: Archive, tmp_path: Path, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"data set")])
    root = crashed(archive)

    with pytest.raises(ArchiveMismatch, match=r"is that of the storage area .* a pair"):
        Archive.open(Storage(tmp_path / "other"), index.address)
    (root / NAME).write_text("somebody has copied another folder over it")
    with pytest.raises(ArchiveMismatch, match="is that of the storage area"):
        Archive.open(Storage(root), index.address)


def test_a_start_that_ended_between_the_two_names_is_made_good(
    archive: Archive, index: Index
) -> None:
    root = crashed(archive)
    (root / NAME).unlink()

    assert reopened(root, index) == Leftovers(0, 0, 0)

    assert index.query("SELECT id FROM area") == [((root / NAME).read_text(),)]


def test_a_storage_area_that_has_lost_its_name_is_asked_for(archive: Archive, index: Index) -> None:
    archive.commit([arrived(archive.storage, b"data set")])
    root = crashed(archive)
    (root / NAME).unlink()

    with pytest.raises(ArchiveMismatch, match=re.escape(f"the name stands in {root / NAME}")):
        Archive.open(Storage(root), index.address)


def test_an_archive_from_before_there_were_names_gets_one(archive: Archive, index: Index) -> None:
    archive.commit([arrived(archive.storage, b"data set")])
    root = crashed(archive)
    (root / NAME).unlink()
    index.change("DELETE FROM area")

    assert reopened(root, index) == Leftovers(0, 0, 0)

    assert index.query("SELECT id FROM area") == [((root / NAME).read_text(),)]


def test_attachments_without_an_index_are_not_taken_for_an_empty_archive(
    archive: Archive, index: Index
) -> None:
    archive.commit([arrived(archive.storage, b"data set")])
    root = crashed(archive)
    index.lose()

    for _ in range(2):
        with pytest.raises(ArchiveMismatch, match="holds attachments, but there is no index"):
            Archive.open(Storage(root), index.address)

    assert len(files_in(root)) == 1
    assert (root / LOCK).exists()


def test_text_that_no_person_has_written_is_kept_as_far_as_a_database_can(
    archive: Archive, index: Index
) -> None:
    odd = arrived(
        archive.storage,
        b"",
        PatientName="Doe\0Jane",
        AccessionNumber="\N{CJK UNIFIED IDEOGRAPH-4E00}" * 20_000,
        StudyDescription="x" * 60_000,
    )

    archive.commit([odd])

    [(name, accession_number, description)] = index.query(
        "SELECT patient_name, accession_number, study_description "
        "FROM study JOIN patient ON patient.id = study.parent_id"
    )
    assert name == "DoeJane"
    assert set(accession_number) == {"\N{CJK UNIFIED IDEOGRAPH-4E00}"}
    assert description == "x" * 60_000


def test_file_then_name_then_row_are_durable_before_an_instance_is_answered(
    tmp_path: Path,
) -> None:
    root, log = tmp_path / "volume" / "writer", tmp_path / "log"
    calls = "trace=fsync,fdatasync,rename,mkdir,write,pwrite64"
    peers.require("strace")
    watched = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", calls, *CHILD, str(root)]
    child = subprocess.run(watched, capture_output=True, text=True, timeout=60, check=False)
    if child.returncode:
        peers.unable("strace may not trace here")

    place = re.escape(str(root))
    in_order = [
        rf"mkdir\(\"{place}\"",
        rf"fsync\(\d+<{re.escape(str(tmp_path))}/volume>\) += 0",
        rf"mkdir\(\"{place}/\.incoming\"",
        rf"fsync\(\d+<{place}>\) += 0",
        r"write\(1<.*\"opened",
        rf"fdatasync\(\d+<{place}/\.incoming/\S+>\) += 0",
        rf"fsync\(\d+<{place}/\.incoming>\) += 0",
        rf"pwrite64\(\d+<{place}/index\.db-wal>",
        rf"fdatasync\(\d+<{place}/index\.db-wal>\) += 0",
        rf"rename\(\"{place}/\.incoming/(\S+)\", \"{place}/\w\w/\w\w/\1\"\) += 0",
        r"write\(1<.*\"stored",
    ]
    assert re.search(".*".join(in_order), log.read_text(), re.DOTALL), log.read_text()
