"""Instances per second that a receiver acknowledges, by size and number of associations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, Value, at_least, at_most
from bench.receivers import LIMIT_IN_C, started
from bench.senders import generate

RATE = "instances/s"
HOW = """\
Each receiver is started anew and gets the same load from `bench.generator`, which sends
instances that were encoded beforehand, each as soon as the one before is answered. The router
and Orthanc (SQLite, `SyncStorageArea`) flush before they acknowledge; storescp and pynetdicom
flush nothing. All have TCP_NODELAY and PDUs of 128 kB. `sink` takes the bytes through the
router's upper layer and drops them: it is the generator's ceiling. `limit` (`bench/limit.py`)
receives in a thread for each association, appends, flushes and answers, and does nothing
else: what the language allows. `limit in C` (`bench/limit.c`) does it in C, all into one file
whose room was made before, with one flush for all who wait: what disk and machine allow. The
column "limit" has what that comes to in the router's place. MB is the
resident memory after the load, of all processes together; failed counts instances that were
not stored and associations that were refused or lost."""


@dataclass(frozen=True)
class Load:
    """So many instances of one size, over so many associations at a time."""

    size: int
    associations: int
    instances: int
    peers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.size // 1000} kB, {self.associations} at a time"


ALL = ("router", "storescp", "Orthanc", "pynetdicom", "sink", "limit", LIMIT_IN_C)
C_ONLY = ("router", "storescp", "sink", "limit", LIMIT_IN_C)


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    if scale.smoke:
        loads = [Load(50_000, 1, 200, ALL), Load(50_000, 64, 320, ("router",))]
    else:
        loads = [
            Load(50_000, 1, 1000, ALL),
            Load(525_000, 1, 300, ALL),
            Load(50_000, 8, 2000, ALL),
            Load(525_000, 8, 480, ALL),
            Load(50_000, 64, 3200, C_ONLY),
            Load(50_000, 256, 3840, C_ONLY),
        ]
    trials = [
        Trial(str(load), {name: partial(measure, name, load) for name in load.peers})
        for load in loads
    ]
    small1, large1, small8, large8, small64, small256 = (
        f"{size} kB, {associations} at a time"
        for size, associations in ((50, 1), (525, 1), (50, 8), (525, 8), (50, 64), (50, 256))
    )
    targets = [
        (small1, "Orthanc", 3.0),
        (small1, "pynetdicom", 4.0),
        (small1, "storescp", 0.75),
        (large1, "Orthanc", 3.0),
        (large1, "pynetdicom", 4.0),
        (large1, "storescp", 0.6),
        (small8, "Orthanc", 4.0),
        (small8, "pynetdicom", 6.0),
        (small8, "storescp", 0.9),
        (large8, "Orthanc", 4.0),
        (large8, "pynetdicom", 6.0),
        (large8, "storescp", 0.9),
        (small64, "storescp", 2.0),
        (small256, "storescp", 5.0),
    ]
    return Scenario(
        "ingress",
        "Durable ingress",
        HOW,
        trials,
        [
            *(
                Ratio(load, RATE, "router", peer, at_least(x), LIMIT_IN_C)
                for load, peer, x in targets
            ),
            Value(small64, "failed", "router", at_most(0, "")),
            Value(small256, "failed", "router", at_most(0, "")),
        ],
    )


def measure(name: str, load: Load) -> Figures:
    """One receiver under one load."""
    with started(name) as receiver:
        said = generate(
            receiver.port,
            size=load.size,
            instances=load.instances,
            associations=load.associations,
        )
        return {
            RATE: said["per_second"],
            "p99 ms": said["p99_ms"],
            "MB": receiver.resident_mb,
            "failed": said["failed"] + said["rejected"],
        }
