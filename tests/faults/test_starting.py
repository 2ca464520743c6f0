"""Whatever state the last run left behind: a start finds everything that was acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.corpus import make_ct_series
from tests.e2e.stack import (
    Process,
    RouterProcess,
    WriterProcess,
    data_set_of,
    running,
    wait_until,
)
from tests.faults.sending import send

SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "300ms", "stable_after": "2s"},
    "registration": {"lease": "10s", "heartbeat": "1s"},
    "delivery": {"associations": 1, "retry": {"first": "200ms", "max": "1s"}},
}


def ledger_files(router: RouterProcess) -> list[Path]:
    return sorted((router.directory / "data").glob("ledger.db*"))


def delete_ledger(router: RouterProcess) -> None:
    for path in ledger_files(router):
        path.unlink()


def test_a_damaged_ledger_stops_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=20, rows=64, columns=64)
    router = RouterProcess(tmp_path / "router", SETTINGS)
    backup = WriterProcess(tmp_path, "BACKUP", router.url, None)
    with running(router):
        assert send(router, paths).acknowledged == set(paths)
        wait_until(lambda: router.get("/studies")["studies"], "the study is recorded")
        assert router.terminate() == 0
        (ledger,) = ledger_files(router)
        ledger.write_bytes(b"\xff" * ledger.stat().st_size)

        Process.start(router)

        assert router.child.wait(30) != 0
        said = router.log.read_text()
        assert str(ledger) in said
        assert "move it away and start the router again" in said

        ledger.rename(ledger.with_suffix(".damaged"))  # as it says
        with running(router, backup):
            wait_until(lambda: backup.count() == len(paths), "everything is delivered")


def test_a_damaged_record_costs_itself_and_none_behind_it(tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=9, rows=64, columns=64)
    sent = [data_set_of(path) for path in paths]
    router = RouterProcess(tmp_path / "router", SETTINGS)
    backup = WriterProcess(tmp_path, "BACKUP", router.url, None)
    with running(router):
        in_order = send(router, paths, associations=1)
        assert in_order.acknowledged == set(paths)
        router.kill()
        delete_ledger(router)
        (segment,) = (router.directory / "data" / "spool").glob("*.seg")
        content = bytearray(segment.read_bytes())
        content[content.index(sent[4]) + 2000] ^= 1
        torn = content[: content.index(sent[8]) + 1000]  # the tail is cut off, too
        segment.write_bytes(torn)

        with running(router, backup):
            wait_until(lambda: backup.count() == 7, "all intact instances are delivered")
            assert sorted(backup.data_sets().values()) == sorted(sent[:4] + sent[5:8])
            assert "a spooled instance is damaged" in router.log.read_text()


def test_a_study_that_is_sent_twice_is_delivered_and_kept_once(tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=10, rows=64, columns=64)
    router = RouterProcess(tmp_path / "router", SETTINGS)
    with running(router):
        assert send(router, paths).acknowledged == set(paths)
        wait_until(lambda: router.get("/studies?state=unrouted")["studies"], "it is complete")
        assert send(router, paths).acknowledged == set(paths)
        (study,) = router.get("/studies")["studies"]
        uid = study["study_instance_uid"]
        detail = wait_until(
            lambda: (one := router.get(f"/studies/{uid}"))["repeated"] == 10 and one,
            "the duplicates are recorded",
        )
        assert (detail["instances"], len(detail["revisions"])) == (10, 1)
        assert {one["disposition"] for one in detail["repeats"]} == {"duplicate"}

        router.kill()
        router.start()  # recovery repeats no record, and looks for what may be given back

        detail = router.get(f"/studies/{uid}")
        assert (detail["instances"], detail["repeated"], len(detail["revisions"])) == (10, 10, 1)

        def is_given_back() -> bool:
            repeats = router.get(f"/studies/{uid}")["repeats"]
            return all(one["reclaimed_at"] for one in repeats)

        wait_until(is_given_back, "the bytes of the duplicates have left the spool")
