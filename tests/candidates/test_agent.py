"""The agent keeps a writer registered that cannot register itself: real router, real writer."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from candidates.agent import dicom_router_agent
from tests.corpus import make_ct_series
from tests.e2e.stack import (
    Process,
    RouterProcess,
    WriterProcess,
    data_set_of,
    free_port,
    running,
    wait_until,
)
from tests.peers import dcmtk, require, storescp

AGENT = Path(dicom_router_agent.__file__)
OLDEST_PYTHON = (3, 9)
LEASE = {"registration": {"lease": "2s", "heartbeat": "300ms"}}
QUICK = {"completion": {"quiet_after": "200ms", "stable_after": "5s"}}


def agent_process(folder: Path, port: int, router_url: str, *arguments: str) -> Process:
    """The agent for a writer, as an operator starts it."""
    environment = {
        "ROUTER_URL": router_url,
        "AE_TITLE": "ARCHIVE",
        "ADVERTISE": "127.0.0.1",
        "PORT": str(port),
    }
    module = "candidates.agent.dicom_router_agent"
    return Process("agent", [module, *arguments], folder / "agent.log", environment)


def candidate(router: RouterProcess) -> Any:
    """What the router knows of the writer; None if nothing."""
    found: list[Any] = router.get("/candidates")["candidates"]
    return next((one for one in found if one["ae_title"] == "ARCHIVE"), None)


def is_in(router: RouterProcess, state: str) -> bool:
    """Whether the writer is in a state."""
    found = candidate(router)
    return found is not None and found["state"] == state


@contextmanager
def registered(tmp_path: Path, *arguments: str) -> Iterator[tuple[RouterProcess, Process, int]]:
    """A router and the agent of a storescp that is there; its port."""
    router = RouterProcess(tmp_path / "router", {**LEASE, **QUICK})
    with storescp(tmp_path / "archive", "-aet", "ARCHIVE") as archive:
        agent = agent_process(tmp_path, archive.port, router.url, *arguments)
        with running(router, agent):
            wait_until(lambda: is_in(router, "live"), "the agent has registered the writer")
            yield router, agent, archive.port


def test_a_writer_that_cannot_register_itself_gets_studies(tmp_path: Path) -> None:
    sent = make_ct_series(tmp_path / "study", instances=3, rows=16, columns=16)
    with registered(tmp_path, "--criteria", r"MODALITY\|IN\|CT,MR") as (router, _, _):
        send = ("-aec", "ROUTER", "127.0.0.1", str(router.dicom_port), str(tmp_path / "study"))
        dcmtk("dcmsend", "+sd", *send)
        wait_until(
            lambda: len([*(tmp_path / "archive").iterdir()]) == len(sent), "the study arrives"
        )
        criteria = candidate(router)["criteria"]
    stored = {data_set_of(path) for path in (tmp_path / "archive").iterdir()}
    assert stored == {data_set_of(path) for path in sent}
    assert criteria == "Modality|IN|CT,MR"


def test_more_keys_of_the_registration_are_passed_on(tmp_path: Path) -> None:
    with registered(tmp_path, "--set", "priority=urgent", "--set", "required=false") as here:
        found = candidate(here[0])
    assert (found["priority"], found["required"], found["criteria"]) == ("urgent", False, None)


def test_a_writer_that_does_not_answer_lapses_and_comes_back(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path / "router", LEASE)
    port = free_port()
    with running(router, agent_process(tmp_path, port, router.url)):
        with storescp(tmp_path / "archive", port=port):
            wait_until(lambda: is_in(router, "live"), "it is registered when it answers")
        wait_until(lambda: is_in(router, "lapsed"), "its lease ends when it does not")
        with storescp(tmp_path / "archive", port=port):
            wait_until(lambda: is_in(router, "live"), "it is back")


def test_a_router_that_has_forgotten_the_writer_hears_of_it_again(tmp_path: Path) -> None:
    with registered(tmp_path) as (router, _, _):
        router.kill()
        for path in (router.directory / "data").glob("ledger.db*"):
            path.unlink()
        router.start()
        wait_until(lambda: is_in(router, "live"), "the agent has registered it again")


@pytest.mark.parametrize(("arguments", "state"), [((), "live"), (("--drain-on-stop",), "draining")])
def test_an_agent_that_is_stopped_leaves_the_writer_alone_unless_told_to_drain_it(
    tmp_path: Path, arguments: tuple[str, ...], state: str
) -> None:
    with registered(tmp_path, *arguments) as (router, agent, _):
        assert agent.terminate() == 0
        assert candidate(router)["state"] == state


def test_a_registration_that_is_refused_says_why_and_is_tried_again(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path / "router", {})
    with storescp(tmp_path / "archive") as archive:
        agent = agent_process(tmp_path, archive.port, router.url, "--criteria", "MODALTY|IN|CT")
        with running(router, agent):
            wait_until(lambda: "refuses ARCHIVE" in agent.log.read_text(), "it says so")
            assert "did you mean Modality" in agent.log.read_text()  # the router's suggestion
            assert agent.child.poll() is None
            assert candidate(router) is None


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"AE_TITLE": "SEVENTEEN_LETTERS"}, "1 to 16"),
        ({"PORT": "dicom"}, "--port"),
        ({"ROUTER_URL": "router:8080"}, "http://router:8080"),
        ({"REGISTRATION_TOKEN_FILE": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_is_configured_wrongly_is_named_at_the_start(wrong: dict[str, str], word: str) -> None:
    right = {"ROUTER_URL": "http://x", "AE_TITLE": "A", "ADVERTISE": "h", "PORT": "104"}
    done = subprocess.run(
        [sys.executable, str(AGENT)],
        env={**os.environ, **right, **wrong},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert word in done.stderr


def test_a_registration_token_is_sent(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    guarded = {"registration": {"token_file": str(token)}}
    router = RouterProcess(tmp_path / "router", guarded)
    with storescp(tmp_path / "archive") as archive:
        agent = agent_process(tmp_path, archive.port, router.url, "--token-file", str(token))
        with running(router, agent):
            wait_until(lambda: is_in(router, "live"), "the router takes the token")


def test_c_echo_finds_who_is_there(tmp_path: Path) -> None:
    require("dcmtk")
    router = RouterProcess(tmp_path / "router", {})
    writer = WriterProcess(tmp_path, "WRITER", "http://127.0.0.1:1", None)
    with storescp(tmp_path / "archive") as archive, running(router, writer):
        echo = dicom_router_agent.echo
        wait_until(lambda: echo("127.0.0.1", writer.port, "WRITER"), "the embedded writer answers")
        assert echo("127.0.0.1", archive.port, "ANY")
        assert echo("127.0.0.1", router.dicom_port, "ROUTER")
        assert not echo("127.0.0.1", router.dicom_port, "SOMEBODY_ELSE")  # rejected
        assert not echo("127.0.0.1", router.http_port, "ROUTER")  # not DICOM
        assert not echo("127.0.0.1", free_port(), "NOBODY")


def test_it_is_one_file_of_the_standard_library_that_an_old_python_reads() -> None:
    tree = ast.parse(AGENT.read_text(), feature_version=OLDEST_PYTHON)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


def test_the_registration_says_nothing_that_was_not_said() -> None:
    body = dicom_router_agent.registration_of("A", "h", 104, None, {})
    assert json.loads(json.dumps(body)) == {"aet": "A", "host": "h", "port": 104}
