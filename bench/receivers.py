"""What the benchmark sends to: the router, its peers, and a sink that discards."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from tests.e2e.stack import free_port, wait_until
from tests.peers import PROGRAMS, echoes, orthanc, process


@dataclass(frozen=True)
class Receiver:
    """A running server: where it listens, and its process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def resident_mb(self) -> float:
        """Resident memory of the process and its children, in MB."""
        parent = psutil.Process(self.process.pid)
        total = 0
        for one in (parent, *parent.children(recursive=True)):
            try:
                total += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 1e6


Start = Callable[[Path], AbstractContextManager[Receiver]]


@contextmanager
def _python(module: str, *arguments: str, folder: Path, port: int) -> Iterator[Receiver]:
    command = [sys.executable, "-m", module, *arguments]
    with process(command, folder / "log.txt") as child:
        wait_until(lambda: echoes(port, "ROUTER"), f"{module} answers")
        yield Receiver(port, child)


@contextmanager
def router(folder: Path, candidates: dict[str, object] | None = None) -> Iterator[Receiver]:
    """The router: every instance is on stable storage before it is acknowledged."""
    port = free_port()
    settings = {
        "router": {
            "dicom": f"127.0.0.1:{port}",
            "http": f"127.0.0.1:{free_port()}",
            "data": "data",
        },
        "completion": {"quiet_after": "1s", "stable_after": "1m"},
        "candidates": candidates or {},
    }
    (folder / "router.yaml").write_text(yaml.safe_dump(settings))
    options = ("serve", "--config", str(folder / "router.yaml"), "--log-level", "WARNING")
    with _python("router.cli.main", *options, folder=folder, port=port) as receiver:
        yield receiver


@contextmanager
def storescp(folder: Path) -> Iterator[Receiver]:
    """Dcmtk's storescp, a process for each association; it flushes nothing."""
    port = free_port()
    (folder / "received").mkdir()
    command = [str(PROGRAMS["dcmtk"]), "-od", str(folder / "received"), "+B", "+xa"]
    command += ["-pdu", "131072", "--fork", str(port)]
    with process(
        command, folder / "log.txt", env={"TCP_NODELAY": "1", "TCP_BUFFER_LENGTH": "0"}
    ) as child:
        wait_until(lambda: echoes(port, "ROUTER"), "storescp answers")
        yield Receiver(port, child)


@contextmanager
def orthanc_durable(folder: Path) -> Iterator[Receiver]:
    """Orthanc with SQLite, flushing each file (SyncStorageArea)."""
    with orthanc(folder / "orthanc", SyncStorageArea=True, OverwriteInstances=True) as peer:
        child = next(
            one for one in psutil.Process().children() if str(folder) in " ".join(one.cmdline())
        )
        yield Receiver(peer.port, _Known(child.pid))


class _Known:
    """As much of a ``Popen`` as a receiver needs, for a process that somebody else started."""

    def __init__(self, pid: int):
        self.pid = pid


@contextmanager
def pynetdicom(folder: Path) -> Iterator[Receiver]:
    """Pynetdicom's SCP, tuned: no delayed writes, large PDUs; it flushes nothing."""
    port = free_port()
    options = (str(port), str(folder / "received"))
    (folder / "received").mkdir()
    with _python("bench.pynetdicom_scp", *options, folder=folder, port=port) as receiver:
        yield receiver


@contextmanager
def sink(folder: Path) -> Iterator[Receiver]:
    """The router's own upper layer in front of nothing: the generator's ceiling."""
    port = free_port()
    with _python("bench.sink", str(port), folder=folder, port=port) as receiver:
        yield receiver


RECEIVERS: dict[str, Start] = {
    "router": router,
    "storescp": storescp,
    "Orthanc": orthanc_durable,
    "pynetdicom": pynetdicom,
    "sink": sink,
}


@contextmanager
def started(name: str) -> Iterator[Receiver]:
    """A fresh receiver with an empty folder."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        RECEIVERS[name](Path(folder)) as one,
    ):
        yield one
