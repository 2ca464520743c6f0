"""What a crowd of associations that say nothing, or little, costs those that work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, at_least
from bench.receivers import Receiver, program, started
from bench.senders import generate
from tests.e2e.stack import wait_until

RATE = "instances/s"
ALONE, CROWDED = "router, 12 alone", "router, 12 of 512"
HOW = """\
Twelve associations send 50 kB instances as fast as they are answered; beside them 500 more
are open, of which half are silent and half send one byte a second, or none. The target is
that the twelve lose less than 10 % of their rate."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    load, crowd = "50 kB", scale.pick(500, 100)
    instances = scale.pick(3600, 600)
    trial = Trial(
        load,
        {ALONE: partial(measure, 0, instances), CROWDED: partial(measure, crowd, instances)},
    )
    claim = Ratio(load, RATE, CROWDED, ALONE, at_least(0.9))
    return Scenario("idle", "512 open associations", HOW, [trial], [claim])


def measure(idle: int, instances: int) -> Figures:
    """Twelve at work beside so many idle ones."""
    with started("router") as receiver, crowd(receiver, idle):
        said = generate(receiver.port, size=50_000, instances=instances, associations=12)
        return {
            RATE: said["per_second"],
            "p99 ms": said["p99_ms"],
            "MB": receiver.resident_mb,
            "failed": said["failed"] + said["rejected"],
        }


@contextmanager
def crowd(receiver: Receiver, size: int) -> Iterator[None]:
    """So many idle associations, all open when the block begins."""
    log = receiver.folder / "crowd.txt"
    command = [sys.executable, "-m", "bench.crowd", str(receiver.port), str(size)]
    with program(command, log):
        wait_until(lambda: "open" in log.read_text(), f"{size} associations are open")
        yield
