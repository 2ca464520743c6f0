"""An agenda gives each item once, in order, as soon as its moment has come."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from router.completion.agenda import Agenda
from tests.clock import ManualClock


async def all_due(agenda: Agenda[str]) -> list[str]:
    """What falls due without any more time passing."""
    found: list[str] = []

    async def take() -> None:
        while True:
            found.append(await agenda.next())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        for _ in range(20):
            await checkpoint()
        tasks.cancel_scope.cancel()
    return found


async def test_items_come_in_the_order_of_their_moments() -> None:
    clock = ManualClock()
    agenda: Agenda[str] = Agenda(clock)
    for item, at in (("c", 3), ("a", 1), ("b", 2)):
        agenda.note(item, at)
    assert await all_due(agenda) == []
    clock.advance(2)
    assert await all_due(agenda) == ["a", "b"]
    clock.advance(1)
    assert await all_due(agenda) == ["c"]


async def test_the_earlier_of_two_moments_counts_and_the_item_comes_once() -> None:
    clock = ManualClock()
    agenda: Agenda[str] = Agenda(clock)
    agenda.note("a", 5)
    agenda.note("a", 2)
    agenda.note("a", 9)
    assert len(agenda) == 1
    clock.advance(2)
    assert await all_due(agenda) == ["a"]
    clock.advance(20)
    assert await all_due(agenda) == []


async def test_an_item_may_be_noted_again_after_it_came() -> None:
    agenda: Agenda[str] = Agenda(ManualClock())
    agenda.note("a", 0)
    assert await all_due(agenda) == ["a"]
    agenda.note("a", 0)
    assert await all_due(agenda) == ["a"]


async def test_an_item_that_was_struck_does_not_come() -> None:
    clock = ManualClock()
    agenda: Agenda[str] = Agenda(clock)
    agenda.note("a", 1)
    agenda.note("b", 1)
    agenda.strike("a")
    agenda.strike("never noted")
    clock.advance(1)
    assert await all_due(agenda) == ["b"]


async def test_a_moment_that_is_noted_while_somebody_waits_is_seen() -> None:
    clock = ManualClock()
    agenda: Agenda[str] = Agenda(clock)
    agenda.note("late", 100)
    came: list[str] = []

    async def wait() -> None:
        came.append(await agenda.next())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await clock.asleep_until(100)
            agenda.note("soon", 3)
            await clock.asleep_until(3)
            clock.advance(3)
    assert came == ["soon"]


async def test_each_item_goes_to_one_of_those_who_wait() -> None:
    agenda: Agenda[int] = Agenda(ManualClock())
    came: list[int] = []

    async def wait() -> None:
        came.append(await agenda.next())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await checkpoint()
            for item in range(3):
                agenda.note(item, 0)
    assert sorted(came) == [0, 1, 2]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 50), st.booleans())))
def test_it_never_keeps_more_than_one_moment_for_an_item(
    notes: list[tuple[str, int, bool]],
) -> None:
    agenda: Agenda[str] = Agenda(ManualClock())
    model: dict[str, int] = {}
    for item, at, struck in notes:
        if struck:
            agenda.strike(item)
            model.pop(item, None)
        else:
            agenda.note(item, at)
            model[item] = min(at, model.get(item, at))
    assert agenda._moments == model
    assert agenda._earliest() == min(model.values(), default=None)
