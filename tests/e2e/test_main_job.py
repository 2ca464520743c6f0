"""The main job seen from outside: real processes, real files, every data set compared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.corpus import make_ct_series, make_dx, real_files
from tests.e2e.stack import RouterProcess, WriterProcess, data_set_of, running, wait_until

SETTINGS = {
    "discard": ["MODALITY|IS_NULL"],
    "completion": {"quiet_after": "500ms", "stable_after": "3s"},
    "registration": {"lease": "10s", "heartbeat": "1s"},
}


@dataclass(frozen=True)
class Stack:
    """A router and the three writers of the seed's topology."""

    router: RouterProcess
    generic: WriterProcess
    xray: WriterProcess
    backup: WriterProcess

    def send(self, *paths: Path, calling: str = "MODALITY") -> dict[str, object]:
        """Send with ``dicom-router send``; its JSON report."""
        done = subprocess.run(
            [sys.executable, "-m", "router.cli.main", "send", "--json"]
            + ["--to", f"127.0.0.1:{self.router.dicom_port}", "--calling", calling]
            + [str(path) for path in paths],
            capture_output=True,
            timeout=120,
            check=False,
        )
        report: dict[str, object] = json.loads(done.stdout or b"{}")
        return report

    def wait_until_settled(self) -> None:
        """Wait until every study is settled, and there is one."""

        def settled() -> bool:
            studies = self.router.get("/studies?limit=1000")["studies"]
            return bool(studies) and all(
                study["state"] in ("settled", "reclaimed") for study in studies
            )

        wait_until(settled, "every study is settled")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A running stack whose writers have registered themselves."""
    router = RouterProcess(tmp_path / "router", SETTINGS)
    writers = [
        WriterProcess(tmp_path, "GENERIC", router.url, "MODALITY|NOT_IN|CR,DX"),
        WriterProcess(tmp_path, "XRAY", router.url, "MODALITY|IN|CR,DX"),
        WriterProcess(tmp_path, "BACKUP", router.url, None),
    ]
    with running(router, *writers):
        wait_until(lambda: len(router.candidates()) == 3, "all three writers are registered")
        yield Stack(router, *writers)


def data_sets(paths: list[Path]) -> dict[str, bytes]:
    return {path.stem: data_set_of(path) for path in paths}


def test_a_ct_study_reaches_the_generic_and_the_backup_writer_byte_for_byte(
    stack: Stack, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=20, rows=128, columns=128)

    report = stack.send(tmp_path / "ct")
    stack.wait_until_settled()

    assert report["sent"] == 20
    sent = sorted(data_set_of(path) for path in paths)
    assert sorted(stack.generic.data_sets().values()) == sent
    assert sorted(stack.backup.data_sets().values()) == sent
    assert stack.xray.data_sets() == {}


def test_an_xray_study_reaches_the_xray_and_the_backup_writer(stack: Stack, tmp_path: Path) -> None:
    path = make_dx(tmp_path / "dx")

    stack.send(path)
    stack.wait_until_settled()

    assert list(stack.xray.data_sets().values()) == [data_set_of(path)]
    assert list(stack.backup.data_sets().values()) == [data_set_of(path)]
    assert stack.generic.data_sets() == {}


def test_every_packaged_file_arrives_identical_in_every_transfer_syntax(
    stack: Stack, tmp_path: Path
) -> None:
    files = [file for file in real_files() if file.is_routable]

    stack.send(*(file.path for file in files))
    stack.wait_until_settled()

    held = stack.backup.data_sets()
    sent = {file.sop_instance_uid: file.data_set for file in files}
    assert len({file.transfer_syntax_uid for file in files}) >= 8
    assert held.keys() == sent.keys()
    assert [uid for uid in sent if held[uid] != sent[uid]] == []


def test_a_study_without_modality_is_discarded_with_a_reason(stack: Stack, tmp_path: Path) -> None:
    make_ct_series(tmp_path / "nameless", instances=2, rows=16, columns=16, modality="")

    report = stack.send(tmp_path / "nameless")

    refusals = wait_until(
        lambda: stack.router.get("/refusals")["refusals"], "the discarded instances are listed"
    )
    assert report["sent"] == 2
    assert len(refusals) == 2
    assert "Modality" in refusals[0]["reason"]
    assert stack.backup.count() == 0


def test_the_decision_and_the_way_of_each_instance_can_be_looked_up(
    stack: Stack, tmp_path: Path
) -> None:
    make_ct_series(tmp_path / "ct", instances=3, rows=16, columns=16)

    stack.send(tmp_path / "ct")
    stack.wait_until_settled()

    [summary] = stack.router.get("/studies")["studies"]
    study = stack.router.get(f"/studies/{summary['study_instance_uid']}")
    choices = {
        choice["ae_title"]: choice for choice in study["revisions"][0]["decisions"][-1]["choices"]
    }
    assert choices["XRAY"]["matched"] is False
    assert "Modality is {CT}" in choices["XRAY"]["reason"]
    deliveries = study["revisions"][0]["deliveries"]
    assert {delivery["ae_title"]: delivery["delivered"] for delivery in deliveries} == {
        "GENERIC": 3,
        "BACKUP": 3,
    }


def test_writers_register_again_after_the_router_was_restarted_without_its_ledger(
    stack: Stack,
) -> None:
    stack.router.terminate()
    for path in (stack.router.directory / "data").glob("ledger*"):
        path.unlink()

    stack.router.start()

    wait_until(lambda: len(stack.router.candidates()) == 3, "all writers are registered again")


def test_a_seed_style_registration_gets_studies_too(stack: Stack, tmp_path: Path) -> None:
    extra = WriterProcess(tmp_path, "SEED", "", None)
    extra.environment.pop("ROUTER_URL")
    with running(extra):
        answer = stack.router.post(
            "/candidates",
            {
                "aet": "SEED",
                "host": "127.0.0.1",
                "port": extra.port,
                "routingCriteria": {
                    "routableAttribute": "MODALITY",
                    "operator": "IN",
                    "value": ["CT", "MR"],
                },
            },
        )
        make_ct_series(tmp_path / "ct", instances=4, rows=16, columns=16)

        stack.send(tmp_path / "ct")
        stack.wait_until_settled()

        assert answer["status"] == "ok"
        assert extra.count() == 4
