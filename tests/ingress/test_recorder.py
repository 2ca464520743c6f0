"""The recorder writes everything that was handed over, in order, however the ledger behaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio
from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from router.domain.errors import LedgerFailed
from router.domain.instance import Instance, Refusal
from router.domain.study import RevisionKey
from router.ingress.recorder import (
    BATCH,
    BATCH_BYTES,
    LOG_EVERY,
    RETRY_AFTER_S,
    Arrival,
    Recorder,
)
from router.ledger.ledger import open_ledger
from router.ports import Ledger
from tests.clock import ManualClock
from tests.ledger.builders import instance, refusal

KEY = RevisionKey(1, "1.2.3", 1)


def carrying(size: int) -> Instance:
    """An instance with so many bytes of text."""
    usual = instance(1)
    return replace(usual, ref=replace(usual.ref, length=usual.ref.file_length + size))


class SlowLedger:
    """A ledger that takes a batch when it is let, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Arrival]] = []
        self.failures = 0
        self.attempts = 0
        self.gate = anyio.Event()
        self.gate.set()
        self.keeps_taking: Callable[[], None] | None = None
        """What goes on at the door while a batch is written."""

    async def record(self, arrivals: Sequence[Arrival]) -> Sequence[RevisionKey | None]:
        self.attempts += 1
        await self.gate.wait()
        if self.keeps_taking is not None:
            self.keeps_taking()
        if self.failures:
            self.failures -= 1
            raise LedgerFailed("the disk is full")
        self.batches.append(arrivals)
        return [KEY if isinstance(arrival, Instance) else None for arrival in arrivals]


class Recording:
    """A recorder at work, and what it told."""

    def __init__(self, ledger: Ledger, **limits: int):
        self.clock = ManualClock()
        self.told: list[tuple[Instance, RevisionKey | None]] = []
        self.recorder = Recorder(ledger, self.clock, self.told.extend, **limits)

    async def flush(self) -> None:
        with anyio.fail_after(10):
            await self.recorder.flush()

    async def rest(self) -> None:
        for _ in range(10):
            await checkpoint()


@asynccontextmanager
async def recording(ledger: SlowLedger | Ledger, **limits: int) -> AsyncIterator[Recording]:
    work = Recording(cast(Ledger, ledger), **limits)
    async with anyio.create_task_group() as tasks:
        await tasks.start(work.recorder.run)
        yield work
        tasks.cancel_scope.cancel()


async def test_what_is_handed_over_while_a_batch_is_written_makes_the_next_batch() -> None:
    ledger = SlowLedger()
    async with recording(ledger) as work:
        ledger.gate = anyio.Event()
        work.recorder.put(instance(0))
        await work.rest()
        for number in (1, 2, 3):
            work.recorder.put(instance(number))
        assert work.recorder.lag == 4
        ledger.gate.set()
        await work.flush()
        assert ledger.batches == [[instance(0)], [instance(1), instance(2), instance(3)]]
        assert work.recorder.lag == 0


async def test_no_batch_is_larger_than_its_bound() -> None:
    ledger = SlowLedger()
    async with recording(ledger) as work:
        for number in range(BATCH + 1):
            work.recorder.put(instance(number))
        await work.flush()
        assert [len(batch) for batch in ledger.batches] == [BATCH, 1]


async def test_who_asked_is_told_of_every_instance_and_of_no_refusal() -> None:
    async with recording(SlowLedger()) as work:
        for arrival in (instance(0), refusal(), instance(1)):
            work.recorder.put(arrival)
        await work.flush()
        assert work.told == [(instance(0), KEY), (instance(1), KEY)]


async def test_a_ledger_that_fails_is_tried_again_with_the_same_batch() -> None:
    ledger = SlowLedger()
    ledger.failures = 3
    async with recording(ledger) as work:
        work.recorder.put(instance(0))
        for attempt in range(1, 4):
            await work.clock.asleep_until(attempt * RETRY_AFTER_S)
            assert work.told == []
            work.clock.advance(RETRY_AFTER_S)
        await work.flush()
        assert ledger.batches == [[instance(0)]]
        assert work.told == [(instance(0), KEY)]


async def test_a_ledger_that_stays_away_is_reported_now_and_then_and_so_is_its_return() -> None:
    ledger = SlowLedger()
    ledger.failures = LOG_EVERY + 1
    async with recording(ledger) as work:
        with capture_logs() as logs:
            work.recorder.put(instance(0))
            for attempt in range(1, LOG_EVERY + 2):
                await work.clock.asleep_until(attempt * RETRY_AFTER_S)
                work.clock.advance(RETRY_AFTER_S)
            await work.flush()
        assert [(line["log_level"], line["waiting"]) for line in logs] == [
            ("error", 1),
            ("error", 1),
            ("info", 1),
        ]


async def test_it_says_when_it_is_behind_and_when_it_has_caught_up() -> None:
    ledger = SlowLedger()
    async with recording(ledger, limit=3) as work:
        ledger.gate = anyio.Event()
        work.recorder.put(instance(0))
        await work.rest()
        behind = []
        for number in (1, 2):
            work.recorder.put(instance(number))
            behind.append(work.recorder.is_behind)  # what is being written counts, too
        ledger.gate.set()
        await work.flush()
        assert [*behind, work.recorder.is_behind] == [False, True, False]


async def test_arrivals_that_carry_much_text_count_by_their_size() -> None:
    ledger = SlowLedger()
    ledger.gate = anyio.Event()
    async with recording(ledger, limit_bytes=1000) as work:
        small, large = instance(0), carrying(1000)
        work.recorder.put(small)
        before = work.recorder.is_behind
        work.recorder.put(large)
        behind = work.recorder.is_behind
        ledger.gate.set()
        await work.flush()
        assert [before, behind, work.recorder.is_behind] == [False, True, False]


async def test_a_batch_is_bounded_by_its_size_too() -> None:
    ledger = SlowLedger()
    async with recording(ledger) as work:
        for _ in range(5):
            work.recorder.put(carrying(BATCH_BYTES // 2))
        await work.flush()
        assert [len(batch) for batch in ledger.batches] == [2, 2, 1]


async def test_flushing_waits_for_what_was_handed_over_and_not_for_what_comes_meanwhile() -> None:
    ledger = SlowLedger()
    async with recording(ledger) as work:
        await work.flush()
        ledger.gate = anyio.Event()
        work.recorder.put(instance(0))
        await work.rest()
        work.recorder.put(instance(1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work.flush)
            await work.rest()
            work.recorder.put(instance(2))
            ledger.keeps_taking = lambda: work.recorder.put(instance(len(work.told)))
            ledger.gate.set()
        assert len(work.told) >= 2
        assert work.recorder.lag > 0
        ledger.keeps_taking = None


async def test_arrivals_are_in_a_real_ledger_with_the_revisions_they_joined(
    tmp_path: Path,
) -> None:
    async with open_ledger(tmp_path / "ledger.db") as ledger, recording(ledger) as work:
        arrivals: list[Instance | Refusal] = [
            instance(number, study=f"1.2.{number % 7}") for number in range(2500)
        ]
        for arrival in arrivals:
            work.recorder.put(arrival)
        work.recorder.put(refusal())
        await work.flush()
        assert [told for told, _ in work.told] == arrivals
        assert all(
            key is not None and key.study_instance_uid == told.identity.study_instance_uid
            for told, key in work.told
        )
        counts = await ledger.views.counts()
        assert (counts.instances, sum(counts.refusals.values())) == (2500, 1)
