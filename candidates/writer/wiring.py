"""A writer's services over its archive, wired together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from candidates.writer.archive import Archive
from candidates.writer.commitment import ArchiveCommitment
from candidates.writer.cooling import Cooler
from candidates.writer.query.finder import Finder
from candidates.writer.query.getter import Getter
from candidates.writer.query.mover import Mover
from candidates.writer.scp import WriterService
from candidates.writer.settings import Addresses, CoolingPolicy
from candidates.writer.stow import StowUpload, StowUploads
from candidates.writer.web.requests import TOKEN
from candidates.writer.web.retrieving import Retrieving
from candidates.writer.web.searching import Searching
from router.clock import SystemClock
from router.commitment.awaited import AwaitedReports
from router.commitment.operations import CommitmentOperations
from router.dicomweb.application import PATH, Stow, StowLimits
from router.http.server import STOP_WITHIN_S, HttpServer, serve_http


@asynccontextmanager
async def serving_http(
    service: WriterService, host: str, port: int, token: str | None
) -> AsyncIterator[HttpServer]:
    """DICOMweb into and out of the archive as long as the block runs.

    Raises ``ConfigurationError``.
    """
    stow = Stow(
        StowUploads(service),
        SystemClock(),
        StowLimits(),
        readiness=tuple,
        token=token,
        conclude=StowUpload.conclude,
        token_name=TOKEN,
    )
    application = stow.application(f"studies are at {PATH}, by STOW-RS, QIDO-RS and WADO-RS")
    Retrieving(service.archive, token).add_to(application)
    Searching(service.archive, token).add_to(application)
    async with serve_http(application, host, port, key="--http") as server:
        yield server
        await server.stop_listening()
        await stow.finish(STOP_WITHIN_S)


@asynccontextmanager
async def running_service(
    ae_title: str,
    archive: Archive,
    report_to: Addresses,
    move_to: Addresses,
    cooling: tuple[str, CoolingPolicy] | None = None,
) -> AsyncIterator[WriterService]:
    """The handler for an acceptor, with all that it offers, as long as the block runs.

    ``report_to`` says who takes storage commitment reports on associations of their own,
    ``move_to`` who may be sent to by C-MOVE: host and port by AE title;
    ``cooling`` the router's HTTP address, and what is removed when.
    """
    commitment = ArchiveCommitment(archive, report_to)
    operations = CommitmentOperations(commitment, AwaitedReports())
    finder, mover, getter = Finder(archive.index), Mover(archive, move_to), Getter(archive)
    service = WriterService(ae_title, archive, [operations, finder, mover, getter])
    async with anyio.create_task_group() as tasks:
        for one in (commitment, operations, finder, mover, getter, service):
            await tasks.start(one.run)
        if cooling is not None:
            await tasks.start(Cooler(service, *cooling).run)
        yield service
        tasks.cancel_scope.cancel()
