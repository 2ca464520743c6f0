"""The backend of ChRIS as a process: a real Celery worker that runs tests/delivery/cube.py."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import peers
from tests.e2e.stack import data_set_of

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cube:
    """The backend: its files, and the journal of its worker."""

    files: Path
    broker: str
    journal: Path

    def told(self) -> list[dict[str, Any]]:
        """Each registration that its worker has taken, in order."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [json.loads(line) for line in lines]

    def registrations(self, pacs_name: str) -> list[dict[str, Any]]:
        """Those of a PACS."""
        return [one for one in self.told() if one["told"]["pacs_name"] == pacs_name]

    def held(self, pacs_name: str) -> dict[str, bytes]:
        """SOP Instance UID to data set, of the files of a PACS."""
        folder = self.files / "SERVICES" / "PACS" / pacs_name
        return {
            path.stem.partition("-")[2]: data_set_of(path)
            for path in folder.rglob("*")
            if path.is_file()
        }

    def shown(self) -> list[bytes]:
        """The data sets of all series that were registered without an objection."""
        folders = [one["told"]["path"] for one in self.told() if not one["objection"]]
        return [data_set_of(path) for folder in folders for path in (self.files / folder).iterdir()]


@contextmanager
def cube(folder: Path, broker: str) -> Iterator[Cube]:
    """A worker on the queue ``main2`` of a broker, whose URL has user and password in it."""
    made = Cube(folder / "files", broker, folder / "journal")
    made.files.mkdir(parents=True)
    environment = {
        **os.environ,
        "CUBE_BROKER": broker,
        "CUBE_FILES": str(made.files),
        "CUBE_JOURNAL": str(made.journal),
    }
    worker = ("celery", "-A", "tests.delivery.cube", "worker", "-Q", "main2", "-P", "solo")
    command = [sys.executable, "-m", *worker]
    with peers.process(command, folder / "worker.log", env=environment, cwd=REPOSITORY):
        yield made
