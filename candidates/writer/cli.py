"""The command ``dicom-writer``: an embedded writer, configured by options or environment."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import anyio
import structlog
import typer

from candidates.writer.archive import Archive
from candidates.writer.cooling import CoolingPolicy
from candidates.writer.errors import WriterFailed
from candidates.writer.registration import Announcement, Registrar, RegistrationRefused
from candidates.writer.storage import Storage
from candidates.writer.verify import report_as_json, report_as_text, verify
from candidates.writer.wiring import running_service, serving_http
from router.domain.criteria import parse_criteria
from router.domain.errors import ConfigurationError, InvalidAETitle, InvalidCriteria
from router.domain.identifiers import ae_title as parse_ae_title
from router.net.acceptor import Acceptor
from router.observe.faults import faults_in
from router.observe.logging import configure_logging
from router.settings.values import parse_duration

STOP_WITHIN_S = 10.0
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = structlog.get_logger(__name__)


Addresses = dict[str, tuple[str, int]]
"""Host and port by AE title."""


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """What a writer is told when it is started; checked by the command line."""

    ae_title: str
    directory: Path
    index: Path | None  # None: in the directory
    compress: bool
    host: str
    port: int  # 0 takes a free one
    router_url: str | None  # None: registers nowhere
    criteria: str | None  # None: a backup writer
    advertised_host: str
    token: str | None
    commitment: bool  # the router shall ask for it
    report_to: Addresses
    move_to: Addresses
    http: tuple[str, int] | None  # where STOW-RS is taken
    http_token: str | None
    cooling: CoolingPolicy | None


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


Directory = Annotated[Path, typer.Option(envvar="STORAGE", help="Where instances are kept.")]
IndexPath = Annotated[
    Path | None,
    typer.Option(envvar="INDEX", help="The index, a SQLite file; default: in that folder."),
]


def _address(text: str) -> tuple[str, tuple[str, int]]:
    """AE title, host and port; raises ``ValueError``."""
    title, separator, where = text.partition("=")
    if not separator:
        raise ValueError(f"{text!r} is not AET=HOST:PORT")
    return parse_ae_title(title), _host_and_port(where)


def _host_and_port(text: str) -> tuple[str, int]:
    """Raises ``ValueError``."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or not parts.port:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return parts.hostname, parts.port


def _checked_http(value: str | None) -> str | None:
    try:
        if value:
            _host_and_port(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value or None


def _checked_addresses(values: list[str] | None) -> list[str] | None:
    try:
        for value in values or ():
            _address(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return values


def _checked_duration(value: str | None) -> str | None:
    try:
        if value:
            parse_duration(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value or None


def _cooling(
    hot_for: str | None, cold_at: list[str] | None, criteria: str | None, router: str | None
) -> CoolingPolicy | None:
    """The policy that three options make; raises ``typer.BadParameter``."""
    if hot_for is None:
        return None
    if not cold_at or router is None:
        raise typer.BadParameter("--hot-for (HOT_FOR) needs --cold-at and --router")
    try:
        return CoolingPolicy(
            parse_duration(hot_for),
            frozenset(map(parse_ae_title, cold_at)),
            parse_criteria(criteria) if criteria else None,
        )
    except (InvalidAETitle, InvalidCriteria) as error:
        raise typer.BadParameter(str(error)) from None


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    ae_title: Annotated[
        str,
        typer.Option(envvar="AE_TITLE", callback=_checked_ae_title, help="This writer's AE title."),
    ] = "WRITER",
    directory: Directory = Path("writer-data"),
    index: IndexPath = None,
    compress: Annotated[
        bool, typer.Option(envvar="COMPRESS", help="Keep compressed what gets smaller by it.")
    ] = False,
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
    commitment: Annotated[
        bool,
        typer.Option(
            envvar="COMMITMENT",
            help="Register to be asked for storage commitment of each study.",
        ),
    ] = False,
    report_to: Annotated[
        list[str] | None,
        typer.Option(
            envvar="REPORT_TO",
            callback=_checked_addresses,
            help="AET=HOST:PORT of who takes storage commitment reports on a new association.",
        ),
    ] = None,
    move_to: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MOVE_TO",
            callback=_checked_addresses,
            help="AET=HOST:PORT of who may be sent to by C-MOVE.",
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            envvar="HTTP", callback=_checked_http, help="HOST:PORT to take STOW-RS on; none: not."
        ),
    ] = None,
    http_token: Annotated[
        str | None, typer.Option(envvar="HTTP_TOKEN", help="Bearer token that STOW-RS asks for.")
    ] = None,
    hot_for: Annotated[
        str | None,
        typer.Option(
            envvar="HOT_FOR",
            callback=_checked_duration,
            help="30d: remove studies that are quiet for so long and that --cold-at has.",
        ),
    ] = None,
    cold_at: Annotated[
        list[str] | None,
        typer.Option(envvar="COLD_AT", help="AE titles of archives that keep what they get."),
    ] = None,
    cold_criteria: Annotated[
        str | None,
        typer.Option(
            envvar="COLD_CRITERIA",
            callback=_checked_criteria,
            help="Only studies that match are removed; default: all.",
        ),
    ] = None,
    log_json: Annotated[bool, typer.Option(envvar="LOG_JSON", help="Log JSON lines.")] = False,
) -> None:
    """Store what a router sends, register with it at start-up, stay registered."""
    if context.invoked_subcommand is not None:
        return
    configure_logging(json=log_json, level="INFO")
    advertised = advertise or (socket.gethostname() if host in EVERYWHERE else host)
    settings = WriterSettings(
        ae_title=ae_title,
        directory=directory,
        index=index,
        compress=compress,
        host=host,
        port=port,
        router_url=router,
        criteria=criteria,
        advertised_host=advertised,
        token=token,
        commitment=commitment,
        report_to=dict(map(_address, report_to or ())),
        move_to=dict(map(_address, move_to or ())),
        http=_host_and_port(http) if http else None,
        http_token=http_token,
        cooling=_cooling(hot_for, cold_at, cold_criteria, router),
    )
    reasons: list[str] = []
    try:
        anyio.run(serve, settings)
    except* RegistrationRefused as refusals:
        reasons += [f"the router refuses this writer: {one}" for one in faults_in(refusals)]
    except* (OSError, WriterFailed, ConfigurationError) as faults:
        reasons += [f"the writer cannot run: {one}" for one in faults_in(faults)]
    for reason in reasons:
        log.error(reason)
    if reasons:
        raise typer.Exit(1)


@app.command("verify")
def verify_command(
    directory: Directory = Path("writer-data"),
    index: IndexPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Read every attachment of a stopped writer; exit status 1 if anything is wrong."""
    configure_logging(json=False, level="WARNING")
    try:
        report = verify(directory, index)
    except (OSError, WriterFailed) as error:
        typer.echo(f"cannot verify: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(report_as_json(report) if as_json else report_as_text(report))
    if not report.is_sound:
        raise typer.Exit(1)


async def serve(settings: WriterSettings) -> None:
    """Store and stay registered until SIGTERM or SIGINT, then finish what is being received.

    Raises ``RegistrationRefused``, ``OSError`` or ``WriterFailed``, in groups or not.
    """
    async with opened_archive(settings) as archive:
        await _serve(settings, archive)


@asynccontextmanager
async def opened_archive(settings: WriterSettings) -> AsyncIterator[Archive]:
    """The archive, owned by this process as long as the block runs; raises ``WriterFailed``."""
    storage = Storage(settings.directory, compress=settings.compress)
    archive = await anyio.to_thread.run_sync(Archive.open, storage, settings.index)
    try:
        yield archive
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(archive.close)


def cooling_of(settings: WriterSettings) -> tuple[str, CoolingPolicy] | None:
    """Where to ask who has cold studies, and the policy; None: everything is kept."""
    if settings.cooling is None or settings.router_url is None:
        return None
    return settings.router_url, settings.cooling


async def _serve(settings: WriterSettings, archive: Archive) -> None:
    async with (
        running_service(
            settings.ae_title,
            archive,
            settings.report_to,
            settings.move_to,
            cooling_of(settings),
        ) as service,
        Acceptor(service, host=settings.host, port=settings.port) as acceptor,
        AsyncExitStack() as stack,
    ):
        if settings.http is not None:
            host, port = settings.http
            server = serving_http(service, host, port, settings.http_token)
            await stack.enter_async_context(server)
        log.info(
            "writer ready",
            ae_title=settings.ae_title,
            port=acceptor.port,
            directory=str(settings.directory),
        )
        await _registered_until_told_to_stop(settings, acceptor.port)
        log.info("writer stopping")
        await acceptor.drain(STOP_WITHIN_S)


async def _registered_until_told_to_stop(settings: WriterSettings, port: int) -> None:
    """No heartbeat is sent while the writer stops: it takes nothing new."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
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


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
