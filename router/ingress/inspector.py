"""Examines data sets that cannot be scanned on the event loop (deflated ones) in worker threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

from router.dicom.scanner import ScanLimits, ScanPlan, ScanResult, scan_stored
from router.domain.errors import SpoolFull
from router.ports import SpoolWriter

WORKERS = 2
MAX_WAITING = 1024


@dataclass(frozen=True, slots=True)
class _Job:
    writer: SpoolWriter
    transfer_syntax_uid: str
    done: Callable[[ScanResult], None]


class Inspector:
    """Scans spooled data sets off the loop, a few at a time, and calls back on the loop."""

    def __init__(self, plan: ScanPlan, limits: ScanLimits):
        self._plan = plan
        self._limits = limits
        self._send, self._receive = anyio.create_memory_object_stream[_Job](MAX_WAITING)

    def submit(
        self, writer: SpoolWriter, transfer_syntax_uid: str, done: Callable[[ScanResult], None]
    ) -> None:
        """Scan what ``writer`` holds; ``done`` gets the result. Raises ``SpoolFull`` if swamped."""
        try:
            self._send.send_nowait(_Job(writer, transfer_syntax_uid, done))
        except anyio.WouldBlock as full:
            raise SpoolFull(
                f"{MAX_WAITING} deflated instances already wait for inspection; send again later"
            ) from full

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled."""
        async with self._send, self._receive, anyio.create_task_group() as tasks:
            for _ in range(WORKERS):
                tasks.start_soon(self._work)
            task_status.started()

    async def _work(self) -> None:
        async for job in self._receive:
            result = await anyio.to_thread.run_sync(
                scan_stored,
                self._plan,
                job.transfer_syntax_uid,
                self._limits,
                job.writer.read,
                job.writer.data_set_bytes,
            )
            job.done(result)
