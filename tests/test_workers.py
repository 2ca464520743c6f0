"""A bounded queue with a few workers."""

from __future__ import annotations

import anyio

from router.workers import Workers


async def test_jobs_are_done_in_their_order_and_so_many_at_once() -> None:
    at_once, begun, go_on = 0, list[int](), anyio.Event()

    async def work(job: int) -> None:
        nonlocal at_once
        begun.append(job)
        at_once += 1
        await go_on.wait()
        at_once -= 1

    workers = Workers(work, 2, 8)
    async with anyio.create_task_group() as tasks:
        await tasks.start(workers.run)
        assert all(workers.offer(job) for job in range(5))
        await anyio.wait_all_tasks_blocked()
        assert (begun, at_once) == ([0, 1], 2)
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        assert (begun, at_once) == ([0, 1, 2, 3, 4], 0)
        tasks.cancel_scope.cancel()


async def test_what_there_is_no_room_for_is_not_taken() -> None:
    workers = Workers(anyio.sleep, 1, 2)
    async with anyio.create_task_group() as tasks:
        await tasks.start(workers.run)
        assert workers.offer(60)
        await anyio.wait_all_tasks_blocked()
        assert [workers.offer(60) for _ in range(3)] == [True, True, False]
        tasks.cancel_scope.cancel()


async def test_nothing_is_taken_when_nobody_works_any_more() -> None:
    workers = Workers(anyio.sleep, 1, 2)
    async with anyio.create_task_group() as tasks:
        await tasks.start(workers.run)
        tasks.cancel_scope.cancel()

    assert not workers.offer(0)
