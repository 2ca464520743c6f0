"""Real peers as context managers: each starts a server on a free loopback port and stops it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any, NoReturn

import pytest

from router.dicom.part10 import read_file_header
from tests.e2e.stack import data_set_of, free_port, wait_until
from tests.interop.programs import NODE_MODULES

POSTGRESQL = max(
    Path("/usr/lib/postgresql").glob("*/bin"),
    default=Path("/usr/lib/postgresql/bin"),
    key=lambda path: [int(part) for part in path.parent.name.split(".") if part.isdigit()],
)
"""Where Debian has the programs of the newest server."""
PROGRAMS = {
    "dcmtk": Path("/usr/bin/storescp"),  # by path: pynetdicom brings programs of the same names
    "orthanc": Path("/usr/sbin/Orthanc"),
    "orthanc-python": Path("/usr/share/orthanc/plugins/libOrthancPython.so"),
    "orthanc-dicomweb": Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so"),
    "redis": Path("/usr/bin/redis-server"),
    "nats": Path("/usr/sbin/nats-server"),
    "postgresql": POSTGRESQL / "postgres",
    "rabbitmq": Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),  # /usr/sbin has one for root only
    "haproxy": Path("/usr/sbin/haproxy"),
    "faketime": Path("/usr/bin/faketime"),
    "strace": Path("/usr/bin/strace"),
    "odil": Path("/usr/bin/odil"),
    "ctn": Path("/usr/bin/send_image"),
    "gdcm": Path("/usr/bin/gdcmscu"),
    "pixelmed": Path("/usr/share/java/pixelmed.jar"),
    "java": Path("/usr/bin/java"),
    "node": Path("/usr/bin/node"),
    "dcmjs-dimse": NODE_MODULES / "dcmjs-dimse",
    "docker-compose": Path("/usr/bin/docker-compose"),
}
ROUTER = ("-aec", "ROUTER", "-aet", "DCMTK", "127.0.0.1")
"""Arguments of dcmtk's clients, before the port."""
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


def is_there(peer: str) -> bool:
    """Whether the programs of a peer are installed."""
    return PROGRAMS[peer].exists()


def require(peer: str) -> None:
    """Skip a test whose peer is missing; under CI=true that is a failure."""
    if is_there(peer):
        return
    missing(f"{peer} ({PROGRAMS[peer]})")


def missing(what: str) -> NoReturn:
    """Skip a test for which something is not installed; under CI=true that is a failure."""
    unable(f"{what} is not installed: make peers")


def unable(message: str) -> NoReturn:
    """Skip a test that cannot be run here, for this reason; under CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def process(
    command: Sequence[str], log: Path, ends_by: Signals = SIGTERM, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A program as long as the block runs; its output goes to a file."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        yield child
    finally:
        child.send_signal(ends_by)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)


def echoes(port: int, called: str = "ANY-SCP") -> bool:
    """Whether dcmtk's ``echoscu`` gets an answer there."""
    command = ["/usr/bin/echoscu", "-to", "2", "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class StoreSCP:
    """dcmtk's ``storescp``, and the files it has stored."""

    port: int
    folder: Path

    def data_sets(self) -> dict[str, bytes]:
        """SOP Instance UID to data set, as it was received."""
        return {
            path.name.partition(".")[2]: data_set_of(path)
            for path in self.folder.iterdir()
            if path.is_file()
        }


@contextmanager
def storescp(
    folder: Path, *options: str, port: int | None = None, tuned: bool = True
) -> Iterator[StoreSCP]:
    """``storescp`` writing what it receives bit by bit; ``tuned`` turns Nagle's algorithm off."""
    require("dcmtk")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [str(PROGRAMS["dcmtk"]), "-od", str(folder), "+B", "+xa", *options, str(port)]
    environment = {**ENVIRONMENT, "TCP_NODELAY": "1" if tuned else "0"}
    with process(command, folder.with_suffix(".log"), env=environment):
        wait_until(lambda: echoes(port), "storescp answers")
        yield StoreSCP(port, folder)


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    port: int
    url: str
    user: str = ""
    """With its password after a colon, for an Orthanc that wants one."""

    def get(self, path: str) -> Any:
        """The JSON of a GET."""
        return json.loads(self.bytes_of(path))

    def bytes_of(self, path: str) -> bytes:
        """The bytes of a GET."""
        return self._ask("GET", path)

    def post(self, path: str, body: bytes) -> Any:
        """The JSON of a POST."""
        return json.loads(self._ask("POST", path, body))

    def delete(self, path: str) -> None:
        """Send a DELETE."""
        self._ask("DELETE", path)

    def put(self, path: str, body: object) -> None:
        """PUT JSON."""
        self._ask("PUT", path, json.dumps(body).encode())

    def tell(self, path: str, body: object) -> str:
        """What is answered to a POST of bytes or JSON, be it an error."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            answer = self._ask("POST", path, content)
        except urllib.error.HTTPError as error:
            answer = error.read()
        return answer.decode()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if self.user:
            request.add_header("Authorization", f"Basic {b64encode(self.user.encode()).decode()}")
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: bytes = response.read()
            return answer

    def instances(self) -> list[str]:
        """Orthanc's identifiers of what it holds."""
        listed: list[str] = self.get("/instances")
        return listed

    def data_sets(self) -> dict[str, bytes]:
        """SOP Instance UID to data set, as its storage has it."""
        files = [self.bytes_of(f"/instances/{name}/file") for name in self.instances()]
        headers = map(read_file_header, files)
        return {
            header.sop_instance_uid: file[header.data_set_offset :]
            for header, file in zip(headers, files, strict=True)
        }


@contextmanager
def orthanc(
    folder: Path,
    ae_title: str = "ORTHANC",
    port: int | None = None,
    ends_by: Signals = SIGKILL,
    **configuration: Any,
) -> Iterator[Orthanc]:
    """An Orthanc with an empty storage. A SIGTERM takes it more than three seconds to follow."""
    require("orthanc")
    folder.mkdir(parents=True, exist_ok=True)
    dicom, http = port or free_port(), free_port()
    settings = {
        "Name": ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": ae_title,
        "DicomPort": dicom,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "UnknownSopClassAccepted": True,
        "Plugins": [],
        **configuration,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    users = configuration.get("RegisteredUsers", {})
    user = next((f"{name}:{password}" for name, password in users.items()), "")
    peer = Orthanc(dicom, f"http://127.0.0.1:{http}", user)
    command = [str(PROGRAMS["orthanc"]), str(folder / "orthanc.json")]
    with process(command, folder / "orthanc.log", ends_by):
        wait_until(lambda: _answers(peer), "Orthanc answers")
        yield peer


@contextmanager
def haproxy(folder: Path, to: int, certificate: Path, clients: Path) -> Iterator[int]:
    """HAProxy before an HTTP server on this machine; its port, which speaks TLS.

    ``certificate`` has its key in the same file; only clients that ``clients`` vouches for get in.
    """
    require("haproxy")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (folder / "haproxy.cfg").write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        f"listen door\n bind 127.0.0.1:{port} ssl crt {certificate} ca-file {clients} "
        f"verify required\n server inside 127.0.0.1:{to}\n"
    )
    command = [str(PROGRAMS["haproxy"]), "-W", "-f", str(folder / "haproxy.cfg")]
    with process(command, folder / "haproxy.log"):
        wait_until(lambda: listens(port), "HAProxy listens")
        yield port


def orthanc_plugin(name: str) -> str:
    """Where a plugin of Debian's Orthanc is; a missing one is treated as a missing peer."""
    path = Path(f"/usr/share/orthanc/plugins/lib{name}.so")
    if not path.exists():
        missing(f"Orthanc's plugin {name} ({path})")
    return str(path)


def _answers(peer: Orthanc) -> bool:
    try:
        peer.get("/system")
    except urllib.error.HTTPError:
        return True  # it wants a password
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def dcmtk(program: str, *arguments: str, tuned: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one of dcmtk's clients to its end."""
    require("dcmtk")
    return subprocess.run(
        [f"/usr/bin/{program}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**ENVIRONMENT, "TCP_NODELAY": "1" if tuned else "0"},
        check=False,
    )


def delayed_acknowledgements() -> int:
    """How often this machine's kernel has let a TCP acknowledgement wait for its timer."""
    names, values = (
        line.split()
        for line in Path("/proc/net/netstat").read_text().splitlines()
        if line.startswith("TcpExt:")
    )
    return int(values[names.index("DelayedACKs")])


@contextmanager
def dcmqrscp(folder: Path, ae_title: str = "DCMQRSCP") -> Iterator[StoreSCP]:
    """Dcmtk's archive, which counts instances neither per study nor per series."""
    require("dcmtk")
    storage = folder / "storage"
    storage.mkdir(parents=True)
    port = free_port()
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{ae_title} {storage} RW (200, 1024mb) ANY\nAETable END\n"
    )
    command = ["/usr/bin/dcmqrscp", "-c", str(configuration), str(port)]
    with process(command, folder / "dcmqrscp.log", env=ENVIRONMENT):
        wait_until(lambda: echoes(port, ae_title), "dcmqrscp answers")
        yield StoreSCP(port, storage)


@contextmanager
def redis_server(folder: Path, *options: str, port: int | None = None) -> Iterator[int]:
    """Redis, with what it was told before in this folder; its port."""
    require("redis")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    bound = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder))
    command = [str(PROGRAMS["redis"]), *bound, "--save", "", "--appendonly", "yes", *options]
    with process(command, folder / "redis.log"):
        wait_until(lambda: listens(port), "Redis listens")
        yield port


@contextmanager
def nats_server(folder: Path, configuration: str = "") -> Iterator[int]:
    """A NATS server, with a configuration as it reads one; its port."""
    require("nats")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (folder / "nats.conf").write_text(configuration)
    bound = ("--addr", "127.0.0.1", "--port", str(port))
    command = [str(PROGRAMS["nats"]), *bound, "--config", str(folder / "nats.conf")]
    with process(command, folder / "nats.log"):
        wait_until(lambda: listens(port), "NATS listens")
        yield port


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


class PostgreSQL:
    """A PostgreSQL server, whose databases sort as people do and not as SQLite does."""

    USER = "writer"

    def __init__(self, folder: Path):
        self.port = free_port()
        self._folder = folder
        self._data = folder / "data"
        self._running = ExitStack()
        shutil.chown(folder, *_UNPRIVILEGED)
        self._run(
            *("initdb", "--pgdata", str(self._data), "--username", self.USER, "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            *("--locale-provider", "icu", "--icu-locale", "en"),
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-p", str(self.port), "-k", str(self._folder), "-c", "fsync=off"]
        command = [str(POSTGRESQL / "postgres"), "-D", str(self._data), *options]
        log = self._folder / "log"
        running = process([*_as_unprivileged(), *command], log, ends_by=SIGINT, cwd=self._folder)
        self._running.enter_context(running)
        wait_until(self._is_ready, "PostgreSQL answers")

    def stop(self) -> None:
        """End it, and every connection to it; what was committed stays."""
        self._running.close()

    def create(self, database: str, *options: str) -> None:
        """Make a database."""
        self._run("createdb", *self._where(), *options, database)

    def address(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://{self.USER}@127.0.0.1:{self.port}/{database}"

    def _where(self) -> list[str]:
        return ["--host", "127.0.0.1", "--port", str(self.port), "--username", self.USER]

    def _is_ready(self) -> bool:
        asked = [str(POSTGRESQL / "pg_isready"), "-q", *self._where()[:4]]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*_as_unprivileged(), str(POSTGRESQL / program), *arguments],
            check=True,
            capture_output=True,
            timeout=60,
            cwd=self._folder,
        )


_UNPRIVILEGED = ("nobody", "nogroup") if os.geteuid() == 0 else (os.geteuid(), os.getegid())
"""PostgreSQL refuses to be run by root."""


def _as_unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return []
    user, group = _UNPRIVILEGED
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A server, in a temporary folder of its own: its user may not enter those of the tests."""
    require("postgresql")
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = PostgreSQL(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
