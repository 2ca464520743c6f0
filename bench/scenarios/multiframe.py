"""Objects of 210 MB: bytes per second, and the memory that they take while they arrive."""

from __future__ import annotations

import threading
from functools import partial

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, Value, at_least, at_most
from bench.receivers import Receiver, started
from bench.senders import generate

RATE, PEAK = "MB/s", "peak MB"
HOW = """\
Three objects over each association, from `bench.generator`. Peak MB is the largest resident
memory of all processes together, looked at every 50 ms. storescp flushes nothing."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    size = scale.pick(210_000_000, 40_000_000)
    counts = (1,) if scale.smoke else (1, 3)
    loads = {f"{size // 10**6} MB, {count} at a time": count for count in counts}
    trials = [
        Trial(
            load,
            {name: partial(measure, name, size, count) for name in ("router", "storescp")},
        )
        for load, count in loads.items()
    ]
    claims: list[Ratio | Value] = []
    for load in loads:
        claims.append(Ratio(load, RATE, "router", "storescp", at_least(0.8)))
        claims.append(Value(load, PEAK, "router", at_most(64, " MB")))
    return Scenario("multiframe", "Large multi-frame objects", HOW, trials, claims)


def measure(name: str, size: int, associations: int) -> Figures:
    """One receiver under one load."""
    with started(name) as receiver, Peak(receiver) as peak:
        said = generate(
            receiver.port, size=size, instances=3 * associations, associations=associations
        )
        if said["failed"] or said["rejected"]:
            raise RuntimeError(f"{name} did not take everything: {said}")
        return {RATE: said["per_second"] * size / 1e6, PEAK: peak.mb}


class Peak:
    """Watches a receiver's memory while the block runs."""

    def __init__(self, receiver: Receiver, every_s: float = 0.05):
        self._receiver = receiver
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mb = 0.0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self.mb = max(self.mb, self._receiver.resident_mb)
