"""What is done side by side for one candidate, and what a failure does to the rest."""

from __future__ import annotations

import anyio
import pytest

from router.delivery.destinations.parallel import side_by_side
from router.domain.errors import CandidateUnavailable


class Work:
    """Three things at a time, of which the second fails as soon as all of them have begun."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.failed = anyio.Event()
        self._all_begun = anyio.Event()

    async def do(self, number: int) -> None:
        """Begin, and wait for the failure."""
        self.begun.append(number)
        if len(self.begun) == 3:
            self._all_begun.set()
        await self._all_begun.wait()
        if number == 1:
            self.failed.set()
            raise CandidateUnavailable("gone")
        await self.failed.wait()
        await anyio.lowlevel.checkpoint()
        self.done.append(number)


async def test_no_more_things_are_done_at_a_time_than_are_allowed() -> None:
    under_way, most = 0, 0
    done: list[int] = []

    async def do(number: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.wait_all_tasks_blocked()
        under_way -= 1
        done.append(number)

    await side_by_side(range(7), 3, do)

    assert most == 3
    assert sorted(done) == list(range(7))


async def test_a_failure_cancels_what_is_under_way_and_is_raised_bare() -> None:
    work = Work()
    with anyio.fail_after(5), pytest.raises(CandidateUnavailable, match="gone"):
        await side_by_side(range(9), 3, work.do)

    assert sorted(work.begun) == [0, 1, 2]
    assert work.done == []


async def test_what_cannot_be_cancelled_is_waited_for_and_nothing_more_is_begun() -> None:
    work = Work()
    with anyio.fail_after(5), pytest.raises(CandidateUnavailable, match="gone"):
        await side_by_side(range(9), 3, work.do, finishes=True)

    assert sorted(work.begun) == [0, 1, 2]
    assert sorted(work.done) == [0, 2]
