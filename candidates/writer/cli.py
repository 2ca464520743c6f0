"""The command ``dicom-writer``: an embedded writer, configured by options or environment."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Annotated

import anyio
import structlog
import typer

from candidates.writer.registration import Announcement, Registrar, RegistrationRefused
from candidates.writer.scp import WriterService
from candidates.writer.storage import Storage
from router.domain.criteria import parse_criteria
from router.domain.errors import RouterError
from router.domain.identifiers import ae_title as parse_ae_title
from router.net.acceptor import Acceptor
from router.observe.logging import configure_logging

STOP_WITHIN_S = 10.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = structlog.get_logger(__name__)


@app.command()
def run(
    ae_title: Annotated[
        str, typer.Option(envvar="AE_TITLE", help="This writer's AE title.")
    ] = "WRITER",
    directory: Annotated[
        Path, typer.Option(envvar="STORAGE", help="Where instances are kept.")
    ] = Path("writer-data"),
    host: Annotated[str, typer.Option(envvar="LISTEN", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", help="DICOM port; 0 takes a free one.")] = 4242,
    router: Annotated[
        str | None,
        typer.Option(envvar="ROUTER_URL", help="The router's HTTP address; none: stand alone."),
    ] = None,
    criteria: Annotated[
        str | None,
        typer.Option(
            envvar="ROUTING_CRITERIA",
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
    try:
        title = parse_ae_title(ae_title)
        if criteria:
            parse_criteria(criteria)
    except RouterError as error:
        raise typer.BadParameter(str(error)) from error
    advertised = advertise or (host if host not in ("0.0.0.0", "::") else socket.gethostname())  # noqa: S104
    try:
        anyio.run(_serve, title, directory, host, port, router, criteria, advertised, token)
    except* RegistrationRefused as refused:
        for error in refused.exceptions:
            log.error("the router refuses this writer", error=str(error))
        raise typer.Exit(1) from None


async def _serve(
    ae_title: str,
    directory: Path,
    host: str,
    port: int,
    router: str | None,
    criteria: str | None,
    advertised: str,
    token: str | None,
) -> None:
    service = WriterService(ae_title, Storage(directory))
    async with anyio.create_task_group() as tasks:
        await tasks.start(service.run)
        async with Acceptor(service, host=host, port=port) as acceptor:
            log.info("writer ready", ae_title=ae_title, port=acceptor.port, directory=str(directory))
            if router:
                announcement = Announcement(ae_title, advertised, acceptor.port, criteria)
                tasks.start_soon(Registrar(router, announcement, token).run)
            await _until_told_to_stop()
            await acceptor.drain(STOP_WITHIN_S)
        tasks.cancel_scope.cancel()


async def _until_told_to_stop() -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
