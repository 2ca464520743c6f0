"""``dicom-writer`` as an orchestrator runs it: an environment, signals, an exit status."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from router.dicom import statuses
from router.domain.criteria import parse_criteria
from router.registry.request import RegistrationRequest
from tests.candidates.holdings import held_in
from tests.candidates.sources import PausingModality, head_and_data_set
from tests.candidates.test_registration import StandInRouter
from tests.corpus import make_ct_series
from tests.e2e.stack import free_port

WITHIN_S = 60
COMMAND = [sys.executable, "-m", "candidates.writer.cli"]
WIDE = {"COLUMNS": "300", "TERMINAL_WIDTH": "300"}


def environment(directory: Path, **more: str) -> dict[str, str]:
    """What a container gets; nothing of it comes from who runs the tests."""
    system = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    storage = str(directory / "writer")
    return {**system, **WIDE, "PORT": "0", "STORAGE": storage, **more}


def run(directory: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a writer that cannot start."""
    return subprocess.run(
        COMMAND,
        env=environment(directory, **more),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


@asynccontextmanager
async def started(directory: Path, **more: str) -> AsyncIterator[Process]:
    """A writer process that is gone when the block ends."""
    with (directory / "log").open("wb") as log:
        process = await anyio.open_process(
            COMMAND, env=environment(directory, **more), stdout=subprocess.DEVNULL, stderr=log
        )
    async with process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def says(directory: Path, words: str) -> None:
    """Wait for words in the log of the writer."""
    with anyio.fail_after(WITHIN_S):
        while words not in (directory / "log").read_text():
            await anyio.sleep(0.02)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("AE_TITLE", "A_TITLE_THAT_IS_TOO_LONG", "has 24 characters; 16 are allowed"),
        ("AE_TITLE", r"BACK\SLASH", "without a backslash"),
        ("ROUTING_CRITERIA", "MODALITY|WITHIN|CR", "'WITHIN' is unknown"),
        ("ROUTING_CRITERIA", "MODALTY|IN|CR", "did you mean Modality?"),
        ("ROUTING_CRITERIA", "CR,DX", "is not ATTRIBUTE|OPERATOR|VALUE"),
        ("ROUTER_URL", "router:8042", "write http://router:8080"),
        ("ROUTER_URL", "http://", "is no URL"),
        ("REPORT_TO", "CT1", "is not AET=HOST:PORT"),
        ("MOVE_TO", "CT1=host:0", "expected host:port"),
        ("HTTP", "8043", "write 0.0.0.0:8043"),
        ("HOT_FOR", "30", "write it as 500ms, 5s, 2m or 1h30m"),
        ("STORAGE", "s3:///prefix", "write s3://BUCKET/PREFIX"),
        ("INDEX", "postgresql://host", "write postgresql://USER@HOST/DATABASE"),
        ("COLD_AT", "A_TITLE_THAT_IS_TOO_LONG", "16 are allowed"),
        ("PORT", "70000", "65535"),
    ],
)
def test_a_wrong_variable_is_named_before_anything_is_made(
    tmp_path: Path, variable: str, value: str, complaint: str
) -> None:
    writer = run(tmp_path, **{variable: value})

    assert writer.returncode == 2
    assert variable in writer.stderr
    assert complaint in writer.stderr
    assert not (tmp_path / "writer").exists()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        writer = run(tmp_path, PORT=str(port))

    assert writer.returncode == 1
    assert f"('127.0.0.1', {port}): address already in use" in writer.stderr
    assert "Traceback" not in writer.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "writer").write_text("a file stands here")

    writer = run(tmp_path)

    assert writer.returncode == 1
    assert f"'{tmp_path}/writer" in writer.stderr
    assert "Traceback" not in writer.stderr


async def test_a_second_writer_on_one_folder_ends_and_says_why(tmp_path: Path) -> None:
    async with started(tmp_path) as first:
        await says(tmp_path, "writer ready")

        second = await anyio.to_thread.run_sync(run, tmp_path)

    assert second.returncode == 1
    assert f"in use by process {first.pid}" in second.stderr
    assert "Traceback" not in second.stderr


async def test_a_writer_that_its_router_refuses_says_why_and_ends(tmp_path: Path) -> None:
    router = StandInRouter(status=403, page="registration is closed")

    async with router.serve() as server, started(tmp_path, ROUTER_URL=server.url) as writer:
        with anyio.fail_after(WITHIN_S):
            status = await writer.wait()

    log = (tmp_path / "log").read_text()
    assert status == 1
    assert "the router refuses this writer" in log
    assert "registration is closed" in log


async def test_the_variables_of_a_compose_file_make_a_registration(tmp_path: Path) -> None:
    router = StandInRouter()
    variables = {
        "AE_TITLE": "GENERIC",
        "LISTEN": "127.0.0.1",
        "ADVERTISE": "generic-writer",
        "ROUTING_CRITERIA": r"MODALITY\|NOT_IN\|CR,DX",
        "REGISTRATION_TOKEN": "secret",
    }

    async with router.serve() as server, started(tmp_path, ROUTER_URL=server.url, **variables):
        await router.hears(lambda: bool(router.registrations))

    said = RegistrationRequest.model_validate(router.registrations[0])
    assert (said.aet, said.host) == ("GENERIC", "generic-writer")
    assert said.criteria == parse_criteria("MODALITY|NOT_IN|CR,DX")
    assert router.authorization == "Bearer secret"


async def test_empty_criteria_make_a_backup_writer(tmp_path: Path) -> None:
    router = StandInRouter()

    async with (
        router.serve() as server,
        started(tmp_path, ROUTER_URL=server.url, ROUTING_CRITERIA=""),
    ):
        await router.hears(lambda: bool(router.registrations))

    assert "routingCriteria" not in router.registrations[0]


async def test_sigterm_lets_an_instance_that_is_being_received_be_stored(tmp_path: Path) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=512, columns=512)
    port = free_port()

    async with started(tmp_path, PORT=str(port)) as writer:
        await says(tmp_path, "writer ready")
        with PausingModality(port, path) as modality:
            modality.send_first_half()
            writer.send_signal(signal.SIGTERM)
            await says(tmp_path, "writer stopping")

            status = modality.send_second_half()

        with anyio.fail_after(WITHIN_S):
            assert await writer.wait() == 0

    assert status == statuses.SUCCESS
    [kept] = held_in(tmp_path / "writer")
    assert head_and_data_set(kept.path)[1] == head_and_data_set(path)[1]


async def test_sigterm_ends_an_idle_writer_at_once_and_its_heartbeats(tmp_path: Path) -> None:
    router = StandInRouter()

    async with router.serve() as server, started(tmp_path, ROUTER_URL=server.url) as writer:
        await router.hears(lambda: bool(router.heartbeats))
        writer.send_signal(signal.SIGTERM)
        with anyio.fail_after(WITHIN_S):
            status = await writer.wait()

    assert status == 0


def health(directory: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Ask as the health check of a container asks, with the container's environment."""
    return subprocess.run(
        [*COMMAND, "health"],
        env=environment(directory, **more),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


async def test_health_asks_the_writer_of_the_same_environment(tmp_path: Path) -> None:
    variables = {"PORT": str(free_port()), "AE_TITLE": "XRAY", "LISTEN": "0.0.0.0"}
    async with started(tmp_path, **variables):
        await says(tmp_path, "writer ready")

        asked = await anyio.to_thread.run_sync(lambda: health(tmp_path, **variables))
        other = await anyio.to_thread.run_sync(
            lambda: health(tmp_path, **{**variables, "AE_TITLE": "OTHER"})
        )

    assert (asked.returncode, asked.stdout) == (0, "ready\n")
    assert other.returncode == 1
    assert "called AE title not recognised" in other.stderr


def test_health_says_that_nobody_answers(tmp_path: Path) -> None:
    asked = health(tmp_path, PORT=str(free_port()))

    assert asked.returncode == 1
    assert "no connection" in asked.stderr


def test_health_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = health(tmp_path, PORT=str(silent.getsockname()[1]))

    assert asked.returncode == 1
    assert "no answer within 4 s" in asked.stderr
