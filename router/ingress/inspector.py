"""Examines data sets that cannot be scanned on the event loop (deflated ones) in worker threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskStatus

from router.dicom.scan_stored import scan_stored
from router.dicom.scanner import ScanLimits, ScanPlan, ScanResult
from router.domain.errors import RouterError, SpoolFull
from router.ports import SpoolWriter
from router.workers import Workers

WORKERS = 2
MAX_WAITING = 1024

Inspected = Callable[[ScanResult | RouterError], None]
"""Called on the event loop once, with what was found or with what went wrong."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    writer: SpoolWriter
    transfer_syntax_uid: str
    inspected: Inspected


class Inspector:
    """Scans spooled data sets off the loop, a few at a time, and calls back on the loop."""

    def __init__(self, plan: ScanPlan, limits: ScanLimits):
        self._plan = plan
        self._limits = limits
        self._workers = Workers(self._work, WORKERS, MAX_WAITING)

    def submit(self, writer: SpoolWriter, transfer_syntax_uid: str, inspected: Inspected) -> None:
        """Scan what ``writer`` holds; ``inspected`` gets the result.

        Raises ``SpoolFull`` where it will not: too many wait already, or the router stops.
        """
        if not self._workers.offer(_Job(writer, transfer_syntax_uid, inspected)):
            raise SpoolFull(
                f"{MAX_WAITING} deflated instances already wait for inspection, "
                "or the router is stopping; send again later"
            )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled."""
        await self._workers.run(task_status=task_status)

    async def _work(self, job: _Job) -> None:
        job.inspected(await self._scan(job))

    async def _scan(self, job: _Job) -> ScanResult | RouterError:
        try:
            return await anyio.to_thread.run_sync(
                scan_stored,
                self._plan,
                job.transfer_syntax_uid,
                self._limits,
                job.writer.read,
                job.writer.data_set_bytes,
            )
        except RouterError as fault:
            return fault
        except Exception:  # a data set that the scanner cannot stand must not end the router
            log.exception("a deflated data set could not be inspected")
            return RouterError("the data set could not be inspected; the router's log says why")
