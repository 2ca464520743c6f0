"""Whatever changes among the candidates: who is there is woken, held studies are looked at."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import anyio
from anyio.lowlevel import checkpoint

from router.completion.determiner import Determiner
from router.completion.held import RETRY_AFTER_S, CandidateFollower
from router.domain.candidate import Candidate, CandidateState
from router.domain.errors import LedgerFailed
from tests.clock import ManualClock

XRAY = Candidate("XRAY", "writer", 4242)
BACKUP = Candidate("BACKUP", "writer", 4243)


class Held:
    """Stands for the determiner: counts how often held studies are looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.failures = 0

    async def route_unrouted(self) -> None:
        if self.failures:
            self.failures -= 1
            raise LedgerFailed("busy")
        self.looks += 1


class Following:
    """A follower at work."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.held = Held()
        self.woken: list[str] = []
        self._send, self._receive = anyio.create_memory_object_stream[Sequence[Candidate]](10)
        self.follower = CandidateFollower(
            self._changes, cast(Determiner, self.held), self.woken.append, self.clock
        )

    async def _changes(self) -> AsyncGenerator[Sequence[Candidate], None]:
        async with self._receive:
            async for candidates in self._receive:
                yield candidates

    async def change(self, *candidates: Candidate) -> list[str]:
        """The candidates are these now; who was woken."""
        self.woken.clear()
        self._send.send_nowait(candidates)
        for _ in range(20):
            await checkpoint()
        return list(self.woken)


@asynccontextmanager
async def following() -> AsyncIterator[Following]:
    work = Following()
    async with work._send, anyio.create_task_group() as tasks:
        await tasks.start(work.follower.run)
        yield work
        tasks.cancel_scope.cancel()


async def test_candidates_that_are_new_or_changed_are_woken() -> None:
    async with following() as work:
        assert await work.change(XRAY) == ["XRAY"]
        assert await work.change(XRAY, BACKUP) == ["BACKUP"]
        assert await work.change(replace(XRAY, port=104), BACKUP) == ["XRAY"]


async def test_a_candidate_that_lapses_is_left_alone_and_woken_when_it_is_back() -> None:
    async with following() as work:
        await work.change(XRAY)
        assert await work.change(replace(XRAY, state=CandidateState.LAPSED)) == []
        assert await work.change(XRAY) == ["XRAY"]


async def test_held_studies_are_determined_again_at_the_start_and_with_each_change() -> None:
    async with following() as work:
        await work.change()
        assert work.held.looks == 1
        await work.change(XRAY)
        assert work.held.looks == 2


async def test_a_ledger_that_fails_is_asked_again() -> None:
    async with following() as work:
        work.held.failures = 2
        await work.change(XRAY)
        for attempt in (1, 2):
            assert work.held.looks == 0
            await work.clock.asleep_until(attempt * RETRY_AFTER_S)
            work.clock.advance(RETRY_AFTER_S)
        await work.change(XRAY)
        assert work.held.looks == 2
