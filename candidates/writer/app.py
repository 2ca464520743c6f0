"""A writer from its start to its end: an archive, what is offered over it, a registration."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import structlog

from candidates.writer.archive import Archive
from candidates.writer.area import open_area
from candidates.writer.registration import Announcement, Registrar
from candidates.writer.settings import WriterSettings
from candidates.writer.wiring import running_service, serving_http
from router.net.acceptor import Acceptor

STOP_WITHIN_S = 10.0

log = structlog.get_logger(__name__)


async def serve(settings: WriterSettings) -> None:
    """Store and stay registered until SIGTERM or SIGINT, then finish what is being received.

    Raises ``RegistrationRefused``, ``OSError`` or ``WriterFailed``, in groups or not.
    """
    async with opened_archive(settings) as archive:
        await _serve(settings, archive)


@asynccontextmanager
async def opened_archive(settings: WriterSettings) -> AsyncIterator[Archive]:
    """The archive, owned by this process as long as the block runs; raises ``WriterFailed``."""
    archive = await anyio.to_thread.run_sync(_open_archive, settings)
    try:
        yield archive
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(archive.close)


def _open_archive(settings: WriterSettings) -> Archive:
    storage = open_area(settings.directory, compress=settings.compress, spool=settings.spool)
    return Archive.open(storage, settings.index)


async def _serve(settings: WriterSettings, archive: Archive) -> None:
    cooling = None
    if settings.router_url is not None and settings.cooling is not None:
        cooling = settings.router_url, settings.cooling
    async with (
        running_service(
            settings.ae_title,
            archive,
            settings.report_to,
            settings.move_to,
            cooling,
        ) as service,
        Acceptor(service, host=settings.host, port=settings.port) as acceptor,
        AsyncExitStack() as stack,
    ):
        if settings.http is not None:
            where = settings.http
            server = serving_http(service, where.host, where.port, settings.http_token)
            await stack.enter_async_context(server)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            log.info(  # from here on it can be stopped
                "writer ready",
                ae_title=settings.ae_title,
                port=acceptor.port,
                directory=str(settings.directory),
            )
            await _registered_until_told_to_stop(settings, acceptor.port, signals)
        log.info("writer stopping")
        await acceptor.drain(STOP_WITHIN_S)


async def _registered_until_told_to_stop(
    settings: WriterSettings, port: int, signals: AsyncIterator[signal.Signals]
) -> None:
    """No heartbeat is sent while the writer stops: it takes nothing new."""
    async with anyio.create_task_group() as tasks:
        if settings.router_url is not None:
            announcement = Announcement(
                settings.ae_title,
                settings.advertised_host,
                port,
                settings.criteria,
                commitment=settings.commitment,
            )
            registrar = Registrar(settings.router_url, announcement, settings.token)
            tasks.start_soon(registrar.run)
        await anext(signals)
        tasks.cancel_scope.cancel()
