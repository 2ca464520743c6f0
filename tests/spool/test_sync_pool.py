"""Threads that flush, and how they report back."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest

from router.spool import sync_pool
from router.spool.sync_pool import SyncPool


async def test_results_come_back_on_the_event_loop() -> None:
    threads: list[threading.Thread] = []
    results: list[int] = []
    async with SyncPool(2) as pool:

        def done(result: int) -> None:
            threads.append(threading.current_thread())
            results.append(result)

        for number in range(100):
            pool.submit(lambda number=number: number * number, done)  # type: ignore[misc]
        await pool.drain()

    assert sorted(results) == [number * number for number in range(100)]
    assert set(threads) == {threading.current_thread()}


async def test_jobs_overlap() -> None:
    both = threading.Barrier(2)
    results: list[int] = []
    async with SyncPool(2) as pool:
        for _ in range(2):
            pool.submit(lambda: both.wait(10), results.append)

    assert sorted(results) == [0, 1]


async def test_a_callback_may_submit_the_next_job() -> None:
    left = list(range(50))
    async with SyncPool(1) as pool:

        def done(_: None) -> None:
            if left:
                left.pop()
                pool.submit(lambda: None, done)

        done(None)

    assert left == []


async def test_a_callback_that_raises_spares_the_others() -> None:
    results: list[int] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    may_go_on = threading.Event()

    def done(result: int) -> None:
        results.append(result)
        raise LookupError(result)

    async with SyncPool(1) as pool:
        pool.submit(may_go_on.wait, lambda _: None)
        for number in range(5):
            pool.submit(lambda number=number: number, done)  # type: ignore[misc]
        may_go_on.set()

    assert results == [0, 1, 2, 3, 4]
    assert [type(what["exception"]) for what in complaints] == [LookupError] * 5


async def test_leaving_does_not_wait_for_ever_for_a_disk_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync_pool, "DRAIN_WITHIN_S", 0.05)
    disk_answers = threading.Event()
    late: list[bool] = []
    with anyio.fail_after(10):
        async with SyncPool(1) as pool:
            pool.submit(disk_answers.wait, late.append)

    assert late == []
    disk_answers.set()
