"""Too much of everything: the router refuses in time, keeps what it promised, and goes on."""

from __future__ import annotations

import socket
import sqlite3
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest

from router.dicom import pdu, uids
from router.dicom.negotiation import propose
from tests import peers
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, data_set_of, free_port, running, wait_until
from tests.faults.sending import Sent, send

MIB = 1 << 20
OUT_OF_RESOURCES = "A700"
SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "200ms", "stable_after": "2s"},
    "delivery": {"retry": {"first": "200ms", "max": "500ms"}},
    "retention": {"retain_for": "0s"},
}


def a_router(directory: Path, port: int, **sections: dict[str, Any]) -> RouterProcess:
    """A router with one static candidate, which may not be there yet."""
    archive = {"ARCHIVE": {"host": "127.0.0.1", "port": port}}
    return RouterProcess(directory, {**SETTINGS, "candidates": archive, **sections})


def delivers_everything(
    router: RouterProcess, paths: Sequence[Path], failed: list[Path], folder: Path, port: int
) -> None:
    """Everything that was acknowledged arrives; then, so does what was refused before."""
    acknowledged = [path for path in paths if path not in failed]
    with peers.storescp(folder, port=port) as archive:
        expected = sorted(map(data_set_of, acknowledged))
        wait_until(
            lambda: sorted(archive.data_sets().values()) == expected,
            "all that was acknowledged is delivered",
        )
        waiting = failed
        while waiting:
            waiting = _send_what_fits(router, waiting)
        expected = sorted(map(data_set_of, paths))
        wait_until(
            lambda: sorted(archive.data_sets().values()) == expected, "everything is delivered"
        )


def _send_what_fits(router: RouterProcess, paths: Sequence[Path]) -> list[Path]:
    """Send as soon as the router takes anything; what it refused of it."""
    sent: Sent = wait_until(
        lambda: (one := send(router, paths)).acknowledged and one, "reception has resumed"
    )
    return sent.failed


def test_a_spool_at_its_limit_refuses_and_resumes_when_studies_are_delivered(
    tmp_path: Path,
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=16, rows=512, columns=512)
    port = free_port()
    router = a_router(
        tmp_path / "router", port, spool={"max_bytes": "4MiB", "segment_size": "1MiB"}
    )
    with running(router):
        first = send(router, paths)

        assert 4 <= len(first.acknowledged) < len(paths)
        assert first.statuses == {
            "0000": len(first.acknowledged),
            OUT_OF_RESOURCES: len(first.failed),
        }
        refusals = wait_until(lambda: router.get("/refusals")["refusals"], "they are recorded")
        assert "spool.max_bytes" in refusals[0]["reason"]
        assert not router.is_ready()
        delivers_everything(router, paths, first.failed, tmp_path / "archive", port)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB for the router's folder."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        peers.unable("a file system in memory may not be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.mark.parametrize(
    ("min_free", "ballast"), [("24MiB", 9 * MIB), ("0B", 28 * MIB)], ids=["almost full", "full"]
)
def test_a_disk_without_room_refuses_and_resumes_when_there_is_room_again(
    small_disk: Path, tmp_path: Path, min_free: str, ballast: int
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=24, rows=512, columns=512)
    port = free_port()
    router = a_router(small_disk / "router", port, spool={"min_free": min_free})
    with running(router):
        early = send(router, paths[:4])
        filler = small_disk / "filler"
        filler.write_bytes(bytes(ballast))
        others = iter(paths[4:])
        refused: list[Path] = wait_until(
            lambda: send(router, [next(others)]).failed, "there is no room any more"
        )
        late = send(router, list(others))

        assert early.failed == []
        assert late.statuses.get(OUT_OF_RESOURCES, 0) > 0
        assert set(late.statuses) <= {"0000", OUT_OF_RESOURCES}
        filler.unlink()
        failed = [*refused, *late.failed]
        delivers_everything(router, paths, failed, tmp_path / "archive", port)


@contextmanager
def nobody_else_writes(ledger: Path) -> Iterator[None]:
    """Another process holds the ledger, as a careless backup does."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def make_wordy(paths: Sequence[Path]) -> None:
    """Give each instance attributes that are as long as a sender can make them."""
    for path in paths:
        data_set = pydicom.dcmread(path)
        for keyword in ("StudyDescription", "SeriesDescription", "ProtocolName"):
            setattr(data_set, keyword, "x" * 65_000)
        data_set.save_as(path)


@pytest.mark.filterwarnings("ignore:The value length")
def test_a_ledger_that_stays_away_fills_no_memory_and_catches_up(tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=450, rows=16, columns=16)
    make_wordy(paths)
    port = free_port()
    router = a_router(tmp_path / "router", port)
    with running(router):
        with nobody_else_writes(router.directory / "data" / "ledger.db"):
            first = send(router, paths)
            assert router.resident_bytes < 400 * MIB

        assert 0 < len(first.acknowledged) < len(paths)
        assert set(first.statuses) == {"0000", OUT_OF_RESOURCES}
        delivers_everything(router, paths, first.failed, tmp_path / "archive", port)


def associate_request(calling: str) -> bytes:
    return pdu.encode(
        pdu.AssociateRQ(
            called_ae_title="ROUTER",
            calling_ae_title=calling,
            contexts=propose([(uids.VERIFICATION, uids.IMPLICIT_VR_LITTLE_ENDIAN)]),
            user=pdu.UserInformation(max_length=16384, implementation_class_uid="1.2.3"),
        )
    )


@contextmanager
def an_association(router: RouterProcess) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection on which an association was asked for, and the answer."""
    with socket.create_connection(("127.0.0.1", router.dicom_port), timeout=20) as connection:
        connection.sendall(associate_request("GREEDY"))
        yield connection, connection.recv(4096)


ACCEPTED, REJECTED, RELEASE = 2, 3, struct.pack(">BBII", 5, 0, 4, 0)
TRANSIENT_LOCAL_LIMIT = (2, 3, 2)  # PS3.8 table 9-21: result, source, reason


def test_one_source_cannot_take_all_associations(tmp_path: Path) -> None:
    limits = {"max_associations_per_source": 3}
    router = a_router(tmp_path / "router", free_port(), router=limits)
    with running(router), ExitStack() as open_ones:
        held = [open_ones.enter_context(an_association(router)) for _ in range(3)]
        assert [answer[0] for _, answer in held] == [ACCEPTED] * 3
        with an_association(router) as (_, answer):
            assert (answer[0], *answer[7:10]) == (REJECTED, *TRANSIENT_LOCAL_LIMIT)

        held[0][0].sendall(RELEASE)
        assert held[0][0].recv(4096)[0] == 6  # A-RELEASE-RP

        with an_association(router) as (_, answer):
            assert answer[0] == ACCEPTED


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A router that waits for nobody for longer than a second."""
    timeouts = {"artim": "1s", "idle": "1s", "message": "1s"}
    router = a_router(
        tmp_path_factory.mktemp("impatient"), free_port(), router={"timeouts": timeouts}
    )
    with running(router):
        yield router


def is_closed_by_the_router(connection: socket.socket, trickle: bytes = b"") -> bool:
    """Whether the connection ends although ``trickle`` goes on, byte by byte."""
    connection.settimeout(0.1)
    for at in range(600):
        try:
            connection.sendall(trickle[at : at + 1])
            if not connection.recv(4096):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_an_idle_association_is_ended(impatient: RouterProcess) -> None:
    with an_association(impatient) as (connection, answer):
        assert answer[0] == ACCEPTED
        assert is_closed_by_the_router(connection)


def test_a_connection_that_says_nothing_is_ended(impatient: RouterProcess) -> None:
    with socket.create_connection(("127.0.0.1", impatient.dicom_port)) as connection:
        assert is_closed_by_the_router(connection)


def test_an_association_request_that_trickles_in_is_given_up(impatient: RouterProcess) -> None:
    with socket.create_connection(("127.0.0.1", impatient.dicom_port)) as connection:
        assert is_closed_by_the_router(connection, associate_request("SLOW"))


def test_a_message_that_trickles_in_is_given_up(impatient: RouterProcess) -> None:
    with an_association(impatient) as (connection, _):
        begun = struct.pack(">BBIIBB", 4, 0, 8006, 8002, 1, 3) + bytes(1000)
        assert is_closed_by_the_router(connection, begun)
