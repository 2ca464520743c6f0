"""A bounded queue, and a few tasks that work it off: what callbacks on the event loop hand over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskStatus

Job = TypeVar("Job")


class Workers(Generic[Job]):
    """Takes jobs without waiting, and does so many of them at once, in their order."""

    def __init__(self, work: Callable[[Job], Awaitable[None]], count: int, max_waiting: int):
        """``work`` deals with its own faults: one that it raises ends :meth:`run`."""
        self._work = work
        self._count = count
        self._send, self._receive = anyio.create_memory_object_stream[Job](max_waiting)

    def offer(self, job: Job) -> bool:
        """Leave a job; False: too many wait already, or nobody works any more."""
        try:
            self._send.send_nowait(job)
        except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return False
        return True

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled; what still waits then is dropped."""
        async with self._send, self._receive, anyio.create_task_group() as tasks:
            for _ in range(self._count):
                tasks.start_soon(self._take)
            task_status.started()

    async def _take(self) -> None:
        async for job in self._receive:
            await self._work(job)
