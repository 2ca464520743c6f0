"""A published instance is whole and durable; nothing else can be seen."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from candidates.writer.storage import INCOMING, IOV_MAX, IncomingFile, Storage

STUDY, SERIES, INSTANCE = "1.2", "1.2.3", "1.2.3.4"
CHILD = [sys.executable, "-m", "tests.candidates.publishing_child"]

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "writer")


def incoming(storage: Storage) -> list[Path]:
    return list((storage.root / INCOMING).iterdir())


def received(storage: Storage, content: bytes) -> IncomingFile:
    """A file that has arrived and is not published."""
    file = storage.begin(b"header ")
    file.write([memoryview(content)])
    return file


def publish(storage: Storage, content: bytes, instance: str = INSTANCE) -> Path:
    path = storage.path_of(STUDY, SERIES, instance)
    storage.publish(received(storage, content), path)
    return path


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The kernel refuses to let files grow beyond this size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_published_instance_stands_under_its_study_and_series(storage: Storage) -> None:
    path = publish(storage, b"data set")

    assert path == storage.root / STUDY / SERIES / f"{INSTANCE}.dcm"
    assert path.read_bytes() == b"header data set"
    assert storage.files() == [path]
    assert incoming(storage) == []


def test_an_instance_that_still_arrives_is_not_seen(storage: Storage) -> None:
    received(storage, b"the first half")

    assert storage.files() == []


def test_an_instance_that_arrives_again_replaces_the_older_one(storage: Storage) -> None:
    path = publish(storage, b"old")

    publish(storage, b"new")

    assert path.read_bytes() == b"header new"
    assert storage.files() == [path]


def test_a_reader_sees_the_old_instance_or_the_new_one_and_never_a_part(storage: Storage) -> None:
    versions = [bytes([number]) * 100_000 for number in range(40)]
    path = publish(storage, versions[0])
    whole = {b"header " + version for version in versions}
    replacing = threading.Thread(target=lambda: [publish(storage, one) for one in versions])

    replacing.start()
    seen = set()
    while replacing.is_alive():
        seen.add(path.read_bytes())
    replacing.join()

    assert seen <= whole
    assert path.read_bytes() == b"header " + versions[-1]


def test_a_reader_that_holds_the_replaced_instance_keeps_it(storage: Storage) -> None:
    path = publish(storage, b"old")

    with path.open("rb") as reader:
        publish(storage, b"new")

        assert reader.read() == b"header old"


def test_a_discarded_instance_leaves_nothing(storage: Storage) -> None:
    received(storage, b"the first half").discard()

    assert incoming(storage) == []


def test_leftovers_of_an_interrupted_reception_are_removed_at_the_start(storage: Storage) -> None:
    path = publish(storage, b"data set")
    received(storage, b"the first half")

    restarted = Storage(storage.root)

    assert incoming(restarted) == []
    assert restarted.files() == [path]


def test_what_is_written_so_far_can_be_read(storage: Storage) -> None:
    file = received(storage, b"data set")

    assert file.read(len(b"header "), 4) == b"data"


def test_more_fragments_than_one_system_call_takes_are_written(storage: Storage) -> None:
    fragments = [bytes([number % 256]) for number in range(2 * IOV_MAX + 1)]
    file = storage.begin(b"")

    file.write([memoryview(fragment) for fragment in fragments])

    assert file.read(0, 1 << 20) == b"".join(fragments)


def test_a_disk_that_takes_no_header_leaves_no_file_and_no_descriptor(storage: Storage) -> None:
    before = open_descriptors()

    with files_end_at(3), pytest.raises(OSError, match="File too large"):
        storage.begin(b"header")

    assert incoming(storage) == []
    assert open_descriptors() == before


def test_an_instance_that_cannot_get_its_name_can_be_discarded(storage: Storage) -> None:
    occupied = storage.path_of(STUDY, SERIES, INSTANCE)
    occupied.mkdir(parents=True)
    file = received(storage, b"data set")

    with pytest.raises(OSError, match="Is a directory"):
        storage.publish(file, occupied)
    file.discard()

    assert incoming(storage) == []


def test_many_instances_of_a_new_study_may_be_published_at_once(storage: Storage) -> None:
    instances = [f"1.2.3.{number}" for number in range(40)]
    threads = [
        threading.Thread(target=publish, args=(storage, instance.encode(), instance))
        for instance in instances
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(path.stem for path in storage.files()) == sorted(instances)


@needs_strace
def test_an_instance_is_durable_before_it_has_its_name_and_named_before_it_is_answered(
    tmp_path: Path,
) -> None:
    root, log = tmp_path / "volume" / "writer", tmp_path / "log"
    calls = "trace=fsync,fdatasync,rename,mkdir,write"
    watched = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", calls, *CHILD, str(root)]
    child = subprocess.run(watched, capture_output=True, text=True, timeout=60, check=False)
    if child.returncode:
        pytest.skip("strace may not trace here")

    place = re.escape(str(root))
    in_order = [
        rf"mkdir\(\"{re.escape(str(tmp_path))}/volume\"",
        rf"fsync\(\d+<{re.escape(str(tmp_path))}>\) += 0",
        rf"mkdir\(\"{place}\"",
        rf"fsync\(\d+<{re.escape(str(tmp_path))}/volume>\) += 0",
        rf"fdatasync\(\d+<{place}/\.incoming/\w+>\) += 0",
        rf"mkdir\(\"{place}/1\.2\"",
        rf"fsync\(\d+<{place}>\) += 0",
        rf"mkdir\(\"{place}/1\.2/1\.2\.3\"",
        rf"fsync\(\d+<{place}/1\.2>\) += 0",
        rf"rename\(\"{place}/\.incoming/\w+\", \"{place}/1\.2/1\.2\.3/1\.2\.3\.4\.dcm\"\) += 0",
        rf"fsync\(\d+<{place}/1\.2/1\.2\.3>\) += 0",
        r"write\(1<.*\"stored",
    ]
    assert re.search(".*".join(in_order), log.read_text(), re.DOTALL), log.read_text()
