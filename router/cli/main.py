"""The command ``dicom-router``: arguments only; each command's work is in a module of its own.

A command imports its module when it is run: none waits for what only others need, and a router
that serves keeps nothing of it in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import anyio
import typer

from router import __version__
from router.domain.errors import RouterError
from router.observe.faults import faults_in
from router.observe.logging import configure_logging
from router.settings.load import load_settings

DEFAULT_CONFIG = Path("config/router.yaml")
DEFAULT_URL = "http://127.0.0.1:8080"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A DICOM router: one AE title in, every matching writer out.",
)

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="ROUTER_CONFIG", help="The routing YAML.")
]
Url = Annotated[str, typer.Option("--url", envvar="ROUTER_URL", help="HTTP address of the router.")]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="REGISTRATION_TOKEN", help="The registration token."),
]
DeliveryNumber = Annotated[int, typer.Argument(min=1, help="Number of a delivery.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def serve(
    config: Config = DEFAULT_CONFIG,
    log_json: Annotated[bool, typer.Option(help="Log JSON lines.")] = False,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Run the router until SIGTERM or SIGINT."""
    from router.app import serve as serve_router

    try:
        configure_logging(json=log_json, level=log_level)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--log-level") from None
    anyio.run(serve_router, load_settings(config))


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="The routing YAML.")], as_json: AsJson = False
) -> None:
    """Say whether a routing YAML is right, and if not, where and what to write instead."""
    from router.cli import checking

    if not checking.check(config, as_json):
        raise typer.Exit(2)


@app.command()
def explain(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Part 10 files; those of one study are judged together.",
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    url: Annotated[
        str | None, typer.Option("--url", help="Ask this router for its registered candidates too.")
    ] = None,
    calling: Annotated[str, typer.Option(help="Calling AE title to assume.")] = "MODALITY",
    as_json: AsJson = False,
) -> None:
    """Say what discard filters and criteria make of files, and why; nothing is sent."""
    from router.cli import explaining

    if not explaining.explain(files, load_settings(config), url, calling, as_json):
        raise typer.Exit(1)


@app.command()
def send(
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="Part 10 files, or folders of them.")
    ],
    to: Annotated[str, typer.Option(help="host:port of the router.")] = "127.0.0.1:11112",
    called: Annotated[str, typer.Option(help="Called AE title.")] = "ROUTER",
    calling: Annotated[str, typer.Option(help="Calling AE title.")] = "MODALITY",
    associations: Annotated[int, typer.Option(min=1, max=64, help="How many at once.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Send files as a modality does; fails if anything was not accepted."""
    from router.cli import sending

    if not sending.send(paths, to, called, calling, associations, as_json):
        raise typer.Exit(1)


@app.command("import")
def import_media(
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="Folders, ZIP archives, DICOMDIRs, files.")
    ],
    to: Annotated[str, typer.Option(help="host:port of the router.")] = "127.0.0.1:11112",
    called: Annotated[str, typer.Option(help="Called AE title.")] = "ROUTER",
    calling: Annotated[str, typer.Option(help="Calling AE title.")] = "IMPORT",
    associations: Annotated[int, typer.Option(min=1, max=64, help="How many at once.")] = 4,
    max_unpacked: Annotated[
        str, typer.Option(help="An archive that unpacks to more is refused.")
    ] = "50GiB",
    as_json: AsJson = False,
) -> None:
    """Bring in what is on media, and account for every file; fails if any was not stored."""
    from router.cli import importing
    from router.settings.values import parse_size

    try:
        limit = parse_size(max_unpacked)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-unpacked") from None
    if not importing.import_media(paths, to, called, calling, associations, limit, as_json):
        raise typer.Exit(1)


@app.command()
def candidates(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the candidates of a running router."""
    from router.cli import remote

    remote.candidates(url, as_json)


@app.command()
def studies(
    study: Annotated[str | None, typer.Argument(help="One Study Instance UID.")] = None,
    url: Url = DEFAULT_URL,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List studies, newest first; or say all about one: decisions, reasons, where it is."""
    from router.cli import remote

    if study is None:
        remote.studies(url, limit, as_json)
    else:
        remote.study(url, study, as_json)


@app.command()
def deliveries(
    delivery: Annotated[int | None, typer.Argument(min=1, help="One by its number.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only those that are dead, retrying, pending, …")
    ] = None,
    candidate: Annotated[str | None, typer.Option(help="Only those to this AE title.")] = None,
    url: Url = DEFAULT_URL,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first, with their numbers; or say all about one: every attempt."""
    from router.cli import remote

    if delivery is None:
        remote.deliveries(url, state, candidate, limit, as_json)
    else:
        remote.delivery(url, delivery, as_json)


@app.command()
def retry(
    delivery: DeliveryNumber,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Attempt a dead or waiting delivery now, with what its candidate refused."""
    from router.cli import remote

    remote.retry(url, delivery, token, as_json)


@app.command()
def redirect(
    delivery: DeliveryNumber,
    ae_title: Annotated[str, typer.Argument(metavar="AET", help="Who gets it instead.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Deliver to another candidate instead."""
    from router.cli import remote

    remote.redirect(url, delivery, ae_title, token, as_json)


@app.command()
def dismiss(
    delivery: DeliveryNumber,
    reason: Annotated[str, typer.Argument(help="Why it is not needed.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Say that a delivery is not needed: its study settles without it."""
    from router.cli import remote

    remote.dismiss(url, delivery, reason, token, as_json)


@app.command()
def resend(
    study: Annotated[str, typer.Argument(help="A Study Instance UID.")],
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="AET", help="Who gets it; else all that the study was given to."),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Send again what the spool still holds of a study."""
    from router.cli import remote

    remote.resend(url, study, to or (), token, as_json)


@app.command()
def complete(
    study: Annotated[str, typer.Argument(help="A Study Instance UID.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Say that all of a study has arrived: it goes to its candidates now."""
    from router.cli import remote

    remote.complete(url, study, token, as_json)


@app.command()
def health(
    url: Url = DEFAULT_URL,
    alive: Annotated[
        bool, typer.Option("--alive", help="Ask only whether it runs, not whether it takes in.")
    ] = False,
) -> None:
    """Say whether a router takes instances in; fails if not, for health checks of containers."""
    from router.cli.health import ask_health

    try:
        ask_health(url, "/healthz" if alive else "/readyz")
    except RouterError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo("alive" if alive else "ready")


@app.command()
def demo() -> None:
    """Start a router and three writers, send real studies, prove where every byte arrived."""
    from router.demo.run import run_demo

    if not anyio.run(run_demo):
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point: errors that a person can act on are printed, not traced."""
    configure_logging(json=False, level="WARNING")  # commands log to stderr, too
    reasons: list[str] = []
    try:
        app()
    except* RouterError as errors:
        reasons += map(str, faults_in(errors))
    except* OSError as errors:  # an address that is taken, a folder that is not ours, a full disk
        reasons += map(str, faults_in(errors))
    if reasons:
        from router.cli.output import fail

        fail("\n".join(reasons))
        raise SystemExit(2)


if __name__ == "__main__":
    main()
