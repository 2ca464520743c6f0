"""Bytes of settled instances go back to the file system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from router.domain.errors import RecordReclaimed, SpoolFailed
from router.domain.instance import Instance
from router.spool.log import LocalSpool
from tests.spool.helpers import (
    LARGE,
    PART10_HEADER,
    a_spool,
    begin,
    data_of,
    data_set,
    number_of,
    recovered,
    scanned,
    seal,
    segments,
    store,
)

MIB = 1 << 20


def blocks(path: Path) -> int:
    """Bytes that a file really takes."""
    return path.stat().st_blocks * 512


async def store_three(spool: LocalSpool, size: int = 1000) -> list[Instance]:
    return [await store(spool, number, data_set(number, size)) for number in range(3)]


def numbers(instances: Sequence[Instance]) -> list[int]:
    return [number_of(instance) for instance in instances]


async def test_a_reclaimed_record_is_not_recovered(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        await spool.reclaim([instances[1].ref])

    assert numbers(await recovered(tmp_path)) == [0, 2]


async def test_one_stuck_instance_does_not_hold_the_bytes_of_its_segment(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool, MIB)
        (segment,) = segments(tmp_path)
        await spool.reclaim([instances[0].ref, instances[2].ref])

        assert blocks(segment) < 1.5 * MIB
        assert data_of(spool, instances[1].ref) == data_set(1, MIB)
        assert spool.used_bytes < 1.5 * MIB


async def test_a_segment_goes_with_its_last_record(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        await spool.reclaim([instance.ref for instance in instances])

        assert segments(tmp_path) == []
        assert spool.used_bytes == 0
        await store(spool, 4)


async def test_reclaiming_twice_changes_nothing(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        for _ in range(3):
            await spool.reclaim([instances[0].ref, instances[0].ref])
        assert data_of(spool, instances[1].ref) == data_set(1)
        for _ in range(2):
            await spool.reclaim([instance.ref for instance in instances])

        assert segments(tmp_path) == []


async def test_reclaims_at_the_same_time_do_not_count_a_record_twice(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(spool.reclaim, [instances[0].ref, instances[1].ref])

        assert data_of(spool, instances[2].ref) == data_set(2)


async def test_segments_of_former_runs_go_with_their_last_record(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        await spool.reclaim([instances[0].ref])
    async with a_spool(tmp_path) as spool:
        await spool.reclaim([instances[1].ref])
        assert data_of(spool, instances[2].ref) == data_set(2)
        await spool.reclaim([instances[2].ref])

        assert segments(tmp_path) == []
        assert spool.used_bytes == 0


async def test_a_segment_that_is_being_written_stays(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        first = await store(spool, 1)
        writer = begin(spool, 2)
        await spool.reclaim([first.ref])
        second = await seal(writer, 2).instance()

        assert second.ref.segment == first.ref.segment
        assert data_of(spool, second.ref) == data_set(2, LARGE)


async def test_a_segment_with_nothing_left_goes_when_its_lease_ends_without_a_record(
    tmp_path: Path,
) -> None:
    async with a_spool(tmp_path) as spool:
        first = await store(spool, 1)
        writer = begin(spool)
        await spool.reclaim([first.ref])
        writer.discard()

    assert segments(tmp_path) == []


async def test_a_reader_that_has_not_begun_gets_an_error_rather_than_zeros(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool, MIB)
        reader = spool.open(instances[0].ref)
        await spool.reclaim([instances[0].ref])

        with pytest.raises(SpoolFailed, match="reclaimed"):
            reader.read(0, MIB)
        reader.close()


async def test_a_reader_that_has_begun_reads_its_data_set_to_the_end(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool, MIB)
        reader = spool.open(instances[0].ref)
        begun = reader.read(0, 1000)
        await spool.reclaim([instance.ref for instance in instances])

        assert segments(tmp_path) == []
        assert begun + reader.read(1000, MIB) == data_set(0, MIB)
        reader.close()


async def test_a_reclaimed_record_cannot_be_read(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        await spool.reclaim([instances[0].ref])
        reader = spool.open(instances[0].ref)
        buffer = memoryview(bytearray(10))

        with pytest.raises(RecordReclaimed, match="send it again"):
            await reader.read_into(buffer, 0)
        reader.close()


async def test_a_reference_to_no_record_reclaims_nothing(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        (segment,) = segments(tmp_path)
        before = segment.read_bytes()
        ref = instances[1].ref
        await spool.reclaim([replace(ref, offset=ref.offset + 64), replace(ref, length=64)])

        assert segment.read_bytes() == before


async def test_a_segment_that_a_crash_left_without_any_record_is_removed(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(data_set(1, MIB))])
        (segment,) = segments(tmp_path)
        torn = segment.read_bytes()
        writer.discard()
    segment.write_bytes(torn)
    async with a_spool(tmp_path) as spool:
        assert await scanned(spool) == []

        assert segments(tmp_path) == []
        assert spool.used_bytes == 0


async def test_a_recorded_segment_that_a_crash_left_without_any_record_is_removed(
    tmp_path: Path,
) -> None:
    async with a_spool(tmp_path) as spool:
        instances = await store_three(spool)
        kept = os.open(segments(tmp_path)[0], os.O_RDONLY)
        await spool.reclaim([instance.ref for instance in instances])
    emptied = os.pread(kept, 1 << 20, 0)
    os.close(kept)
    ref = instances[-1].ref
    (tmp_path / f"{ref.segment}.seg").write_bytes(emptied)
    async with a_spool(tmp_path) as spool:
        assert await scanned(spool, {ref.segment: ref.offset + ref.length}) == []
        await spool.reclaim([])

        assert segments(tmp_path) == []
