"""A few threads that do what would block the event loop, and report back in batches."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio
import structlog

DRAIN_WITHIN_S = 30.0

R = TypeVar("R")

log = structlog.get_logger(__name__)


class _Task(Generic[R]):
    __slots__ = ("_done", "_job", "_result")

    def __init__(self, job: Callable[[], R], done: Callable[[R], None]):
        self._job = job
        self._done = done

    def run(self) -> None:
        self._result = self._job()

    def call_back(self) -> None:
        self._done(self._result)


class SyncPool:
    """Runs jobs in threads and calls back on the event loop, one wake-up for all that are done.

    An async context manager: it starts its threads, and waits for the jobs under way before it
    joins them. A job must not raise. The queue needs no bound of its own: whoever submits has at
    most two jobs at a time, and there are as many of them as segments may be open.
    """

    def __init__(self, threads: int):
        self._jobs: queue.SimpleQueue[_Task[Any] | None] = queue.SimpleQueue()
        self._finished: deque[_Task[Any]] = deque()
        self._threads = [
            threading.Thread(target=self._work, name=f"spool-sync-{number}", daemon=True)
            for number in range(threads)
        ]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_waking = False
        self._unfinished = 0
        self._idle = anyio.Event()

    async def __aenter__(self) -> SyncPool:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(DRAIN_WITHIN_S):
                await self.drain()
            for _ in self._threads:
                self._jobs.put(None)
            if self._unfinished:
                log.error("the disk does not finish its flushes", unfinished=self._unfinished)
                return  # daemon threads: they hold their files, and do not keep the process
            for thread in self._threads:
                await anyio.to_thread.run_sync(thread.join)

    async def drain(self) -> None:
        """Wait until every job has been called back."""
        while self._unfinished:
            self._idle = anyio.Event()
            await self._idle.wait()

    def submit(self, job: Callable[[], R], done: Callable[[R], None]) -> None:
        """Run ``job`` in a thread; on the loop, ``done`` gets what it returned."""
        self._unfinished += 1
        self._jobs.put(_Task(job, done))

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            task.run()
            self._finished.append(task)
            if not self._is_waking and self._loop is not None:
                self._is_waking = True
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(self._call_back)

    def _call_back(self) -> None:
        self._is_waking = False  # first: what finishes from here on wakes the loop anew
        try:
            while self._finished:
                self._unfinished -= 1
                self._finished.popleft().call_back()
        finally:
            if self._finished and self._loop is not None:  # one callback failed: not the others
                self._loop.call_soon(self._call_back)
            if not self._unfinished:
                self._idle.set()
