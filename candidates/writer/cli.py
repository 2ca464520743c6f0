"""The command ``dicom-writer``: an embedded writer, configured by options or environment.

A command imports its module when it is run: a health check waits for nothing that it does not need.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Annotated, TypeVar

import anyio
import structlog
import typer

from candidates.writer.address import parse_storage
from candidates.writer.errors import WriterFailed
from candidates.writer.index.address import parse_index
from candidates.writer.settings import (
    CoolingPolicy,
    Peer,
    WriterSettings,
    addresses_of,
    checked_criteria,
    checked_index,
    checked_storage,
    parse_application,
    parse_router_url,
)
from router.domain.criteria import parse_criteria
from router.domain.errors import ConfigurationError, RouterError
from router.domain.identifiers import ae_title as parse_ae_title
from router.observe.faults import faults_in
from router.observe.logging import configure_logging
from router.settings.values import Endpoint, parse_duration, parse_endpoint

T = TypeVar("T")

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
"""Addresses that nobody can be reached at, and where a writer is that listens on them."""

DEFAULT_AE_TITLE = "WRITER"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 4242
DEFAULT_DIRECTORY = "writer-data"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = structlog.get_logger(__name__)


def by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let ``parse`` read an option: its ``ValueError`` is what the person is told."""

    @wraps(parse)
    def parser(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parser


AETitle = Annotated[
    str,
    typer.Option(envvar="AE_TITLE", parser=by(parse_ae_title), help="This writer's AE title."),
]
Listen = Annotated[str, typer.Option(envvar="LISTEN", help="Address to listen on.")]
Port = Annotated[
    int, typer.Option(envvar="PORT", min=0, max=65535, help="DICOM port; 0 takes a free one.")
]
Directory = Annotated[
    str,
    typer.Option(
        envvar="STORAGE",
        metavar="DIRECTORY|URL",
        parser=by(checked_storage),
        help="Where instances are kept: a folder, or s3://BUCKET/PREFIX.",
    ),
]
Index = Annotated[
    str | None,
    typer.Option(
        envvar="INDEX",
        metavar="FILE|URL",
        parser=by(checked_index),
        help="The index: a SQLite file, or postgresql://USER@HOST/DATABASE; "
        "default: index.db in that folder.",
    ),
]


def _cooling(
    hot_for: timedelta | None,
    cold_at: list[str] | None,
    criteria: str | None,
    router: str | None,
) -> CoolingPolicy | None:
    """The policy that three options make; raises ``typer.BadParameter``."""
    if hot_for is None:
        return None
    if not cold_at or router is None:
        raise typer.BadParameter("--hot-for (HOT_FOR) needs --cold-at and --router")
    try:
        looked_at = parse_criteria(criteria) if criteria else None
        return CoolingPolicy(hot_for, frozenset(cold_at), looked_at)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    ae_title: AETitle = DEFAULT_AE_TITLE,
    directory: Directory = DEFAULT_DIRECTORY,
    index: Index = None,
    spool: Annotated[
        Path | None,
        typer.Option(
            envvar="SPOOL",
            help="The folder where instances stand until they are in S3; default: TMPDIR.",
        ),
    ] = None,
    compress: Annotated[
        bool, typer.Option(envvar="COMPRESS", help="Keep compressed what gets smaller by it.")
    ] = False,
    host: Listen = DEFAULT_HOST,
    port: Port = DEFAULT_PORT,
    router: Annotated[
        str | None,
        typer.Option(
            envvar="ROUTER_URL",
            parser=by(parse_router_url),
            help="The router's HTTP address; none: stand alone.",
        ),
    ] = None,
    criteria: Annotated[
        str | None,
        typer.Option(
            envvar="ROUTING_CRITERIA",
            parser=by(checked_criteria),
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
        list[Peer] | None,
        typer.Option(
            envvar="REPORT_TO",
            metavar="AET=HOST:PORT",
            parser=by(parse_application),
            help="AET=HOST:PORT of who takes storage commitment reports on a new association.",
        ),
    ] = None,
    move_to: Annotated[
        list[Peer] | None,
        typer.Option(
            envvar="MOVE_TO",
            metavar="AET=HOST:PORT",
            parser=by(parse_application),
            help="AET=HOST:PORT of who may be sent to by C-MOVE.",
        ),
    ] = None,
    http: Annotated[
        Endpoint | None,
        typer.Option(
            envvar="HTTP",
            metavar="HOST:PORT",
            parser=by(parse_endpoint),
            help="HOST:PORT to offer DICOMweb on; none: not.",
        ),
    ] = None,
    http_token: Annotated[
        str | None, typer.Option(envvar="HTTP_TOKEN", help="Bearer token that DICOMweb asks for.")
    ] = None,
    hot_for: Annotated[
        timedelta | None,
        typer.Option(
            envvar="HOT_FOR",
            metavar="DURATION",
            parser=by(parse_duration),
            help="30d: remove studies that are quiet for so long and that --cold-at has.",
        ),
    ] = None,
    cold_at: Annotated[
        list[str] | None,
        typer.Option(
            envvar="COLD_AT",
            metavar="AET",
            parser=by(parse_ae_title),
            help="AE titles of archives that keep what they get.",
        ),
    ] = None,
    cold_criteria: Annotated[
        str | None,
        typer.Option(
            envvar="COLD_CRITERIA",
            parser=by(checked_criteria),
            help="Only studies that match are removed; default: all.",
        ),
    ] = None,
    log_json: Annotated[bool, typer.Option(envvar="LOG_JSON", help="Log JSON lines.")] = False,
) -> None:
    """Store what a router sends, register with it at start-up, stay registered."""
    if context.invoked_subcommand is not None:
        return
    from candidates.writer.app import serve
    from candidates.writer.registration import RegistrationRefused

    configure_logging(json=log_json, level="INFO")
    advertised = advertise or (socket.gethostname() if host in EVERYWHERE else host)
    settings = WriterSettings(
        ae_title=ae_title,
        directory=parse_storage(directory),
        spool=spool,
        index=parse_index(index) if index else None,
        compress=compress,
        host=host,
        port=port,
        router_url=router,
        criteria=criteria,
        advertised_host=advertised,
        token=token,
        commitment=commitment,
        report_to=addresses_of(report_to),
        move_to=addresses_of(move_to),
        http=http,
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
    directory: Directory = DEFAULT_DIRECTORY,
    index: Index = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Read every attachment of a stopped writer; exit status 1 if anything is wrong."""
    from candidates.writer.verify import report_as_json, report_as_text, verify

    configure_logging(json=False, level="WARNING")
    try:
        report = verify(parse_storage(directory), parse_index(index) if index else None)
    except (OSError, WriterFailed) as error:
        typer.echo(f"cannot verify: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(report_as_json(report) if as_json else report_as_text(report))
    if not report.is_sound:
        raise typer.Exit(1)


@app.command()
def health(
    ae_title: AETitle = DEFAULT_AE_TITLE, host: Listen = DEFAULT_HOST, port: Port = DEFAULT_PORT
) -> None:
    """Ask a running writer by C-ECHO whether it answers; fails if not, for health checks."""
    from candidates.writer.health import ask_health

    try:
        anyio.run(ask_health, EVERYWHERE.get(host, host), port, ae_title)
    except RouterError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo("ready")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
