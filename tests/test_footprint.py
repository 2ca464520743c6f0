"""A router keeps in memory what it needs to serve, and nothing of its other commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import free_port

PROGRAM = """
import json, sys
from pathlib import Path
import anyio
from router.cli import main
from router.app import running
from router.observe.logging import configure_logging
from router.settings.load import load_settings

async def serve():
    async with running(load_settings(Path(sys.argv[1]))):
        print(json.dumps(list(sys.modules)))

configure_logging(level="WARNING")
anyio.run(serve)
"""
NOT_NEEDED = [
    "alembic",
    "amqp",
    "kombu",
    "mako",
    "nacl",
    "nats",
    "nkeys",
    "numpy",
    "obstore",
    "pydicom",
    "pygments",
    "pynetdicom",
    "re2",
    "redis",
    "requests",
    "rich",
    "router.demo",
    "router.modality",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "tenacity",
]


def loaded_by_a_router(folder: Path) -> set[str]:
    """The modules of a router that is ready, in a process of its own."""
    config = folder / "router.yaml"
    config.write_text(
        "router:\n"
        f"  dicom: 127.0.0.1:{free_port()}\n"
        f"  http: 127.0.0.1:{free_port()}\n"
        f"  data: {folder / 'data'}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config)], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def at_first(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return loaded_by_a_router(tmp_path_factory.mktemp("new"))


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_a_router_that_serves_does_not_load(name: str, at_first: set[str]) -> None:
    assert [one for one in at_first if one == name or one.startswith(f"{name}.")] == []


def test_a_router_that_is_started_again_loads_no_more(tmp_path: Path, at_first: set[str]) -> None:
    loaded_by_a_router(tmp_path)

    assert loaded_by_a_router(tmp_path) - at_first == set()
