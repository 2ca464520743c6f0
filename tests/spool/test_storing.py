"""An instance on its way in: from ``create`` to ``sealed``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
import xxhash

from router.domain.errors import ConfigurationError, RouterError, SpoolFailed, SpoolFull
from router.domain.instance import Disposition, Instance
from router.spool.writer import Writer
from tests.spool.helpers import (
    FACTS,
    LARGE,
    PART10_HEADER,
    PROVENANCE,
    Outcome,
    a_spool,
    begin,
    data_of,
    data_set,
    identity,
    number_of,
    recovered,
    scanned,
    seal,
    segments,
    store,
)


async def test_a_sealed_instance_is_what_was_handed_over(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(b"abc"), memoryview(b"def")])
        writer.write([memoryview(b"ghi")])
        outcome = Outcome()
        writer.seal(identity(7), PROVENANCE, FACTS, Disposition.QUARANTINED, "why", outcome)
        instance = await outcome.instance()

        assert instance.identity == identity(7)
        assert instance.provenance == PROVENANCE
        assert instance.facts == FACTS
        assert (instance.disposition, instance.reason) == (Disposition.QUARANTINED, "why")
        assert instance.checksum == f"{xxhash.xxh3_64_intdigest(b'abcdefghi'):016x}"
        assert data_of(spool, instance.ref) == b"abcdefghi"


async def test_the_record_holds_a_part_10_stream(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        ref = (await store(spool, data=b"a data set")).ref
        stored = segments(tmp_path)[0].read_bytes()

        stream = stored[ref.file_offset : ref.file_offset + ref.file_length]
        assert stream == PART10_HEADER + b"a data set"
        assert stored[ref.data_set_offset :].startswith(b"a data set")
        assert ref.data_set_length == len(b"a data set")


async def test_sealed_is_called_once_and_not_before_seal_returns(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        outcome = seal(writer)

        assert outcome.calls == 0
        await outcome.instance()
        assert outcome.calls == 1


async def test_an_instance_without_a_data_set_is_stored_too(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        instance = await seal(spool.create(PART10_HEADER)).instance()

        assert instance.ref.data_set_length == 0
        assert instance.ref.file_length == len(PART10_HEADER)
    assert await recovered(tmp_path) == [instance]


async def test_more_fragments_than_one_system_call_takes_are_written(tmp_path: Path) -> None:
    data = data_set(1, 5000)
    fragments = [memoryview(data)[at : at + 1] for at in range(len(data))]
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        writer.write(fragments)

        assert writer.data_set_bytes == len(data)
        assert data_of(spool, (await seal(writer).instance()).ref) == data


async def test_a_large_object_is_written_back_while_it_arrives(tmp_path: Path) -> None:
    piece = data_set(1, 1 << 20)
    async with a_spool(tmp_path, segment_bytes=1 << 20) as spool:
        writer = spool.create(PART10_HEADER)
        for _ in range(40):
            writer.write([memoryview(piece)])
            await anyio.lowlevel.checkpoint()
        instance = await seal(writer).instance()

        assert instance.ref.data_set_length == 40 << 20
    assert await recovered(tmp_path) == [instance]


async def test_views_are_not_kept(tmp_path: Path) -> None:
    shared = bytearray(b"first")
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(shared)])
        shared[:] = b"other"
        writer.write([memoryview(shared)])

        assert data_of(spool, (await seal(writer).instance()).ref) == b"firstother"


async def test_what_is_written_can_be_read_before_it_is_sealed(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        assert writer.read(0, 10) == b""
        writer.write([memoryview(b"0123456789")])

        assert writer.read(0, 4) == b"0123"
        assert writer.read(8, 100) == b"89"
        assert writer.read(50, 100) == b""
        writer.discard()


async def test_nothing_of_a_discarded_record_can_be_read_through_the_next(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        first = spool.create(PART10_HEADER)
        first.write([memoryview(b"the secret of another patient")])
        first.discard()
        second = spool.create(PART10_HEADER)
        second.write([memoryview(b"short")])

        assert first.read(0, 100) == b""
        assert second.read(0, 100) == b"short"
        second.discard()


@pytest.mark.parametrize("size", [0, 1, 1000, 3 << 20])
async def test_nothing_of_a_discarded_record_is_recovered(tmp_path: Path, size: int) -> None:
    async with a_spool(tmp_path) as spool:
        before = await store(spool, 1)
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(data_set(2, size))])
        writer.discard()
        after = await store(spool, 3)

    assert set(map(number_of, await recovered(tmp_path))) == {1, 3}
    assert before.ref != after.ref


async def test_a_large_discarded_record_gives_its_bytes_back(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        await store(spool, 1)
        used = spool.used_bytes
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(data_set(2, 3 << 20))])
        assert spool.used_bytes > used + (3 << 20)
        writer.discard()

        assert spool.used_bytes == used
        await store(spool, 3)
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 1 << 20


async def test_discard_after_seal_does_nothing(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(b"kept")])
        outcome = seal(writer)
        writer.discard()
        meanwhile = await store(spool, data=b"beside it")
        instance = await outcome.instance()
        writer.discard()

        assert data_of(spool, instance.ref) == b"kept"
        assert data_of(spool, meanwhile.ref) == b"beside it"


async def test_seal_after_discard_refuses(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        writer = spool.create(PART10_HEADER)
        writer.discard()
        writer.discard()

        with pytest.raises(SpoolFailed):
            await seal(writer).instance()


async def test_instances_one_after_another_share_a_segment(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        refs = [(await store(spool, number)).ref for number in range(5)]

        assert len(segments(tmp_path)) == 1
        assert [ref.offset for ref in refs[1:]] == [ref.offset + ref.length for ref in refs[:-1]]


@pytest.mark.parametrize(("size", "segments"), [(3000, 1), (3 * LARGE, 20)])
async def test_instances_that_arrive_together_do_not_disturb_each_other(
    tmp_path: Path, size: int, segments: int
) -> None:
    async with a_spool(tmp_path) as spool:
        writers = [spool.create(PART10_HEADER) for _ in range(20)]
        third = size // 3
        for piece in range(3):
            for number, writer in enumerate(writers):
                writer.write([memoryview(data_set(number, size))[piece * third :][:third]])
        outcomes = [seal(writer, number) for number, writer in enumerate(writers)]
        instances = [await outcome.instance() for outcome in outcomes]

        assert len({instance.ref.segment for instance in instances}) == segments
        for number, instance in enumerate(instances):
            assert data_of(spool, instance.ref) == data_set(number, size)
    assert {number_of(instance) for instance in await recovered(tmp_path)} == set(range(20))


async def test_small_instances_that_are_sealed_together_are_acknowledged_in_order(
    tmp_path: Path,
) -> None:
    order: list[int] = []
    async with a_spool(tmp_path) as spool:
        for number in range(600):  # more than one group
            writer = begin(spool, number, 100)

            def sealed(result: Instance | RouterError) -> None:
                assert isinstance(result, Instance)
                order.append(number_of(result))

            writer.seal(identity(number), PROVENANCE, FACTS, Disposition.ACCEPTED, "", sealed)
    assert sorted(order) == list(range(600))
    in_place = sorted(await recovered(tmp_path), key=lambda i: (i.ref.segment, i.ref.offset))
    by_segment: dict[str, list[int]] = {}
    for instance in in_place:
        by_segment.setdefault(instance.ref.segment, []).append(number_of(instance))
    for numbers in by_segment.values():
        assert numbers == [number for number in order if number in numbers]


async def test_who_fails_to_listen_keeps_no_other_from_hearing(tmp_path: Path) -> None:
    def sealed(_: Instance | RouterError) -> None:
        raise ValueError("a fault of the listener's own")

    async with a_spool(tmp_path) as spool:
        first = seal(begin(spool, 1, 100), 1)
        begin(spool, 2, 100).seal(identity(2), PROVENANCE, FACTS, Disposition.ACCEPTED, "", sealed)
        third = seal(begin(spool, 3, 100), 3)
        assert [number_of(await one.instance()) for one in (first, third)] == [1, 3]
        await store(spool, 4)
    assert {number_of(instance) for instance in await recovered(tmp_path)} == {1, 2, 3, 4}


async def test_a_disk_that_does_not_keep_up_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.spool.log.MAX_HELD_BYTES", 100_000)
    async with a_spool(tmp_path) as spool:
        outcomes = [seal(begin(spool, number, 30_000), number) for number in range(4)]
        with pytest.raises(SpoolFull, match="does not keep up"):
            spool.create(PART10_HEADER)
        for outcome in outcomes:
            await outcome.instance()
        await store(spool, 9)


async def test_a_segment_that_has_grown_is_closed(tmp_path: Path) -> None:
    async with a_spool(tmp_path, segment_bytes=10_000) as spool:
        for number in range(3):
            await store(spool, number, data_set(number, 12_000))

        assert len(segments(tmp_path)) == 3
        assert spool.open_segments == 0


async def test_too_many_large_instances_at_a_time_are_refused(tmp_path: Path) -> None:
    async with a_spool(tmp_path, max_open_segments=2) as spool:
        writers = [begin(spool), begin(spool)]
        with pytest.raises(SpoolFull, match="2 large instances are arriving"):
            begin(spool)
        writers[0].discard()

        begin(spool).discard()
        begin(spool)
        await store(spool)  # a small one takes no place among them


async def test_a_spool_beyond_its_limit_refuses_until_bytes_are_reclaimed(tmp_path: Path) -> None:
    async with a_spool(tmp_path, max_bytes=20_000) as spool:
        first = await store(spool, 1, data_set(1, 15_000))
        await store(spool, 2, data_set(2, 15_000))
        with pytest.raises(SpoolFull, match="max_bytes"):
            spool.create(PART10_HEADER)
        await spool.reclaim([first.ref])

        await store(spool, 3)


def write_all(writer: Writer, pieces: Sequence[memoryview]) -> None:
    for piece in pieces:
        writer.write([piece])


async def test_an_instance_that_outgrows_the_limit_is_refused_while_it_comes(
    tmp_path: Path,
) -> None:
    pieces = [memoryview(bytes(1 << 20))] * 32
    async with a_spool(tmp_path, max_bytes=20 << 20) as spool:
        await store(spool, 1)
        used, writer = spool.used_bytes, spool.create(PART10_HEADER)
        with pytest.raises(SpoolFull, match="max_bytes"):
            write_all(writer, pieces)
        writer.discard()

        assert spool.used_bytes == used
        await store(spool, 2)


async def test_the_limit_counts_what_former_runs_left(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        await store(spool, 1, data_set(1, 50_000))
    async with a_spool(tmp_path, max_bytes=40_000) as spool:
        with pytest.raises(SpoolFull):
            spool.create(PART10_HEADER)


async def test_a_disk_below_its_reserve_refuses_new_instances(tmp_path: Path) -> None:
    async with a_spool(tmp_path, min_free_bytes=1 << 62) as spool:
        with pytest.raises(SpoolFull, match="min_free"):
            spool.create(PART10_HEADER)


async def test_a_spool_belongs_to_one_process(tmp_path: Path) -> None:
    async with a_spool(tmp_path):
        with pytest.raises(ConfigurationError, match="another router"):
            async with a_spool(tmp_path):
                pass
    async with a_spool(tmp_path):
        pass


async def test_a_missing_directory_is_created_with_its_parents(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "data" / "spool") as spool:
        await store(spool)


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SpoolFailed, match="file"):
        async with a_spool(tmp_path / "file" / "spool"):
            pass


async def test_leaving_waits_for_flushes_under_way(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        outcomes = [seal(spool.create(PART10_HEADER), number) for number in range(10)]

    assert [outcome.calls for outcome in outcomes] == [1] * 10
    assert len(await recovered(tmp_path)) == 10


async def test_a_run_that_stored_nothing_leaves_no_segment(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        begin(spool).discard()
        assert len(segments(tmp_path)) == 1

    assert segments(tmp_path) == []


async def test_a_run_appends_nothing_to_the_segments_of_a_former_one(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as spool:
        await store(spool, 1)
    (former,) = segments(tmp_path)
    before = former.read_bytes()
    async with a_spool(tmp_path) as spool:
        await store(spool, 2)
        assert [number_of(instance) for instance in await scanned(spool)] == [1]

    assert former.read_bytes() == before
    assert len(segments(tmp_path)) == 2


async def test_room_for_small_records_is_made_ahead_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.spool.segment.rewrites_in_place", lambda _: True)
    async with a_spool(tmp_path) as spool:
        stored = [await store(spool, number, data_set(number, 50_000)) for number in range(40)]
        largest = max(segments(tmp_path), key=lambda path: path.stat().st_size)
        held = max(i.ref.offset + i.ref.length for i in stored if i.ref.segment == largest.stem)
        assert largest.stat().st_size - held > 50_000
    assert largest.stat().st_size == held
    async with a_spool(tmp_path) as spool:
        found = {number_of(i): data_of(spool, i.ref) for i in await scanned(spool)}
    assert found == {number: data_set(number, 50_000) for number in range(40)}
    assert len(segments(tmp_path)) == 2  # records go into the other one while room is made


async def test_large_records_get_no_room_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.spool.segment.rewrites_in_place", lambda _: True)
    async with a_spool(tmp_path) as spool:
        for number in range(4):
            last = await store(spool, number, data_set(number, 500_000))
        (segment,) = segments(tmp_path)
        assert segment.stat().st_size <= last.ref.offset + last.ref.length
