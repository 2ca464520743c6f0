"""``make compose-test``: the compose files at a real engine. Not part of ``make test``.

``COMPOSE`` is the command (default ``docker compose``, version 2). Missing images are built.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pydicom
import pytest

from tests.corpus import make_ct_series, make_dx
from tests.e2e.stack import wait_until

ROOT = Path(__file__).parents[2]
FILES = ("minimal.yaml", "seed.yaml", "orthanc.yaml")
ROUTER = "http://127.0.0.1:8042"
MINIMAL_ROUTER = "http://127.0.0.1:8080"
ORTHANCS = {
    "GENERIC": "http://127.0.0.1:8090",
    "XRAY": "http://127.0.0.1:8091",
    "BACKUP": "http://127.0.0.1:8092",
}
START_WITHIN_S = 120.0
LIST_KEPT = """
from pathlib import Path
from router.dicom.part10 import read_file_header
for path in Path("/var/lib/dicom-writer").glob("??/??/*"):
    print(read_file_header(path.read_bytes()).sop_instance_uid)
"""
LARGEST_MB = 256
"""What the image of router and writer may hold, in MiB; docs/containers.md has what it holds."""

pytestmark = pytest.mark.timeout(1800)


def compose(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run compose with one of the files, in a project of its own: no data of others is touched."""
    command = shlex.split(os.environ.get("COMPOSE", "docker compose"))
    project = f"dicom-router-test-{Path(name).stem}"
    where = ["--project-name", project, "--file", f"compose/{name}"]
    return subprocess.run(
        [*command, *where, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def must(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(url: str) -> Any:
    """What is answered as JSON; None while nothing answers."""
    try:
        with urlopen(url, timeout=10) as response:
            return json.load(response)
    except (URLError, OSError):
        return None


@contextmanager
def running(name: str, router: str, writers: set[str]) -> Iterator[None]:
    """One of the files, from when these writers, and no others, are live until it is taken down."""
    try:
        must(compose(name, "up", "--detach"))
        wait_until(lambda: live(router) == writers, "all register", START_WITHIN_S)
        yield
    finally:
        must(compose(name, "down", "--volumes", "--timeout", "30"))


@pytest.fixture(scope="module")
def orthancs() -> Iterator[None]:
    """The architecture of the seed, with real Orthancs."""
    with running("orthanc.yaml", ROUTER, set(ORTHANCS)):
        yield


@pytest.fixture(scope="module")
def embedded() -> Iterator[None]:
    """The router and the writer that comes with it."""
    with running("minimal.yaml", MINIMAL_ROUTER, {"BACKUP"}):
        yield


def live(router: str) -> set[str]:
    found = (answer(f"{router}/candidates") or {}).get("candidates", ())
    return {one["ae_title"] for one in found if one["state"] == "live"}


def send(*paths: Path, to: str = "127.0.0.1:4242") -> set[str]:
    """Send as a modality does; the SOP Instance UIDs."""
    command = [sys.executable, "-m", "router.cli.main", "send", "--to", to]
    must(
        subprocess.run(
            [*command, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=False
        )
    )
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}


def held(ae_title: str) -> set[str]:
    """SOP Instance UIDs that an Orthanc holds."""
    instances = answer(f"{ORTHANCS[ae_title]}/instances?expand") or ()
    return {one["MainDicomTags"]["SOPInstanceUID"] for one in instances}


def has(ae_title: str, instances: set[str]) -> None:
    wait_until(lambda: instances <= held(ae_title), f"{ae_title} has the study", START_WITHIN_S)


@pytest.mark.parametrize("name", FILES)
def test_compose_takes_the_file(name: str) -> None:
    must(compose(name, "config", "--quiet"))


def test_each_writer_of_the_seed_gets_what_its_criteria_say(tmp_path: Path) -> None:
    """Before the Orthancs are started: both files want the same ports."""
    with running("seed.yaml", ROUTER, {"GENERIC", "XRAY", "BACKUP"}):
        ct = send(*make_ct_series(tmp_path / "ct", 4, rows=64, columns=64))
        dx = send(make_dx(tmp_path / "dx"))

        keeps("generic-writer", ct)
        keeps("xray-writer", dx)
        keeps("backup-writer", ct | dx)


def keeps(service: str, instances: set[str]) -> None:
    """A writer of the seed has these instances at last, and no others."""
    wait_until(lambda: kept(service) == instances, f"{service} has its studies", START_WITHIN_S)


def kept(service: str) -> set[str]:
    """SOP Instance UIDs of the instances that are files on a writer's volume."""
    return set(must(compose("seed.yaml", "exec", "-T", service, "python", "-c", LIST_KEPT)).split())


@pytest.mark.usefixtures("orthancs")
def test_each_orthanc_gets_what_its_criteria_say(tmp_path: Path) -> None:
    ct = send(*make_ct_series(tmp_path / "ct", 4, rows=64, columns=64))
    dx = send(make_dx(tmp_path / "dx"))

    has("GENERIC", ct)
    has("XRAY", dx)
    has("BACKUP", ct | dx)
    assert not held("GENERIC") & dx
    assert not held("XRAY") & ct


@pytest.mark.usefixtures("orthancs")
def test_what_came_while_an_orthanc_was_down_reaches_it_when_it_is_back(tmp_path: Path) -> None:
    must(compose("orthanc.yaml", "kill", "xray-writer"))
    dx = send(make_dx(tmp_path / "dx"))
    has("BACKUP", dx)

    must(compose("orthanc.yaml", "start", "xray-writer"))

    has("XRAY", dx)


@pytest.mark.usefixtures("embedded")
def test_the_embedded_writer_gets_what_is_sent(tmp_path: Path) -> None:
    dx = make_dx(tmp_path / "dx")
    study = str(pydicom.dcmread(dx, stop_before_pixels=True).StudyInstanceUID)

    send(dx, to="127.0.0.1:11112")

    wait_until(lambda: settled(study), "the writer has the study", START_WITHIN_S)


def settled(study: str) -> bool:
    known = answer(f"{MINIMAL_ROUTER}/studies/{study}") or {"revisions": ()}
    return {one["state"] for one in known["revisions"]} == {"settled"}


EVERY_SERVICE = [
    ("orthanc.yaml", "router", "dicom"),
    ("orthanc.yaml", "xray-writer", "orthanc"),
    ("minimal.yaml", "router", "dicom"),
    ("minimal.yaml", "writer", "dicom"),
]


@pytest.mark.usefixtures("orthancs", "embedded")
@pytest.mark.parametrize(
    ("name", "service", "health"),
    [
        ("orthanc.yaml", "router", ["dicom-router", "health"]),
        ("minimal.yaml", "router", ["dicom-router", "health"]),
        ("minimal.yaml", "writer", ["dicom-writer", "health"]),
    ],
)
def test_health_can_be_asked_in_the_container(name: str, service: str, health: list[str]) -> None:
    must(compose(name, "exec", "-T", service, *health))


@pytest.mark.usefixtures("orthancs", "embedded")
@pytest.mark.parametrize(("name", "service", "user"), EVERY_SERVICE)
def test_no_container_runs_as_root(name: str, service: str, user: str) -> None:
    assert must(compose(name, "exec", "-T", service, "id", "-un")).strip() == user


@pytest.mark.usefixtures("orthancs", "embedded")
@pytest.mark.parametrize(("name", "service", "user"), EVERY_SERVICE)
def test_even_root_can_write_to_no_container(name: str, service: str, user: str) -> None:
    done = compose(name, "exec", "-T", "--user", "root", service, "touch", "/etc/written")

    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


@pytest.mark.usefixtures("embedded")
def test_the_image_of_router_and_writer_is_small() -> None:
    said = must(
        compose("minimal.yaml", "exec", "-T", "--user", "root", "router", "du", "-sxm", "/")
    )

    assert int(said.split()[0]) <= LARGEST_MB
