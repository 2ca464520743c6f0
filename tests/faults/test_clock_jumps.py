"""The wall clock may jump: nothing waits longer for it, nothing is given up, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import peers
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, WriterProcess, free_port, running, wait_until
from tests.faults.clocks import SettableClock
from tests.faults.sending import data_sets, send

INSTANCES = 5
SOON_S = 60.0
"""Far less than any jump here; the longest pause of the router's own is one second."""
SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "300ms", "stable_after": "2s"},
    "registration": {"lease": "4s", "heartbeat": "1s"},
    "delivery": {"retry": {"first": "200ms", "max": "1s"}},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A router with a clock of its own, a writer that registers itself, one that is away."""

    router: RouterProcess
    writer: WriterProcess
    clock: SettableClock
    folder: Path
    port: int  # of the one that is away

    def send_study(self, name: str) -> dict[str, bytes]:
        """Send a new study; its data sets."""
        paths = make_ct_series(self.folder / name, INSTANCES, rows=64, columns=64)
        assert send(self.router, paths).acknowledged == set(paths)
        return data_sets(paths)

    def deliveries_to(self, ae_title: str, state: str) -> int:
        """How many deliveries to a candidate are in a state."""
        answer = self.router.get(f"/deliveries?candidate={ae_title}&state={state}")
        return len(answer["deliveries"])

    def wait_for(self, ae_title: str, state: str, count: int) -> None:
        """Wait, not long, for so many deliveries in a state."""
        what = f"{count} deliveries to {ae_title} are {state}"
        wait_until(lambda: self.deliveries_to(ae_title, state) == count, what, SOON_S)

    def came(self, at: datetime) -> bool:
        """Whether any study came about then, by the clock of the router."""
        studies = self.router.get("/studies")["studies"]
        arrivals = [datetime.fromisoformat(study["first_arrival_at"]) for study in studies]
        return any(abs(arrival - at) < timedelta(minutes=5) for arrival in arrivals)


@contextmanager
def prepared(tmp_path: Path) -> Iterator[Case]:
    clock = SettableClock(tmp_path)
    port = free_port()
    settings = {**SETTINGS, "candidates": {"AWAY": {"host": "127.0.0.1", "port": port}}}
    router = RouterProcess(tmp_path / "router", settings)
    router.environment = clock.environment
    writer = WriterProcess(tmp_path, "WRITER", router.url, None)
    with running(router, writer):
        wait_until(lambda: router.candidates() == {"AWAY", "WRITER"}, "both are candidates")
        yield Case(router, writer, clock, tmp_path, port)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with prepared(tmp_path) as one:
        yield one


@pytest.mark.parametrize("hours", [2, -2])
def test_a_jump_delays_no_study_no_attempt_and_ends_no_lease(
    case: Case, tmp_path: Path, hours: int
) -> None:
    sent = case.send_study("before")
    case.wait_for("WRITER", "delivered", 1)
    case.wait_for("AWAY", "retrying", 1)

    case.clock.set(f"{hours:+d}h")

    sent |= case.send_study("after")
    case.wait_for("WRITER", "delivered", 2)
    assert case.came(datetime.now(UTC) + timedelta(hours=hours))
    with peers.storescp(tmp_path / "away", port=case.port) as away:
        case.wait_for("AWAY", "delivered", 2)
        assert away.data_sets() == sent
    assert case.writer.data_sets() == sent
    states = {one["ae_title"]: one["state"] for one in case.router.get("/candidates")["candidates"]}
    assert states["WRITER"] == "live"


@pytest.mark.parametrize("hours", [2, -2])
def test_a_router_that_wakes_up_in_another_time_goes_on_at_once(
    case: Case, tmp_path: Path, hours: int
) -> None:
    sent = case.send_study("before")
    case.wait_for("AWAY", "retrying", 1)
    case.router.kill()
    case.clock.set(f"{hours:+d}h")

    case.router.start()

    with peers.storescp(tmp_path / "away", port=case.port) as away:
        case.wait_for("AWAY", "delivered", 1)
        assert away.data_sets() == sent
    case.wait_for("WRITER", "delivered", 1)
