"""The router and three Storage SCPs as processes, so that all get the same inputs.

Each is started on free ports of this machine, tells whether it still runs, and is started again
after it went down.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.e2e.stack import free_port, wait_until
from tests.peers import PROGRAMS
from tests.wire.runner import Target, echo_failure

START_S = 120.0
STOP_S = 10.0
PATIENCE_S = 4.0  # longer than their ARTIM timers are set to
ECHO_WITHIN_S = 10.0  # so that a busy machine is not taken for a hung process
ARTIM_S = 2

Command = Callable[[Path, int], Sequence[str]]
"""Folder and DICOM port to what is run."""


@dataclass(slots=True)
class System:
    """One of those that are measured."""

    name: str
    ae_title: str
    folder: Path
    command: Command
    port: int = field(default_factory=free_port)
    memory_bytes: int = resource.RLIM_INFINITY  # of address space; more is not given to it
    _child: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> Target:
        """Where the cases find it."""
        return Target("127.0.0.1", self.port, self.ae_title, PATIENCE_S, ECHO_WITHIN_S)

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"

    def start(self) -> None:
        """Start it and wait until it answers an echo."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command(self.folder, self.port),
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TCP_NODELAY": "1"},
                preexec_fn=partial(_limit, self.memory_bytes),
            )
        answers = f"{self.name} answers; its log is {self.log}"
        wait_until(lambda: not echo_failure(self.target), answers, START_S)

    def runs(self) -> bool:
        """Whether its process is still there."""
        return self._child is not None and self._child.poll() is None

    def worked_s(self) -> float:
        """The processor time that it has used."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def answers(self) -> bool:
        """Whether it answers an echo now."""
        return not echo_failure(self.target)

    def restart(self) -> None:
        """Start it anew, whatever became of it, on a port of its own."""
        self.close()
        self.port = free_port()
        self.start()

    def close(self) -> None:
        """Make sure that it is gone."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(STOP_S)


def _limit(memory_bytes: int) -> None:
    """In the child, before it is the program: give it so much memory and no core dump."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def router(folder: Path, **more: Any) -> System:
    """The router without any candidate; ``more`` is for the section ``router`` of its YAML."""

    def command(folder: Path, port: int) -> Sequence[str]:
        settings = {
            "ae_title": "ROUTER",
            "dicom": f"127.0.0.1:{port}",
            "http": f"127.0.0.1:{free_port()}",
            "data": str(folder / "data"),
            "timeouts": {"artim": f"{ARTIM_S}s"},
            **more,
        }
        document = folder / "router.yaml"
        document.write_text(yaml.safe_dump({"router": settings}))
        return [sys.executable, "-m", "router.cli.main", "serve", "--config", str(document)]

    return System("router", "ROUTER", folder / "router", command)


def storescp(folder: Path, *options: str) -> System:
    """The ``storescp`` of dcmtk, which parses what it receives and writes it anew."""

    def command(folder: Path, port: int) -> Sequence[str]:
        stored = folder / "stored"
        stored.mkdir(exist_ok=True)
        waits = ("-ta", str(ARTIM_S), "-td", "10", "-ts", "10")
        return [str(PROGRAMS["dcmtk"]), "-od", str(stored), "+xa", *waits, *options, str(port)]

    return System("storescp", "ANY-SCP", folder / "storescp", command)


def orthanc(folder: Path) -> System:
    """An Orthanc that checks its AE title and takes every SOP class."""

    def command(folder: Path, port: int) -> Sequence[str]:
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomAet": "ORTHANC",
            "DicomPort": port,
            "HttpPort": free_port(),
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomCheckCalledAet": True,
            "DicomScpTimeout": ARTIM_S,
            "UnknownSopClassAccepted": True,
            "Plugins": [],
        }
        document = folder / "orthanc.json"
        document.write_text(json.dumps(settings))
        return [str(PROGRAMS["orthanc"]), str(document)]

    return System("Orthanc", "ORTHANC", folder / "orthanc", command)


def pynetdicom(folder: Path) -> System:
    """An SCP of pynetdicom that reads all of each data set."""

    def command(folder: Path, port: int) -> Sequence[str]:
        stored = str(folder / "stored")
        return [sys.executable, "-m", "tests.parsing_scp", str(port), stored, "PARSER"]

    return System("pynetdicom", "PARSER", folder / "pynetdicom", command)
