"""What a scan finds in segments that were cut, torn, damaged or forged."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.domain.instance import Instance
from router.spool.format import RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES
from router.spool.recovery import intact_instances
from tests.spool.helpers import (
    PART10_HEADER,
    a_spool,
    data_set,
    number_of,
    recovered,
    scanned,
    seal,
    segments,
    store,
)

SIZES = (300, 0, 700)


@dataclass(frozen=True)
class Sample:
    """A segment with a few small records, and a place to damage copies of it."""

    path: Path
    content: bytes
    instances: tuple[Instance, ...]

    def recovered_from(self, content: bytes, start: int = 0) -> list[Instance]:
        self.path.write_bytes(content)
        return list(intact_instances(self.path, start))

    def end_of(self, instance: Instance) -> int:
        """Where the last byte of a record stands that is no padding."""
        start, stop = instance.ref.offset, instance.ref.offset + instance.ref.length
        return start + len(self.content[start:stop].rstrip(b"\0"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    directory = tmp_path_factory.mktemp("spool")

    async def make() -> list[Instance]:
        async with a_spool(directory) as spool:
            return [
                await store(spool, number, data_set(number, size))
                for number, size in enumerate(SIZES)
            ]

    instances = anyio.run(make)
    (path,) = segments(directory)
    return Sample(path, path.read_bytes(), tuple(instances))


def test_a_segment_cut_at_any_byte_gives_every_record_that_is_whole(sample: Sample) -> None:
    for length in range(len(sample.content) + 1):
        whole = [instance for instance in sample.instances if sample.end_of(instance) <= length]

        assert sample.recovered_from(sample.content[:length]) == whole


def test_one_damaged_byte_costs_one_record_at_most(sample: Sample) -> None:
    for at in range(len(sample.content)):
        damaged = bytearray(sample.content)
        damaged[at] ^= 0x55
        others = [
            instance
            for instance in sample.instances
            if not instance.ref.offset <= at < instance.ref.offset + instance.ref.length
        ]
        found = sample.recovered_from(bytes(damaged))

        assert [instance for instance in found if instance in others] == others
        assert all(instance in sample.instances for instance in found)


def test_a_damaged_data_set_is_never_taken_for_intact(sample: Sample) -> None:
    victim = sample.instances[2]
    for at in range(victim.ref.file_offset, sample.end_of(victim)):
        damaged = bytearray(sample.content)
        damaged[at] ^= 1

        assert victim not in sample.recovered_from(bytes(damaged))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_garbage_anywhere_never_becomes_an_instance(sample: Sample, data: st.DataObject) -> None:
    content = bytearray(sample.content)
    at = data.draw(st.integers(0, len(content)))
    garbage = data.draw(st.binary(max_size=300))
    content[at : at + data.draw(st.integers(0, 2000))] = garbage
    found = sample.recovered_from(bytes(content))

    assert all(instance in sample.instances for instance in found)


def test_a_header_without_its_data_is_passed_over(sample: Sample) -> None:
    torn = bytearray(sample.content)
    ref = sample.instances[1].ref
    after_header = ref.offset + RECORD_HEADER_BYTES
    torn[after_header : ref.offset + ref.length] = bytes(ref.length - RECORD_HEADER_BYTES)

    assert sample.recovered_from(bytes(torn)) == [sample.instances[0], sample.instances[2]]


def test_data_without_its_header_is_no_record(sample: Sample) -> None:
    torn = bytearray(sample.content)
    offset = sample.instances[2].ref.offset
    torn[offset : offset + RECORD_HEADER_BYTES] = bytes(RECORD_HEADER_BYTES)

    assert sample.recovered_from(bytes(torn)) == list(sample.instances[:2])


def test_records_behind_a_damaged_stretch_longer_than_a_read_are_found(sample: Sample) -> None:
    size = 5 << 20
    lost = random.Random(0).randbytes(size)
    moved = sample.content + lost

    assert sample.recovered_from(moved) == list(sample.instances)


@pytest.mark.parametrize("size", [(1 << 20) - 64 * n for n in range(1, 5)] + [3 << 20])
async def test_a_damaged_header_of_a_large_record_spares_the_next(
    tmp_path: Path, size: int
) -> None:
    async with a_spool(tmp_path) as spool:
        large = await store(spool, 1, data_set(1, size))
        await store(spool, 2)
    (segment,) = segments(tmp_path)
    content = bytearray(segment.read_bytes())
    content[large.ref.offset] ^= 1
    segment.write_bytes(content)

    assert [number_of(instance) for instance in await recovered(tmp_path)] == [2]


@pytest.mark.parametrize("content", [b"", b"DRSEGM01", bytes(5000), b"\xff" * 5000])
async def test_a_file_that_is_no_segment_holds_nothing_and_goes(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "00000000000000000001-000001.seg").write_bytes(content)

    assert await recovered(tmp_path) == []
    assert segments(tmp_path) == []


async def test_a_segment_inside_a_data_set_is_data(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "other") as spool:
        await store(spool, 1)
    forged = segments(tmp_path / "other")[0].read_bytes()
    async with a_spool(tmp_path / "spool") as spool:
        padding = bytes(-(SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + len(PART10_HEADER)) % 64)
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(padding + forged)])
        ref = (await seal(writer, 2).instance()).ref
    (segment,) = segments(tmp_path / "spool")
    content = bytearray(segment.read_bytes())
    content[ref.offset] ^= 1  # so that the search looks into the data set
    segment.write_bytes(content)

    assert await recovered(tmp_path / "spool") == []


async def test_only_what_the_ledger_has_not_recorded_is_scanned(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = [await store(spool, number) for number in range(4)]
    ref = instances[1].ref
    async with a_spool(tmp_path) as spool:
        recorded = {ref.segment: ref.offset + ref.length}
        assert await scanned(spool, recorded) == instances[2:]
        last = instances[-1].ref
        assert await scanned(spool, {ref.segment: last.offset + last.length}) == []
        assert await scanned(spool, {"unknown": 0}) == instances


async def test_many_records_in_many_segments_are_all_found_in_order(tmp_path: Path) -> None:
    async with a_spool(tmp_path, segment_bytes=100_000) as spool:
        for number in range(600):
            await store(spool, number, data_set(number, 500))

    assert [number_of(instance) for instance in await recovered(tmp_path)] == list(range(600))


async def test_two_scans_find_the_same(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instances = [await store(spool, number) for number in range(4)]
    async with a_spool(tmp_path) as spool:
        assert await scanned(spool) == await scanned(spool) == instances
