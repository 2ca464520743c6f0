"""A writer's services over its archive, wired together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio

from candidates.writer.archive import Archive
from candidates.writer.commitment import ArchiveCommitment
from candidates.writer.scp import WriterService
from router.commitment.awaited import AwaitedReports
from router.commitment.operations import CommitmentOperations


@asynccontextmanager
async def running_service(
    ae_title: str, archive: Archive, report_to: Mapping[str, tuple[str, int]]
) -> AsyncIterator[WriterService]:
    """The handler for an acceptor, with all that it offers, as long as the block runs."""
    commitment = ArchiveCommitment(archive, report_to)
    operations = CommitmentOperations(commitment, AwaitedReports())
    service = WriterService(ae_title, archive, [operations])
    async with anyio.create_task_group() as tasks:
        for run in (commitment.run, operations.run, service.run):
            await tasks.start(run)
        yield service
        tasks.cancel_scope.cancel()
