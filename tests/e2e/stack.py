"""A router and its writers as real processes, for tests that see them only from outside."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from router.dicom.part10 import read_file_header
from tests.candidates.holdings import count_in, held_in

PATIENCE_S = 60.0
POLL_S = 0.05
SERVER_PORTS = (10_000, 32_000)  # Linux gives clients those from 32768 on


def free_port() -> int:
    """A TCP port that was free a moment ago, and that no client gets from the kernel meanwhile."""
    while True:
        port = random.randrange(*SERVER_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(
    condition: Callable[[], Any],
    what: str,
    patience_s: float = PATIENCE_S,
    every_s: float = POLL_S,
) -> Any:
    """The first true value of ``condition``; fails with ``what`` when patience ends."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every_s)  # noqa: TID251 - looking at another process from outside
    raise AssertionError(f"not within {patience_s:.0f} s: {what}")


def data_set_of(path: Path) -> bytes:
    """The data set of a Part 10 file, as it is in the file."""
    content = path.read_bytes()
    return content[read_file_header(content).data_set_offset :]


@dataclass(slots=True)
class Process:
    """A child process with a log file."""

    name: str
    arguments: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    _child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, its output appended to the log file."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The running child."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child

    @property
    def resident_bytes(self) -> int:
        """Resident memory now."""
        resident: int = psutil.Process(self.child.pid).memory_info().rss
        return resident

    def terminate(self, within_s: float = 20.0) -> int:
        """SIGTERM; the exit status."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(within_s)

    def kill(self) -> None:
        """SIGKILL, as a power cut to the process."""
        self.child.kill()
        self.child.wait(10)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self._child is not None and self._child.poll() is None:
            self.kill()


class RouterProcess(Process):
    """``dicom-router serve`` with an HTTP client for its API."""

    __slots__ = ("dicom_port", "directory", "http_port")

    def __init__(self, directory: Path, settings: dict[str, Any]):
        self.directory = directory
        self.dicom_port, self.http_port = free_port(), free_port()
        directory.mkdir(parents=True, exist_ok=True)
        router = {
            "ae_title": "ROUTER",
            "dicom": f"127.0.0.1:{self.dicom_port}",
            "http": f"127.0.0.1:{self.http_port}",
            "data": str(directory / "data"),
            **settings.get("router", {}),
        }
        document = {**settings, "router": router}
        config = directory / "router.yaml"
        config.write_text(yaml.safe_dump(document, sort_keys=False))
        super().__init__(
            "router",
            ["router.cli.main", "serve", "--config", str(config)],
            directory / "router.log",
        )

    @property
    def url(self) -> str:
        """Where its HTTP API is."""
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        super().start()
        try:
            wait_until(self.is_ready, "the router is ready")
        except AssertionError as error:
            error.add_note(f"its log:\n{self.log.read_text()}")
            raise

    def is_ready(self) -> bool:
        """Whether ``/readyz`` answers 200."""
        assert self.child.poll() is None, f"the router ended:\n{self.log.read_text()}"
        try:
            self.get("/readyz")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def get(self, path: str) -> Any:
        """The JSON that the API answers."""
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.load(response)

    def post(self, path: str, body: Any) -> Any:
        """The JSON that the API answers to a POST."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def candidates(self) -> set[str]:
        """AE titles of all known candidates."""
        return {candidate["ae_title"] for candidate in self.get("/candidates")["candidates"]}


class WriterProcess(Process):
    """``dicom-writer`` with its folder."""

    __slots__ = ("ae_title", "port", "storage")

    def __init__(self, directory: Path, ae_title: str, router_url: str, criteria: str | None):
        self.ae_title = ae_title
        self.port = free_port()
        self.storage = directory / ae_title
        environment = {
            "AE_TITLE": ae_title,
            "PORT": str(self.port),
            "STORAGE": str(self.storage),
            "ROUTER_URL": router_url,
        }
        if criteria:
            environment["ROUTING_CRITERIA"] = criteria
        super().__init__(
            ae_title, ["candidates.writer.cli"], directory / f"{ae_title}.log", environment
        )

    def data_sets(self) -> dict[str, bytes]:
        """SOP Instance UID to data set of everything stored."""
        return {one.instance: data_set_of(one.path) for one in held_in(self.storage)}

    def count(self) -> int:
        """How many instances are stored."""
        return count_in(self.storage)


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start the processes in order; whatever happens, none outlives the block."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in reversed(processes):
            process.close()
