"""Router and writers are killed again and again under load, and nothing acknowledged is lost.

``make faults KILLS=200 SEED=7`` is the long form.
"""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Process, RouterProcess, WriterProcess, running, wait_until
from tests.faults import modality
from tests.faults.campaign import (
    Acknowledged,
    Killer,
    is_at_rest,
    journaling_writer,
    overstated,
    read_journal,
    read_record,
)
from tests.faults.conftest import Report

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", "1"))
CHECK_EVERY = 5

SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "300ms", "stable_after": "3s"},
    "registration": {"lease": "10s", "heartbeat": "1s"},
    "delivery": {"retry": {"first": "200ms", "max": "1s"}},
    "retention": {"retain_for": "2s"},
    "spool": {"segment_size": "8MiB"},
}


def check_writer(writer: WriterProcess, expected: dict[str, Acknowledged]) -> int:
    """Everything is there, byte for byte, and was never anything else; how often it came again."""
    held = {
        instance: hashlib.sha256(data_set).hexdigest()
        for instance, data_set in writer.data_sets().items()
    }
    assert held == {one.instance: one.digest for one in expected.values()}
    given = read_journal(writer)
    assert {instance: {held[instance]} for instance in held} == {
        instance: set(digests) for instance, digests in given.items()
    }
    return sum(len(digests) - 1 for digests in given.values())


@pytest.mark.timeout(180 + 6 * KILLS)
def test_nothing_acknowledged_is_lost_however_often_router_and_writers_are_killed(
    tmp_path: Path, report: Report
) -> None:
    router = RouterProcess(tmp_path / "router", SETTINGS)
    backup = journaling_writer(tmp_path, "BACKUP", router.url, None)
    ct = journaling_writer(tmp_path, "CT", router.url, "MODALITY|EQUAL|CT")
    folder = tmp_path / "sent"
    folder.mkdir()
    arguments = ["tests.faults.modality", str(router.dicom_port), str(folder), str(SEED)]
    sender = Process("modality", arguments, tmp_path / "modality.log")
    with running(router, backup, ct):
        wait_until(lambda: router.candidates() == {"BACKUP", "CT"}, "both writers are registered")
        with running(sender):
            killer = Killer(random.Random(SEED), router, (backup, ct))
            for number in range(1, KILLS + 1):
                killer.strike()
                assert sender.child.poll() is None, sender.log.read_text()
                if number % CHECK_EVERY == 0:
                    wait_until(router.is_ready, "the router is ready again")
                    assert not overstated(router, backup) + overstated(router, ct)
            (folder / modality.STOP).touch()
            status = sender.child.wait(60)
            assert status == 0, sender.log.read_text()
        wait_until(router.is_ready, "the router is ready again")
        acknowledged = read_record(folder)
        wait_until(lambda: backup.count() >= len(acknowledged), "everything is delivered")
        wait_until(lambda: is_at_rest(router), "every delivery has come to its end")

        of_ct = {uid: one for uid, one in acknowledged.items() if one.modality == "CT"}
        resent = check_writer(backup, acknowledged) + check_writer(ct, of_ct)
        assert not overstated(router, backup) + overstated(router, ct)

    killed = ", ".join(f"{name} {count}" for name, count in sorted(killer.kills.items()))
    report(
        f"{KILLS} kills (seed {SEED}: {killed}); {len(acknowledged)} instances acknowledged, "
        f"{sum(one.offers > 1 for one in acknowledged.values())} of them sent or offered again; "
        f"{len(acknowledged) + len(of_ct)} delivered, {resent} delivered again with the same "
        f"bytes; lost = 0"
    )
