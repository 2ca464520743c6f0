"""Instances per second that a receiver acknowledges, by size and number of associations.

    python -m bench.ingress [--rounds 5] [--smoke]

In every round each receiver is started anew, in random order, and gets the same load from
``bench.generator``. The router and Orthanc flush before they acknowledge, the others do not.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.receivers import started

console = Console()


@dataclass(frozen=True)
class Load:
    """One row of the table."""

    size: int
    associations: int
    instances: int

    def __str__(self) -> str:
        return f"{self.size:,} bytes, {self.associations} associations"


FULL = [
    Load(50_000, 1, 2000),
    Load(525_000, 1, 300),
    Load(50_000, 8, 4000),
    Load(525_000, 8, 600),
    Load(50_000, 64, 4000),
    Load(50_000, 256, 4000),
]
SMOKE = [Load(50_000, 1, 500), Load(50_000, 8, 1000)]
PEERS = ["router", "storescp", "Orthanc", "pynetdicom", "sink"]


@dataclass(frozen=True)
class Measured:
    """What one run came to."""

    per_second: float
    failed: int
    p99_ms: float
    resident_mb: float


def measure(name: str, load: Load) -> Measured:
    """One receiver under one load."""
    with started(name) as receiver:
        command = [sys.executable, "-m", "bench.generator", "--port", str(receiver.port)]
        command += ["--associations", str(load.associations)]
        command += ["--instances", str(load.instances), "--bytes", str(load.size)]
        command += ["--called", "ROUTER"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=300)
        said = json.loads(done.stdout)
        failed = said["failed"] + said["rejected"]
        return Measured(said["per_second"], failed, said["p99_ms"], receiver.resident_mb)


def run(loads: list[Load], rounds: int) -> dict[Load, dict[str, list[Measured]]]:
    """Measure everything, peers in random order in each round."""
    results: dict[Load, dict[str, list[Measured]]] = {load: defaultdict(list) for load in loads}
    for number in range(rounds):
        for load in loads:
            for name in random.sample(PEERS, len(PEERS)):
                results[load][name].append(measure(name, load))
            console.print(f"round {number + 1}: {load}", style="dim")
    return results


def table(results: dict[Load, dict[str, list[Measured]]]) -> Table:
    """Medians, and how many times as fast the router is."""
    columns = [f"{name}/s" for name in PEERS]
    shown = Table("load", *columns, "router p99 ms", "router MB", "failed", title="ingress")
    for load, by_name in results.items():
        medians = {name: statistics.median(m.per_second for m in by_name[name]) for name in PEERS}
        cells = [
            f"{medians[name]:.0f}"
            + ("" if name == "router" else f" ({medians['router'] / medians[name]:.2f}x)")
            for name in PEERS
        ]
        own = by_name["router"]
        failed = ", ".join(
            f"{name} {sum(m.failed for m in by_name[name])}"
            for name in PEERS
            if any(m.failed for m in by_name[name])
        )
        shown.add_row(
            str(load),
            *cells,
            f"{statistics.median(m.p99_ms for m in own):.1f}",
            f"{max(m.resident_mb for m in own):.0f}",
            failed or "none",
        )
    return shown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    loads = SMOKE if options.smoke else FULL
    console.print(table(run(loads, 1 if options.smoke else options.rounds)), width=160)


if __name__ == "__main__":
    main()
