"""What the benchmark sends to: the router, its peers, and a sink that discards.

Each is a process group of its own, started in an empty folder and killed at the end: nobody is
measured by how it says goodbye. ``tuned`` peers get TCP_NODELAY=1 and PDUs of 128 kB, which is
their best case; the others run as they are shipped.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.e2e.stack import free_port, wait_until
from tests.peers import PROGRAMS, echoes

TUNED = {"TCP_NODELAY": "1", "TCP_BUFFER_LENGTH": "0"}
AS_SHIPPED = {"TCP_NODELAY": "0"}
LIMIT_IN_C = "limit in C"


@contextmanager
def program(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program with all its children, as long as the block runs; then all are killed."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(10)


@dataclass(frozen=True)
class Receiver:
    """A running server: where it listens, its process, where it keeps what it received."""

    port: int
    pid: int
    folder: Path
    url: str = ""

    @property
    def resident_mb(self) -> float:
        """Resident memory of the process and its children, in MB; what they share counts once."""
        total = 0
        for pid in (
            self.pid,
            *(one.pid for one in psutil.Process(self.pid).children(recursive=True)),
        ):
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next(
                int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
            )
        return total * 1024 / 1e6

    def get(self, path: str) -> Any:
        """The JSON of a GET."""
        with urllib.request.urlopen(self.url + path, timeout=60) as response:
            return json.load(response)

    def is_ready(self, path: str) -> bool:
        """Whether a GET is answered with success."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


Start = Callable[[Path], AbstractContextManager[Receiver]]


def wait_quickly(condition: Callable[[], Any], what: str, patience_s: float = 60.0) -> Any:
    """As ``wait_until``, but looks more often."""
    return wait_until(condition, what, patience_s, every_s=0.02)


def settings(folder: Path, sections: Mapping[str, Any]) -> tuple[Path, int, int]:
    """Write a routing YAML; the file, the DICOM port, the HTTP port."""
    port, http = free_port(), free_port()
    document: dict[str, Any] = {
        "completion": {"quiet_after": "1s", "stable_after": "1m"},
        **sections,
        "router": {
            "dicom": f"127.0.0.1:{port}",
            "http": f"127.0.0.1:{http}",
            "data": "data",
            **sections.get("router", {}),
        },
    }
    path = folder / "router.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path, port, http


def serve(config: Path) -> list[str]:
    """The command that runs a router."""
    options = ["serve", "--config", str(config), "--log-level", "WARNING"]
    return [sys.executable, "-m", "router.cli.main", *options]


@contextmanager
def router(folder: Path, sections: Mapping[str, Any] | None = None) -> Iterator[Receiver]:
    """The router: every instance is on stable storage before it is acknowledged."""
    folder.mkdir(exist_ok=True)
    config, port, http = settings(folder, sections or {})
    with program(serve(config), folder / "log.txt") as child:
        receiver = Receiver(port, child.pid, folder, f"http://127.0.0.1:{http}")
        wait_until(lambda: receiver.is_ready("/readyz"), "the router is ready")
        yield receiver


@contextmanager
def storescp(folder: Path, *, tuned: bool = True) -> Iterator[Receiver]:
    """Dcmtk's storescp, a process for each association; it flushes nothing."""
    port, received = free_port(), folder / "received"
    received.mkdir(parents=True)
    command = [str(PROGRAMS["dcmtk"]), "-od", str(received), "+B", "+xa", "--fork"]
    command += [*(["-pdu", "131072"] if tuned else []), str(port)]
    with program(command, folder / "log.txt", TUNED if tuned else AS_SHIPPED) as child:
        wait_until(lambda: echoes(port, "ROUTER"), "storescp answers")
        yield Receiver(port, child.pid, received)


@contextmanager
def orthanc(folder: Path, *, tuned: bool = True, **configuration: Any) -> Iterator[Receiver]:
    """Orthanc with SQLite, flushing each file (SyncStorageArea)."""
    folder.mkdir(parents=True, exist_ok=True)
    port, http = free_port(), configuration.pop("HttpPort", None) or free_port()
    document = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "SyncStorageArea": True,
        "OverwriteInstances": True,
        "Plugins": [],
        **({"MaximumPduLength": 131072, "DicomThreadsCount": 16} if tuned else {}),
        **configuration,
    }
    (folder / "orthanc.json").write_text(json.dumps(document))
    command = [str(PROGRAMS["orthanc"]), str(folder / "orthanc.json")]
    with program(command, folder / "log.txt", TUNED if tuned else AS_SHIPPED) as child:
        receiver = Receiver(port, child.pid, folder, f"http://127.0.0.1:{http}")
        wait_until(lambda: receiver.is_ready("/system"), "Orthanc answers")
        yield receiver


@contextmanager
def _python(module: str, *arguments: str, folder: Path, port: int) -> Iterator[Receiver]:
    command = [sys.executable, "-m", module, *arguments]
    with program(command, folder / "log.txt") as child:
        wait_until(lambda: echoes(port, "ROUTER"), f"{module} answers")
        yield Receiver(port, child.pid, folder)


@contextmanager
def pynetdicom(folder: Path) -> Iterator[Receiver]:
    """Pynetdicom's SCP, tuned: no delayed writes, large PDUs; it flushes nothing."""
    port = free_port()
    (folder / "received").mkdir()
    options = (str(port), str(folder / "received"))
    with _python("bench.pynetdicom_scp", *options, folder=folder, port=port) as receiver:
        yield receiver


@contextmanager
def sink(folder: Path) -> Iterator[Receiver]:
    """The router's own upper layer in front of nothing: the generator's ceiling."""
    port = free_port()
    with _python("bench.sink", str(port), folder=folder, port=port) as receiver:
        yield receiver


@contextmanager
def limit(folder: Path) -> Iterator[Receiver]:
    """Receives, appends, flushes, answers, and does nothing else."""
    port = free_port()
    with _python("bench.limit", str(port), str(folder), folder=folder, port=port) as receiver:
        yield receiver


@contextmanager
def limit_in_c(folder: Path) -> Iterator[Receiver]:
    """In C, into room made beforehand, one flush for all who wait: what the machine allows."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    with program([str(_compiled()), str(port), str(folder)], folder / "log.txt") as child:
        wait_until(lambda: echoes(port, "ROUTER"), "the limit in C answers")
        yield Receiver(port, child.pid, folder)


@cache
def _compiled() -> Path:
    """The limit in C, compiled once; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-limit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("there is no C compiler: apt-get install gcc libc6-dev")
    source = Path(__file__).parent / "limit.c"
    command = [compiler, "-O2", "-pthread", "-o", str(folder / "limit"), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return folder / "limit"


RECEIVERS: dict[str, Start] = {
    "router": router,
    "storescp": storescp,
    "Orthanc": orthanc,
    "pynetdicom": pynetdicom,
    "sink": sink,
    "limit": limit,
    LIMIT_IN_C: limit_in_c,
}


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder on the disk under test; what is left in it is gone, and flushed, afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)
    os.sync()  # nobody pays for what the one before left behind


@contextmanager
def started(name: str) -> Iterator[Receiver]:
    """A fresh receiver with an empty folder."""
    with empty_folder() as folder, RECEIVERS[name](folder) as one:
        yield one
