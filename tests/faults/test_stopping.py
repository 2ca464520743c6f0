"""What is acknowledged survives the end of the router, however it ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, WriterProcess, data_set_of, running, wait_until
from tests.faults.sending import PATIENCE_S, send, sending

SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "300ms", "stable_after": "2s"},
    "registration": {"lease": "10s", "heartbeat": "1s"},
    "delivery": {"retry": {"first": "200ms", "max": "1s"}},
}


def begin_sending(router: RouterProcess, paths: Sequence[Path]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        sending(router, paths), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def acknowledged(sender: subprocess.Popen[bytes]) -> int:
    """How many instances the sender saw acknowledged before its associations ended."""
    output, _ = sender.communicate(timeout=PATIENCE_S)
    count: int = json.loads(output)["sent"]
    return count


def stored(router: RouterProcess) -> int:
    """How many instances the router knows of."""
    studies = router.get("/studies?limit=1000")["studies"]
    return sum(study["instances"] for study in studies)


def spooled_bytes(router: RouterProcess) -> int:
    """Bytes in the router's spool, which is ahead of its ledger."""
    segments = (router.directory / "data" / "spool").glob("*.seg")
    return sum(segment.stat().st_size for segment in segments)


def wait_for_some(router: RouterProcess) -> None:
    """Wait until some twenty instances have arrived, while the others still do."""
    wait_until(lambda: spooled_bytes(router) > 21 * 2 * 256 * 256, "some instances have arrived")


def test_kill_9_in_the_middle_of_receiving_loses_nothing_acknowledged(tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=400, rows=256, columns=256)
    sent = {data_set_of(path) for path in paths}
    router = RouterProcess(tmp_path / "router", SETTINGS)
    backup = WriterProcess(tmp_path, "BACKUP", router.url, None)
    with running(router, backup):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        sender = begin_sending(router, paths)
        wait_for_some(router)

        router.kill()
        promised = acknowledged(sender)
        router.start()

        assert 20 < promised < len(paths)
        wait_until(lambda: backup.count() >= promised, f"{promised} instances are delivered")
        assert set(backup.data_sets().values()) <= sent


def test_kill_9_in_the_middle_of_delivering_delivers_the_rest_after_a_restart(
    tmp_path: Path,
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=300, rows=256, columns=256)
    router = RouterProcess(tmp_path / "router", SETTINGS)
    backup = WriterProcess(tmp_path, "BACKUP", router.url, None)
    with running(router, backup):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        assert send(router, paths).acknowledged == set(paths)
        wait_until(lambda: backup.count() > 0, "the delivery has begun")

        router.kill()
        router.start()

        wait_until(lambda: backup.count() == len(paths), "everything is delivered")
        assert sorted(backup.data_sets().values()) == sorted(map(data_set_of, paths))


def test_sigterm_finishes_what_is_in_flight_and_keeps_the_rest(tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=400, rows=256, columns=256)
    router = RouterProcess(tmp_path / "router", SETTINGS)
    backup = WriterProcess(tmp_path, "BACKUP", router.url, None)
    with running(router, backup):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        sender = begin_sending(router, paths)
        wait_for_some(router)

        status = router.terminate(within_s=30)
        promised = acknowledged(sender)
        router.start()

        assert status == 0
        wait_until(lambda: backup.count() >= promised, f"{promised} instances are delivered")


def test_a_deleted_ledger_is_rebuilt_from_the_spool(tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=30, rows=64, columns=64)
    router = RouterProcess(tmp_path / "router", SETTINGS)
    with running(router):
        assert send(router, paths).acknowledged == set(paths)
        wait_until(lambda: stored(router) == len(paths), "everything is recorded")
        router.kill()
        for path in (router.directory / "data").glob("ledger.db*"):
            path.unlink()

        router.start()

        wait_until(lambda: stored(router) == len(paths), "everything is in the new ledger")
