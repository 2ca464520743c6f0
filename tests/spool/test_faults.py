"""Disks that are full, disks that fail, processes that are killed."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import xxhash

from router.domain.errors import SpoolFailed, SpoolFull
from router.domain.instance import Instance
from router.spool.files import storage_error
from router.spool.log import LocalSpool
from router.spool.writer import Writer
from tests import peers
from tests.spool.helpers import (
    LARGE,
    PART10_HEADER,
    Outcome,
    a_spool,
    begin,
    data_set,
    number_of,
    recovered,
    seal,
    segments,
    store,
)
from tests.spool.storing_child import size_of

CHILD = [sys.executable, "-m", "tests.spool.storing_child"]


def numbers_on_disk(directory: Path) -> set[int]:
    """What a new run recovers, having the bytes that it was sent."""
    instances = anyio.run(recovered, directory)
    for instance in instances:
        number = number_of(instance)
        expected = xxhash.xxh3_64_hexdigest(data_set(number, size_of(number)))
        assert instance.checksum == expected
    return {number_of(instance) for instance in instances}


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The kernel cuts writes beyond this size short, then refuses them: as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_file_system(directory: Path, size: str) -> Iterator[Path]:
    """A file system of its own, where the tests may mount one."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        peers.unable("a file system in memory may not be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)  # a file may be closing


@contextmanager
def flushes_held_back(spool: LocalSpool) -> Iterator[None]:
    """The spool's only flushing thread is busy meanwhile."""
    may_go_on = threading.Event()
    spool._pool.submit(may_go_on.wait, lambda _: None)
    try:
        yield
    finally:
        may_go_on.set()


def break_disk_under(spool: LocalSpool) -> None:
    """All segments are on a device that can be written, but not flushed."""
    device = os.open(os.devnull, os.O_RDWR)
    for segment in spool._open.values():
        os.dup2(device, segment.file.descriptor)
    os.close(device)


async def seal_with_broken_flush(spool: LocalSpool, numbers: list[int], size: int) -> list[Outcome]:
    """Everything is written, then the flush fails."""
    with flushes_held_back(spool):
        outcomes = [seal(begin(spool, number, size), number) for number in numbers]
        await anyio.lowlevel.checkpoint()  # what is sealed together is stored together
        break_disk_under(spool)
    return outcomes


def write_all(writer: Writer, pieces: list[memoryview]) -> None:
    for piece in pieces:
        writer.write([piece])


async def store_until_full(spool: LocalSpool, stored: list[Instance]) -> None:
    """Store instances of 100 kB, numbered from 0, until one is refused."""
    for number in range(1000):
        stored.append(await store(spool, number, data_set(number, 100_000)))


@pytest.mark.parametrize("count", [1, 7])
async def test_a_write_to_a_full_disk_refuses_the_instance_only(tmp_path: Path, count: int) -> None:
    pieces = [memoryview(bytes(400_000 // count))] * count  # more than is gathered in memory
    async with a_spool(tmp_path) as spool:
        await store(spool, 1)
        used = spool.used_bytes
        writer = spool.create(PART10_HEADER)
        with files_end_at(50_000), pytest.raises(SpoolFull, match="free space"):
            write_all(writer, pieces)
        writer.discard()

        assert spool.used_bytes == used
        await store(spool, 2)
    assert [number_of(instance) for instance in await recovered(tmp_path)] == [1, 2]


async def test_a_full_disk_at_the_last_moment_refuses_the_instance_only(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        first = await store(spool, 1)
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(data_set(2))])
        with files_end_at(segments(tmp_path)[0].stat().st_size), pytest.raises(SpoolFull):
            await seal(writer, 2).instance()

        third = await store(spool, 3)
        assert third.ref.segment == first.ref.segment
    assert [number_of(instance) for instance in await recovered(tmp_path)] == [1, 3]


async def test_seal_after_a_failed_write_refuses_and_gives_the_place_back(tmp_path: Path) -> None:
    async with a_spool(tmp_path, max_open_segments=1) as spool:
        writer = spool.create(PART10_HEADER)
        with files_end_at(50_000), pytest.raises(SpoolFull):
            writer.write([memoryview(bytes(400_000))])
        with pytest.raises(SpoolFull):
            await seal(writer).instance()

        await store(spool, 2)


async def test_a_full_disk_does_not_hurt_what_was_acknowledged(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", "4m") as disk:
        async with a_spool(disk / "spool") as spool:
            stored: list[Instance] = []
            with pytest.raises(SpoolFull):
                await store_until_full(spool, stored)
            await spool.reclaim([stored[0].ref])
            stored.append(await store(spool, 99, data_set(99, 50_000)))

        assert len(stored) > 30
        assert await recovered(disk / "spool") == stored[1:]


async def test_a_disk_that_refuses_a_new_segment_refuses_the_instance(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool") as spool:
        shutil.rmtree(tmp_path / "spool")
        with pytest.raises(SpoolFailed, match="spool"):
            spool.create(PART10_HEADER)


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_a_failed_flush_acknowledges_nothing_that_it_was_for(
    tmp_path: Path, size: int
) -> None:
    async with a_spool(tmp_path, sync_threads=1) as spool:
        for outcome in await seal_with_broken_flush(spool, [1, 2, 3], size):
            with pytest.raises(SpoolFailed, match="check it"):
                await outcome.instance()
        assert spool.used_bytes == 0


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_after_a_failed_flush_the_segment_gets_no_more_records(
    tmp_path: Path, size: int
) -> None:
    async with a_spool(tmp_path, sync_threads=1) as spool:
        before = await store(spool, 1)
        used = spool.used_bytes
        (outcome,) = await seal_with_broken_flush(spool, [2], size)
        with pytest.raises(SpoolFailed):
            await outcome.instance()

        assert spool.open_segments == 0
        assert spool.used_bytes == used
        after = await store(spool, 3)
        assert after.ref.segment != before.ref.segment
    numbers = [number_of(instance) for instance in await recovered(tmp_path)]
    assert numbers[0] == 1
    assert numbers[-1] == 3


def traced_child(directory: Path, count: int, *options: str) -> str:
    """What the child printed while strace watched it, or interfered."""
    peers.require("strace")
    command = ["strace", "-f", "-qq", *options, *CHILD, str(directory), "1", str(count)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if child.returncode:
        peers.unable("strace may not trace here")
    return child.stdout


def test_the_names_of_files_are_durable_before_the_first_acknowledgement(tmp_path: Path) -> None:
    directory, log = tmp_path / "data" / "spool", tmp_path / "log"
    traced_child(directory, 3, "-y", "-o", str(log), "-e", "trace=fsync,fdatasync,write")
    before, acknowledged, _ = log.read_text().partition('"stored 2')

    assert acknowledged
    for path in (tmp_path, directory.parent, directory):
        assert re.search(rf"fsync\(\d+<{re.escape(str(path))}>", before)
    assert re.search(rf"fdatasync\(\d+<{re.escape(str(directory))}/\S+\.seg>", before)
    assert len(re.findall(r"= 0$", before, re.MULTILINE)) >= 4


def test_what_a_failing_disk_did_not_acknowledge_is_not_recovered(tmp_path: Path) -> None:
    inject = "inject=fdatasync:error=EIO:when=5..7"  # the fifth to seventh flush of each thread
    output = traced_child(tmp_path, 40, "-o", os.devnull, "-e", inject)
    answers = [line.split() for line in output.splitlines()]
    stored = {int(number) for word, number in answers if word == "stored"}
    refused = {int(number) for word, number in answers if word == "refused"}

    assert refused
    assert stored | refused == set(range(40))
    assert numbers_on_disk(tmp_path) == stored


@pytest.mark.parametrize("associations", [1, 2, 5])
@pytest.mark.parametrize("after", [3, 50, 120])
def test_kill_9_loses_nothing_that_was_acknowledged(
    tmp_path: Path, associations: int, after: int
) -> None:
    child = subprocess.Popen(
        [*CHILD, str(tmp_path), str(associations), "100000"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = {int(child.stdout.readline().split()[1]) for _ in range(after)}
    child.kill()
    rest, _ = child.communicate(timeout=30)
    acknowledged |= {int(line.split()[1]) for line in rest.splitlines()}

    assert len(acknowledged) >= after
    assert acknowledged <= numbers_on_disk(tmp_path)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EROFS, "read-only: name another folder in router.data"),
        (errno.EACCES, "give its user the right to"),
        (errno.EIO, "look into the system log"),
    ],
)
def test_the_error_says_what_a_person_has_to_do(number: int, advice: str) -> None:
    error = storage_error(OSError(number, os.strerror(number)), Path("/data/spool"))

    assert isinstance(error, SpoolFailed)
    assert "/data/spool" in str(error)
    assert advice in str(error)
