"""A writer that misbehaves hurts itself alone, and its deliveries end as documented."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import EnhancedCTImageStorage

from tests.corpus import make_ct_series
from tests.e2e.stack import (
    Process,
    RouterProcess,
    WriterProcess,
    free_port,
    running,
    wait_until,
)
from tests.faults.sending import data_sets, send
from tests.faults.sick_writer import WELL, Illness

INSTANCES = 6
STUDY, SERIES = "1.2.826.0.1.3680043.8.498.3", "1.2.826.0.1.3680043.8.498.3.1"
TIMEOUTS = {"connect": "2s", "association": "2s", "response": "2s"}


@dataclass(frozen=True, slots=True)
class Ward:
    """A router that delivers to a sick writer and to a healthy one."""

    router: RouterProcess
    healthy: WriterProcess
    folder: Path  # of the sick one
    sent: dict[str, bytes]

    def detail(self, ae_title: str) -> Any:
        """The delivery to one of the writers, in full; None before there is one."""
        for delivery in self.router.get(f"/deliveries?candidate={ae_title}")["deliveries"]:
            return self.router.get(f"/deliveries/{delivery['id']}")
        return None

    def is_in(self, ae_title: str, state: str) -> bool:
        """Whether the delivery to a writer is in a state."""
        detail = self.detail(ae_title)
        return detail is not None and detail["delivery"]["state"] == state

    def wait_for(self, state: str) -> Any:
        """The sick writer's delivery when it is in a state."""
        wait_until(lambda: self.is_in("SICK", state), f"the sick writer's delivery is {state}")
        return self.detail("SICK")

    def wait_for_the_healthy_one(self) -> None:
        """Wait until the healthy writer has everything."""
        wait_until(lambda: self.is_in("HEALTHY", "delivered"), "the healthy writer is served")
        assert self.healthy.data_sets() == self.sent

    def recover(self) -> None:
        """The sick writer is well from now on."""
        (self.folder / WELL).touch()

    @property
    def stored(self) -> dict[str, bytes]:
        """What the sick writer holds."""
        return {path.name: path.read_bytes() for path in self.folder.glob("1.2.*")}

    @property
    def calls(self) -> int:
        """Connections that the sick writer has seen."""
        return len(list((self.folder / "calls").iterdir()))


def make_study(folder: Path) -> list[Path]:
    """Instances .1 to .6 of two SOP classes in turn."""
    made = make_ct_series(folder, INSTANCES, rows=256, columns=256)
    for number, path in enumerate(made, start=1):
        data_set = pydicom.dcmread(path)
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = STUDY, SERIES
        data_set.SOPInstanceUID = f"{SERIES}.{number}"
        if number % 2 == 0:
            data_set.SOPClassUID = EnhancedCTImageStorage
        data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
        data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
        path.unlink()
        data_set.save_as(folder / f"{data_set.SOPInstanceUID}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


@contextmanager
def ward(tmp_path: Path, illness: Illness) -> Iterator[Ward]:
    """Both writers are there, and the study is sent."""
    port = free_port()
    settings = {
        "completion": {"quiet_after": "200ms", "stable_after": "5s"},
        "delivery": {"retry": {"first": "200ms", "max": "500ms"}, "timeouts": TIMEOUTS},
        "candidates": {"SICK": {"host": "127.0.0.1", "port": port}},
    }
    study = make_study(tmp_path / "study")
    router = RouterProcess(tmp_path / "router", settings)
    healthy = WriterProcess(tmp_path, "HEALTHY", router.url, None)
    folder = tmp_path / "sick"
    arguments = ["tests.faults.sick_writer", str(port), str(folder), illness.name]
    sick = Process("sick writer", arguments, tmp_path / "sick.log")
    with running(router, sick, healthy):
        wait_until(lambda: router.candidates() == {"SICK", "HEALTHY"}, "both are candidates")
        wait_until((folder / "calls").exists, "the sick writer listens")
        assert send(router, study).acknowledged == set(study)
        yield Ward(router, healthy, folder, data_sets(study))


@pytest.mark.parametrize(
    ("illness", "reason"),
    [
        (Illness.MUTE, "within 2 s"),
        (Illness.REJECTS, "1/1/1"),
        (Illness.SILENT, "within 2 s"),
        (Illness.DEAF, "within 2 s"),
        (Illness.FULL, "A700"),
    ],
    ids=str,
)
def test_a_writer_that_does_not_take_instances_for_now_gets_them_when_it_is_well_again(
    tmp_path: Path, illness: Illness, reason: str
) -> None:
    with ward(tmp_path, illness) as here:
        here.wait_for_the_healthy_one()
        retried = here.wait_for("retrying")
        wait_until(lambda: here.calls > 2, "it is tried again and again")
        assert here.stored == {}

        here.recover()

        here.wait_for("delivered")
        assert here.stored == here.sent
    assert reason in retried["delivery"]["reason"]
    assert retried["delivery"]["delivered"] == 0


def test_a_warning_counts_as_stored_and_is_kept(tmp_path: Path) -> None:
    with ward(tmp_path, Illness.WARNS) as here:
        here.wait_for_the_healthy_one()
        here.wait_for("delivered")
        assert here.stored == here.sent
        with closing(sqlite3.connect(here.router.directory / "data" / "ledger.db")) as ledger:
            kept = ledger.execute(
                "SELECT DISTINCT item.status FROM delivery_item AS item JOIN delivery"
                " ON delivery.id = item.delivery_id WHERE delivery.ae_title = 'SICK'"
            ).fetchall()
    assert kept == [(0xB000,)]


def test_an_instance_that_is_refused_for_good_is_visible_and_the_rest_arrives(
    tmp_path: Path,
) -> None:
    with ward(tmp_path, Illness.REFUSES_SECOND) as here:
        here.wait_for_the_healthy_one()
        dead = here.wait_for("dead")
        stored = here.stored
    assert stored == {uid: data for uid, data in here.sent.items() if not uid.endswith(".2")}
    [refused] = dead["undelivered"]
    assert refused["sop_instance_uid"] == f"{SERIES}.2"
    assert (refused["refused"], refused["status"]) == (True, 0xC000)
    assert dead["delivery"]["refused"] == 1


def test_a_writer_that_refuses_half_of_the_presentation_contexts_gets_the_other_half(
    tmp_path: Path,
) -> None:
    with ward(tmp_path, Illness.HALF) as here:
        here.wait_for_the_healthy_one()
        dead = here.wait_for("dead")
        stored = here.stored
    odd = {uid: data for uid, data in here.sent.items() if int(uid.rpartition(".")[2]) % 2}
    assert stored == odd
    assert len(dead["undelivered"]) == INSTANCES // 2
    assert all("does not accept" in one["reason"] for one in dead["undelivered"])


def test_an_instance_on_which_a_writer_breaks_is_set_aside_and_the_rest_arrives(
    tmp_path: Path,
) -> None:
    with ward(tmp_path, Illness.BREAKS_ON_SECOND) as here:
        here.wait_for_the_healthy_one()
        dead = here.wait_for("dead")
        stored = here.stored
    assert stored == {uid: data for uid, data in here.sent.items() if not uid.endswith(".2")}
    assert "dropped 3 times on this instance" in dead["delivery"]["reason"]


def test_a_writer_that_breaks_on_everything_gets_it_all_when_a_person_says_it_is_well(
    tmp_path: Path,
) -> None:
    with ward(tmp_path, Illness.BREAKS) as here:
        here.wait_for_the_healthy_one()
        dead = here.wait_for("dead")
        assert here.stored == {}
        here.recover()

        here.router.post(f"/deliveries/{dead['delivery']['id']}/retry", {})

        here.wait_for("delivered")
        assert here.stored == here.sent
    assert dead["delivery"]["refused"] == INSTANCES


def test_a_writer_that_closes_after_each_instance_gets_everything(tmp_path: Path) -> None:
    with ward(tmp_path, Illness.CLOSES) as here:
        here.wait_for_the_healthy_one()
        here.wait_for("delivered")
        assert here.stored == here.sent
        assert here.calls >= INSTANCES
