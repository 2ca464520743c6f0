"""Bytes that changed in the spool never leave the router, and keep nothing else from leaving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import peers
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, data_set_of, free_port, running, wait_until
from tests.faults.sending import send

INSTANCES = 12


@dataclass(frozen=True, slots=True)
class Case:
    """A router that holds a whole study for a writer which is not there yet."""

    router: RouterProcess
    paths: list[Path]
    port: int

    def segment_with(self, data_set: bytes) -> tuple[Path, int]:
        """The spool file that holds a data set, and where."""
        for path in (self.router.directory / "data" / "spool").glob("*.seg"):
            at = path.read_bytes().find(data_set)
            if at >= 0:
                return path, at
        raise AssertionError("the data set is in no segment")

    def delivery(self) -> Any:
        """The first delivery of the study, in full."""
        deliveries = self.router.get("/deliveries")["deliveries"]
        return self.router.get(f"/deliveries/{deliveries[-1]['id']}") if deliveries else None

    def is_decided(self, count: int) -> bool:
        """Whether the first delivery has delivered so many and has given up the rest."""
        detail = self.delivery()["delivery"]
        return bool(detail["delivered"] == count and detail["state"] in ("dead", "delivered"))


@pytest.fixture(params=[128, 1024], ids=["read at once", "read in many pieces"])
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    port = free_port()
    settings = {
        "completion": {"quiet_after": "200ms", "stable_after": "2s"},
        "delivery": {"retry": {"first": "200ms", "max": "500ms"}},
        "candidates": {"ARCHIVE": {"host": "127.0.0.1", "port": port, "associations": 2}},
    }
    paths = make_ct_series(tmp_path / "ct", instances=INSTANCES, rows=request.param, columns=1024)
    router = RouterProcess(tmp_path / "router", settings)
    with running(router):
        held = Case(router, paths, port)
        in_order = send(router, paths, associations=1)
        assert in_order.acknowledged == set(paths)
        wait_until(held.delivery, "the study is routed")
        yield held


def flip_a_bit(path: Path, offset: int) -> None:
    with path.open("r+b") as segment:
        segment.seek(offset)
        (byte,) = segment.read(1)
        segment.seek(offset)
        segment.write(bytes([byte ^ 0x10]))


def test_an_instance_whose_bytes_have_changed_never_leaves_and_the_rest_arrives(
    case: Case, tmp_path: Path
) -> None:
    sent = [data_set_of(path) for path in case.paths]
    segment, at = case.segment_with(sent[5])
    flip_a_bit(segment, at + len(sent[5]) // 2)
    with peers.storescp(tmp_path / "archive", port=case.port) as archive:
        wait_until(lambda: case.is_decided(INSTANCES - 1), "all but one instance are delivered")
        arrived = sorted(archive.data_sets().values())
        (undelivered,) = case.delivery()["undelivered"]
        assert arrived == sorted(sent[:5] + sent[6:])
        assert undelivered["sop_instance_uid"] == case.paths[5].stem
        assert "checksum" in undelivered["reason"]

        again = case.paths[5:6]
        assert send(case.router, again).acknowledged == set(again)  # as the reason asks for

        wait_until(lambda: sorted(archive.data_sets().values()) == sorted(sent), "all is there")


def test_an_instance_that_the_disk_cannot_read_stays_to_be_sent_and_the_rest_arrives(
    case: Case, tmp_path: Path
) -> None:
    sent = [data_set_of(path) for path in case.paths]
    segment, at = case.segment_with(sent[-1])
    whole = segment.read_bytes()
    with segment.open("r+b") as file:
        file.truncate(at + len(sent[-1]) // 2)
    with peers.storescp(tmp_path / "archive", port=case.port) as archive:

        def is_waiting() -> bool:
            detail = case.delivery()["delivery"]
            return (detail["delivered"], detail["state"]) == (INSTANCES - 1, "retrying")

        wait_until(is_waiting, "all but one instance are delivered")
        assert sorted(archive.data_sets().values()) == sorted(sent[:-1])
        assert "shorter than its records say" in case.delivery()["delivery"]["reason"]

        segment.write_bytes(whole)  # the disk can be read again

        wait_until(lambda: sorted(archive.data_sets().values()) == sorted(sent), "all is there")
