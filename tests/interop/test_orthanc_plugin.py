"""An Orthanc registers itself, by the script for its Python plugin."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import pytest

from candidates.agent import dicom_router_agent
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, data_set_of, running, wait_until
from tests.peers import PROGRAMS, Orthanc, dcmtk, orthanc, require

PLUGIN = PROGRAMS["orthanc-python"]
SCRIPT = Path(dicom_router_agent.__file__).parents[1] / "orthanc" / "dicom_router_plugin.py"
SETTINGS = {
    "completion": {"quiet_after": "200ms", "stable_after": "5s"},
    "registration": {"lease": "3s", "heartbeat": "300ms"},
}


@contextmanager
def self_registering(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: Mapping[str, str],
    ends_by: Signals = SIGKILL,
) -> Iterator[Orthanc]:
    """An Orthanc that is configured as the documentation says, and nothing else."""
    require("orthanc-python")
    scripts = folder / "scripts"
    scripts.mkdir(parents=True)
    for path in (SCRIPT, Path(dicom_router_agent.__file__)):
        shutil.copy(path, scripts)
    with monkeypatch.context() as variables:
        for name in ("PYTHONPATH", "VIRTUAL_ENV"):
            variables.delenv(name, raising=False)
        for name, value in {"ADVERTISE": "127.0.0.1", **environment}.items():
            variables.setenv(name, value)
        script = str(scripts / SCRIPT.name)
        with orthanc(
            folder / "orthanc", ends_by=ends_by, Plugins=[str(PLUGIN)], PythonScript=script
        ) as peer:
            yield peer


def is_in(router: RouterProcess, state: str) -> bool:
    """Whether the router knows the Orthanc in a state."""
    found: list[Any] = router.get("/candidates")["candidates"]
    return [one["state"] for one in found if one["ae_title"] == "ORTHANC"] == [state]


def test_an_orthanc_registers_itself_and_gets_what_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=3, rows=16, columns=16)
    router = RouterProcess(tmp_path / "router", SETTINGS)
    criteria = r"MODALITY\|NOT_IN\|CR,DX"
    with (
        running(router),
        self_registering(
            tmp_path, monkeypatch, {"ROUTER_URL": router.url, "ROUTING_CRITERIA": criteria}
        ) as peer,
    ):
        wait_until(lambda: is_in(router, "live"), "the Orthanc has registered itself")
        [candidate] = router.get("/candidates")["candidates"]
        assert (candidate["port"], candidate["criteria"]) == (peer.port, "Modality|NOT_IN|CR,DX")
        send = ("-aec", "ROUTER", "127.0.0.1", str(router.dicom_port), str(tmp_path / "ct"))
        dcmtk("dcmsend", "+sd", *send)
        wait_until(lambda: len(peer.instances()) == len(paths), "the study arrives")
        assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))
        expires = candidate["lease_expires_at"]
        wait_until(
            lambda: router.get("/candidates")["candidates"][0]["lease_expires_at"] > expires,
            "a heartbeat prolongs the lease",
        )


@pytest.mark.parametrize(("drains", "state"), [("true", "draining"), ("false", "live")])
def test_an_orthanc_that_is_shut_down_drains_unless_it_is_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drains: str, state: str
) -> None:
    router = RouterProcess(tmp_path / "router", {})
    with running(router):
        environment = {"ROUTER_URL": router.url, "DRAIN_ON_SHUTDOWN": drains}
        with self_registering(tmp_path / "first", monkeypatch, environment, SIGTERM):
            wait_until(lambda: is_in(router, "live"), "the Orthanc has registered itself")
        assert is_in(router, state)
        with self_registering(tmp_path / "second", monkeypatch, environment):
            wait_until(lambda: is_in(router, "live"), "it registers when it is back")


@pytest.mark.parametrize(
    ("environment", "explanation"),
    [
        ({}, "ROUTER_URL is not set"),
        ({"ROUTER_URL": "router"}, "http://router:8080"),
        ({"ROUTER_URL": "http://127.0.0.1:1", "REGISTRATION": "[]"}, "no JSON object"),
        ({"ROUTER_URL": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
def test_an_orthanc_that_cannot_register_runs_and_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    explanation: str,
) -> None:
    monkeypatch.delenv("ROUTER_URL", raising=False)
    log = tmp_path / "orthanc" / "orthanc.log"
    with self_registering(tmp_path, monkeypatch, environment) as peer:
        wait_until(lambda: explanation in log.read_text(), "its log says why")
        assert peer.get("/system")["DicomAet"] == "ORTHANC"


def test_more_keys_of_the_registration_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = RouterProcess(tmp_path / "router", {})
    extra = json.dumps({"priority": "urgent", "required": False})
    with (
        running(router),
        self_registering(tmp_path, monkeypatch, {"ROUTER_URL": router.url, "REGISTRATION": extra}),
    ):
        wait_until(lambda: is_in(router, "live"), "the Orthanc has registered itself")
        [candidate] = router.get("/candidates")["candidates"]
    assert (candidate["priority"], candidate["required"]) == ("urgent", False)
    assert os.environ.get("REGISTRATION") is None
