"""The ledger goes away or is locked, the disk fails to flush: nothing acknowledged is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import peers
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, WriterProcess, running, wait_until
from tests.faults.sending import data_sets, send

SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "300ms", "stable_after": "3s"},
    "registration": {"lease": "10s", "heartbeat": "1s"},
    "delivery": {"retry": {"first": "200ms", "max": "1s"}},
}


@pytest.fixture
def router(tmp_path: Path) -> RouterProcess:
    return RouterProcess(tmp_path / "router", SETTINGS)


@pytest.fixture
def backup(tmp_path: Path, router: RouterProcess) -> Iterator[WriterProcess]:
    """A writer that is registered with a running router."""
    writer = WriterProcess(tmp_path, "BACKUP", router.url, None)
    with running(router, writer):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        yield writer


def ledger_of(router: RouterProcess) -> Path:
    return router.directory / "data" / "ledger.db"


def stored(router: RouterProcess) -> int:
    """How many instances the ledger knows of."""
    return sum(study["instances"] for study in router.get("/studies?limit=1000")["studies"])


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Another process's write lock, for all that the router can tell."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_ledger_that_is_deleted_in_the_middle_of_deliveries_loses_nothing(
    router: RouterProcess, backup: WriterProcess, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=300, rows=256, columns=256)
    ct = WriterProcess(tmp_path, "CT", router.url, "MODALITY|EQUAL|CT")
    with running(ct):
        wait_until(lambda: router.candidates() == {"BACKUP", "CT"}, "both are registered")
        assert send(router, paths).acknowledged == set(paths)
        wait_until(lambda: backup.count() > 10, "the delivery has begun")
        router.kill()
        assert backup.count() < len(paths)
        for path in ledger_of(router).parent.glob("ledger.db*"):
            path.unlink()

        router.start()

        wait_until(lambda: backup.count() == len(paths), "the backup writer has everything")
        wait_until(lambda: ct.count() == len(paths), "the other one too, though it had to register")
    assert backup.data_sets() == ct.data_sets() == data_sets(paths)


def test_a_locked_ledger_holds_no_modality_up_and_everything_is_delivered_afterwards(
    router: RouterProcess, backup: WriterProcess, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=300, rows=64, columns=64)
    with locked(ledger_of(router)):
        assert send(router, paths).acknowledged == set(paths)
        assert stored(router) == 0  # the lock has held
        wait_until(
            lambda: "arrivals stay safe in the spool" in router.log.read_text(),
            "the lock has been noticed",
        )

    wait_until(lambda: backup.count() == len(paths), "everything is delivered")
    assert backup.data_sets() == data_sets(paths)


def test_what_was_acknowledged_while_the_ledger_was_locked_survives_kill_9(
    router: RouterProcess, backup: WriterProcess, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=100, rows=64, columns=64)
    with locked(ledger_of(router)):
        assert send(router, paths).acknowledged == set(paths)
        assert stored(router) == 0
        router.kill()

    router.start()

    wait_until(lambda: backup.count() == len(paths), "everything is delivered")
    assert backup.data_sets() == data_sets(paths)


@contextmanager
def failing_flushes(router: RouterProcess, when: str, log: Path) -> Iterator[None]:
    """Let ``fdatasync`` answer EIO in the router, as often as ``when`` says, in each thread."""
    peers.require("strace")
    inject = f"inject=fdatasync:error=EIO:when={when}"
    command = ["strace", "-f", "-o", str(log), "-e", "trace=fdatasync", "-e", inject]
    with peers.process([*command, "-p", str(router.child.pid)], log.with_suffix(".out")) as strace:
        wait_until(
            lambda: "attached" in log.with_suffix(".out").read_text() or strace.poll() is not None,
            "strace is attached",
        )
        if strace.poll() is not None:
            peers.unable("strace may not trace here")
        yield


def test_a_disk_that_fails_to_flush_costs_acknowledgements_and_no_acknowledged_instance(
    router: RouterProcess, backup: WriterProcess, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=120, rows=128, columns=128)
    with failing_flushes(router, "5+9", tmp_path / "strace"):
        sent = send(router, paths)
    assert (tmp_path / "strace").read_text().count("INJECTED") > 0
    assert 0 < len(sent.acknowledged) < len(paths)
    assert sum(sent.statuses.values()) == len(paths)  # each got an answer, good or bad
    assert sent.statuses["0000"] == len(sent.acknowledged)
    router.kill()
    router.start()

    wait_until(lambda: backup.count() >= len(sent.acknowledged), "what was promised is delivered")
    arrived = backup.data_sets()
    assert {path.stem for path in sent.acknowledged} <= arrived.keys()

    again = send(router, [path for path in paths if path not in sent.acknowledged])

    assert len(again.acknowledged) + len(sent.acknowledged) == len(paths)
    wait_until(lambda: backup.count() == len(paths), "everything is delivered")
    assert backup.data_sets() == data_sets(paths)


def test_a_disk_that_fails_every_flush_gets_no_instance_acknowledged_until_it_works_again(
    router: RouterProcess, backup: WriterProcess, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=20, rows=64, columns=64)
    with failing_flushes(router, "1+", tmp_path / "strace"):
        sent = send(router, paths)
    assert sent.acknowledged == set()
    assert sum(sent.statuses.values()) == len(paths)
    assert backup.count() == 0

    assert send(router, paths).acknowledged == set(paths)

    wait_until(lambda: backup.count() == len(paths), "everything is delivered")
    assert backup.data_sets() == data_sets(paths)
