"""Every scenario of the benchmark, in the order of its page."""

from __future__ import annotations

from collections.abc import Callable

from bench.plan import Scale, Scenario
from bench.scenarios import (
    determination,
    fanout,
    hospital,
    idle,
    ingress,
    multiframe,
    negotiation,
    outbound,
    shipped,
    stalled,
    startup,
    urgent,
)

SCENARIOS: dict[str, Callable[[Scale], Scenario]] = {
    "ingress": ingress.scenario,
    "multiframe": multiframe.scenario,
    "idle": idle.scenario,
    "shipped": shipped.scenario,
    "outbound": outbound.scenario,
    "fanout": fanout.scenario,
    "stalled": stalled.scenario,
    "urgent": urgent.scenario,
    "negotiation": negotiation.scenario,
    "determination": determination.scenario,
    "startup": startup.scenario,
    "hospital": hospital.scenario,
}
