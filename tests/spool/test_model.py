"""Any sequence of steps leaves exactly what a simple model says, over restarts, too."""

from __future__ import annotations

import tempfile
from pathlib import Path

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from router.domain.instance import Instance
from router.spool.log import LocalSpool
from router.spool.writer import Writer
from tests.spool.helpers import (
    PART10_HEADER,
    a_spool,
    data_of,
    data_set,
    number_of,
    scanned,
    seal,
    segments,
)

sizes = st.one_of(st.integers(0, 3000), st.just((1 << 20) + 5))
steps = st.one_of(
    st.tuples(st.just("begin"), sizes),
    st.tuples(st.sampled_from(["seal", "discard", "reclaim", "read"]), st.integers(0, 100)),
    st.tuples(st.just("restart"), st.just(0)),
)


class Model:
    """What has been done, and so what the spool must hold."""

    def __init__(self) -> None:
        self.arriving: list[tuple[int, int, Writer]] = []
        self.held: dict[int, tuple[int, Instance]] = {}
        self.begun = 0

    async def take(self, spool: LocalSpool, step: str, choice: int) -> None:
        if step == "begin":
            self.begin(spool, choice)
        elif step in ("seal", "discard") and self.arriving:
            await self.end(step, choice)
        elif step in ("reclaim", "read") and self.held:
            await self.use(spool, step, sorted(self.held)[choice % len(self.held)])

    def begin(self, spool: LocalSpool, size: int) -> None:
        self.begun += 1
        writer = spool.create(PART10_HEADER)
        writer.write([memoryview(data_set(self.begun, size))])
        self.arriving.append((self.begun, size, writer))

    async def end(self, step: str, choice: int) -> None:
        number, size, writer = self.arriving.pop(choice % len(self.arriving))
        if step == "seal":
            self.held[number] = size, await seal(writer, number).instance()
        else:
            writer.discard()

    async def use(self, spool: LocalSpool, step: str, number: int) -> None:
        size, instance = self.held[number]
        assert data_of(spool, instance.ref) == data_set(number, size)
        if step == "reclaim":
            await spool.reclaim([instance.ref])
            del self.held[number]

    def assert_holds(self, found: list[Instance]) -> None:
        expected = [self.held[number][1] for number in sorted(self.held)]
        assert sorted(found, key=number_of) == expected


async def live(directory: Path, model: Model, steps: list[tuple[str, int]]) -> None:
    """Take the steps of one run; what is still arriving at its end is lost, as in a crash."""
    async with a_spool(directory, segment_bytes=5000) as spool:
        model.assert_holds(await scanned(spool))
        for step, choice in steps:
            await model.take(spool, step, choice)
        model.arriving.clear()


async def live_and_restart(directory: Path, steps: list[tuple[str, int]]) -> None:
    model = Model()
    run: list[tuple[str, int]] = []
    for step in [*steps, ("restart", 0)]:
        if step[0] == "restart":
            await live(directory, model, run)
            run = []
        else:
            run.append(step)
    async with a_spool(directory) as spool:
        model.assert_holds(await scanned(spool))
        await spool.reclaim([instance.ref for _, instance in model.held.values()])
        assert segments(directory) == []
        assert spool.used_bytes == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_spool_holds_what_was_sealed_and_not_reclaimed(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        anyio.run(live_and_restart, Path(directory), steps)
