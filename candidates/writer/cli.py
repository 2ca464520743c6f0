"""The command ``dicom-writer``: an embedded writer, configured by options or environment."""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import anyio
import structlog
import typer

from candidates.writer.registration import Announcement, Registrar, RegistrationRefused
from candidates.writer.scp import WriterService
from candidates.writer.storage import Storage
from router.domain.criteria import parse_criteria
from router.domain.errors import InvalidAETitle, InvalidCriteria
from router.domain.identifiers import ae_title as parse_ae_title
from router.net.acceptor import Acceptor
from router.observe.faults import faults_in
from router.observe.logging import configure_logging

STOP_WITHIN_S = 10.0
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """What a writer is told when it is started; checked by the command line."""

    ae_title: str
    directory: Path
    host: str
    port: int  # 0 takes a free one
    router_url: str | None  # None: registers nowhere
    criteria: str | None  # None: a backup writer
    advertised_host: str
    token: str | None


def _checked_ae_title(value: str) -> str:
    try:
        return parse_ae_title(value)
    except InvalidAETitle as error:
        raise typer.BadParameter(str(error)) from None


def _checked_criteria(value: str | None) -> str | None:
    """The criteria as they were written, so that the router hears the writer's own words."""
    try:
        if value is not None:
            parse_criteria(value)
    except InvalidCriteria as error:
        raise typer.BadParameter(str(error)) from None
    return value


def _checked_url(value: str | None) -> str | None:
    if value is None or _is_http(value):
        return value
    raise typer.BadParameter(f"{value!r} is no HTTP address; write http://router:8080")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@app.command()
def run(
    ae_title: Annotated[
        str,
        typer.Option(envvar="AE_TITLE", callback=_checked_ae_title, help="This writer's AE title."),
    ] = "WRITER",
    directory: Annotated[
        Path, typer.Option(envvar="STORAGE", help="Where instances are kept.")
    ] = Path("writer-data"),
    host: Annotated[str, typer.Option(envvar="LISTEN", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(envvar="PORT", min=0, max=65535, help="DICOM port; 0 takes a free one."),
    ] = 4242,
    router: Annotated[
        str | None,
        typer.Option(
            envvar="ROUTER_URL",
            callback=_checked_url,
            help="The router's HTTP address; none: stand alone.",
        ),
    ] = None,
    criteria: Annotated[
        str | None,
        typer.Option(
            envvar="ROUTING_CRITERIA",
            callback=_checked_criteria,
            help="ATTRIBUTE|OPERATOR|VALUE; none makes this a backup writer.",
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(envvar="ADVERTISE", help="Host name that the router shall send to."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="REGISTRATION_TOKEN", help="Registration token.")
    ] = None,
    log_json: Annotated[bool, typer.Option(envvar="LOG_JSON", help="Log JSON lines.")] = False,
) -> None:
    """Store what a router sends, register with it at start-up, stay registered."""
    configure_logging(json=log_json, level="INFO")
    advertised = advertise or (socket.gethostname() if host in EVERYWHERE else host)
    settings = WriterSettings(ae_title, directory, host, port, router, criteria, advertised, token)
    reasons: list[str] = []
    try:
        anyio.run(serve, settings)
    except* RegistrationRefused as refusals:
        reasons += [f"the router refuses this writer: {one}" for one in faults_in(refusals)]
    except* OSError as faults:
        reasons += [f"the writer cannot run: {one}" for one in faults_in(faults)]
    for reason in reasons:
        log.error(reason)
    if reasons:
        raise typer.Exit(1)


async def serve(settings: WriterSettings) -> None:
    """Store and stay registered until SIGTERM or SIGINT, then finish what is being received.

    Raises ``RegistrationRefused`` or ``OSError``, in groups.
    """
    service = WriterService(settings.ae_title, Storage(settings.directory))
    async with anyio.create_task_group() as tasks:
        await tasks.start(service.run)
        async with Acceptor(service, host=settings.host, port=settings.port) as acceptor:
            log.info(
                "writer ready",
                ae_title=settings.ae_title,
                port=acceptor.port,
                directory=str(settings.directory),
            )
            await _registered_until_told_to_stop(settings, acceptor.port)
            log.info("writer stopping")
            await acceptor.drain(STOP_WITHIN_S)
        tasks.cancel_scope.cancel()


async def _registered_until_told_to_stop(settings: WriterSettings, port: int) -> None:
    """No heartbeat is sent while the writer stops: it takes nothing new."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:
            if settings.router_url is not None:
                announcement = Announcement(
                    settings.ae_title, settings.advertised_host, port, settings.criteria
                )
                registrar = Registrar(settings.router_url, announcement, settings.token)
                tasks.start_soon(registrar.run)
            await anext(signals)
            tasks.cancel_scope.cancel()


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
