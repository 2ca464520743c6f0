"""Data sets on their way out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from router.domain.errors import SpoolFailed
from router.spool import reader as reader_module
from tests.spool.helpers import a_spool, data_of, data_set, segments, store


async def test_bytes_just_written_are_read_without_waiting(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        await store(spool, 0)
        instance = await store(spool, 1)
        reader = spool.open(instance.ref)
        buffer = memoryview(bytearray(5000))

        # a file system that cannot tell answers None, and ``read_into`` follows
        assert reader.try_read_into(buffer, 0) in (1000, None)
        assert await reader.read_into(buffer, 0) == 1000
        assert buffer[:1000] == data_set(1)
        reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's file system in memory")
async def test_a_spool_in_memory_is_always_read_without_waiting() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory:
        async with a_spool(Path(directory)) as spool:
            reader = spool.open((await store(spool, 1)).ref)
            buffer = memoryview(bytearray(5000))

            assert reader.try_read_into(buffer, 0) == 1000
            assert buffer[:1000] == data_set(1)
            reader.close()


async def test_reading_goes_on_at_an_offset_and_ends_with_the_data_set(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instance = await store(spool, 1)
        await store(spool, 2)
        reader = spool.open(instance.ref)
        buffer = memoryview(bytearray(700))

        assert await reader.read_into(buffer, 0) == 700
        assert await reader.read_into(buffer, 700) == 300
        assert buffer[:300] == data_set(1)[700:]
        assert await reader.read_into(buffer, 1000) == 0
        assert reader.try_read_into(buffer, 1000) == 0
        assert reader.read(990, 100) == data_set(1)[990:]
        assert reader.read(2000, 100) == b""
        reader.close()


async def test_what_the_page_cache_does_not_hold_is_left_to_a_thread(tmp_path: Path) -> None:
    async with a_spool(tmp_path, segment_bytes=1) as spool:
        instance = await store(spool, 1, data_set(1, 1 << 20))
        descriptor = os.open(segments(tmp_path)[0], os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        reader = spool.open(instance.ref)
        buffer = memoryview(bytearray(1 << 20))
        done = 0
        while done < len(buffer):
            count = reader.try_read_into(buffer[done:], done)
            done += await reader.read_into(buffer[done:], done) if count is None else count

        assert buffer == data_set(1, 1 << 20)
        reader.close()


async def test_where_the_system_cannot_look_into_the_page_cache_all_is_left_to_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "RWF_NOWAIT")
    async with a_spool(tmp_path) as spool:
        reader = spool.open((await store(spool, 1)).ref)
        buffer = memoryview(bytearray(5000))

        assert reader.try_read_into(buffer, 0) is None
        assert await reader.read_into(buffer, 0) == 1000
        assert buffer[:1000] == data_set(1)
        reader.close()


async def test_many_more_segments_than_stay_open_can_be_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "OPEN_FILES", 2)
    async with a_spool(tmp_path, segment_bytes=1) as spool:
        instances = [await store(spool, number) for number in range(6)]
        readers = [spool.open(instance.ref) for instance in instances]
        found = [reader.read(0, 1000) for reader in readers]
        for reader in readers:
            reader.close()

        assert found == [data_set(number) for number in range(6)]
        assert data_of(spool, instances[0].ref) == data_set(0)


async def test_a_segment_that_is_gone_is_named(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instance = await store(spool)
        segments(tmp_path)[0].unlink()

        with pytest.raises(SpoolFailed, match=instance.ref.segment):
            spool.open(instance.ref)


async def test_a_segment_that_was_cut_short_is_an_error_not_an_empty_read(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instance = await store(spool)
        os.truncate(segments(tmp_path)[0], instance.ref.data_set_offset)
        reader = spool.open(instance.ref)

        with pytest.raises(SpoolFailed, match="damaged"):
            await reader.read_into(memoryview(bytearray(10)), 0)
        reader.close()
