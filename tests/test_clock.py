"""The contract of ``ports.Clock``, held by the real clock and by the one that tests own."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from router.clock import SystemClock
from router.ports import Clock
from tests.clock import NOON, ManualClock

CLOCKS = [SystemClock(), ManualClock()]


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)
def test_wall_time_is_utc(clock: Clock) -> None:
    assert clock.now().utcoffset() == timedelta(0)


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)
async def test_not_to_wait_returns(clock: Clock) -> None:
    with anyio.fail_after(30):
        await clock.sleep(0)


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)
async def test_to_wait_for_less_than_nothing_is_an_error(clock: Clock) -> None:
    with pytest.raises(ValueError, match=r"nothing|negative"):
        await clock.sleep(-1)


async def test_sleeping_takes_the_time_that_was_asked_for() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01


async def test_a_manual_clock_wakes_whoever_has_slept_long_enough() -> None:
    clock = ManualClock()
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with anyio.create_task_group() as tasks:
        for seconds in (3.0, 1.0, 2.0):
            tasks.start_soon(sleeper, seconds)
            await clock.asleep_until(seconds)
        clock.advance(2)
        await anyio.wait_all_tasks_blocked()
        assert woken == [1.0, 2.0]
        clock.advance(1)

    assert woken == [1.0, 2.0, 3.0]
    assert clock.now() == NOON + timedelta(seconds=3)


async def test_a_sleeper_that_gives_up_is_forgotten() -> None:
    clock = ManualClock()
    with anyio.move_on_after(0):
        await clock.sleep(1)
    assert clock.wakes_at is None


def test_a_jump_of_the_wall_clock_leaves_the_monotonic_one_alone() -> None:
    clock = ManualClock()
    clock.jump(timedelta(days=-1))
    assert clock.now() == NOON - timedelta(days=1)
    assert clock.monotonic() == 0
