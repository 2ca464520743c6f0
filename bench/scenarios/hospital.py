"""A day in a simulated hospital: what is lost, how memory grows, how long modalities wait."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from bench.plan import Figures, Scale, Scenario, Trial, Value, at_most
from bench.receivers import Receiver, empty_folder, program, router
from tests.e2e.stack import free_port, wait_until
from tests.peers import echoes

PATIENCE_S = 180.0
"""What has not come to a writer by then is lost: what came last may not even be recorded yet."""

LOST, GROWTH = "lost", "memory, last / second quarter"
WRITERS: Mapping[str, tuple[str | None, Callable[[str], bool]]] = {
    "GENERIC": ("MODALITY|NOT_IN|CR,DX,MG", lambda modality: modality not in ("DX", "MG")),
    "XRAY": ("MODALITY|IN|CR,DX,MG", lambda modality: modality in ("DX", "MG")),
    "CTONLY": ("MODALITY|EQUAL|CT", lambda modality: modality == "CT"),
    "BACKUP": (None, lambda modality: True),
}
RESTARTED = "BACKUP"
HOW = """\
`bench.modalities`: forty machines (CT, MR, DX, US, XA, MG, PT, SR) make about 440 studies in
a day, most of them in the middle, an association for each series; objects of 20 kB to 80 MB.
The day takes ten minutes: its pauses are 144 times as short as real ones, its objects are as
large as real ones (a run with a shorter day has as much less studies). Four writers note what
they get and drop the bytes; BACKUP, which gets everything, is killed every hour of the day
and comes back five minutes of the day later. Lost are acknowledged instances that a writer
whose criteria match did not get; duplicates are instances that it got again because it was
killed before its answer. Memory is that of the router, sampled every 120th of the day."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    day_s = 3.0 if scale.smoke else scale.day_s
    load = f"a day in {day_s:.0f} s"
    trial = Trial(load, {"router": partial(measure, day_s)}, once=True)
    claims = [
        Value(load, LOST, "router", at_most(0, "")),
        Value(load, GROWTH, "router", at_most(1.1)),
    ]
    return Scenario("hospital", "A day in a simulated hospital", HOW, [trial], claims)


def measure(day_s: float) -> Figures:
    """The day, and the evening until everything is delivered."""
    with empty_folder() as folder, ExitStack() as stack:
        writers = {name: Writer(folder / f"{name}.txt") for name in WRITERS}
        for writer in writers.values():
            stack.callback(writer.kill)
            writer.start()
        under_test = stack.enter_context(router(folder / "router", _sections(writers)))
        stop = threading.Event()
        samples: list[float] = []
        threads = [
            threading.Thread(target=_sample, args=(under_test, samples, day_s / 120, stop)),
            threading.Thread(target=_restart, args=(writers[RESTARTED], day_s / 24, stop)),
        ]
        for thread in threads:
            thread.start()
        try:
            acknowledged = folder / "acknowledged.txt"
            command = [sys.executable, "-m", "bench.modalities", str(under_test.port), str(day_s)]
            done = subprocess.run(
                [*command, str(acknowledged)],
                capture_output=True,
                check=True,
                timeout=day_s * 3 + 120,
            )
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        said = json.loads(done.stdout)
        began = time.monotonic()
        with suppress(AssertionError):  # what is lost is counted below
            wait_until(
                lambda: _all_settled(under_test) and not _compare(acknowledged, writers)[0],
                "all studies are settled, and all is at the writers",
                PATIENCE_S,
            )
        settled_s = time.monotonic() - began
        lost, duplicates = _compare(acknowledged, writers)
        quarter = max(1, len(samples) // 4)
        return {
            "studies": said["studies"],
            "instances": said["instances"],
            "GB": said["bytes"] / 1e9,
            LOST: lost,
            "refused or broken": said["refused"] + said["broken"],
            "duplicates": duplicates,
            "p50 ms": said["p50_ms"],
            "p99 ms": said["p99_ms"],
            "max ms": said["max_ms"],
            "peak MB": max(samples),
            GROWTH: statistics.median(samples[-quarter:])
            / statistics.median(samples[quarter : 2 * quarter]),
            "settled after s": settled_s,
        }


class Writer:
    """A journaling writer that can be killed and started again on its port."""

    def __init__(self, journal: Path):
        self.journal = journal
        self.port = free_port()
        self._stack = ExitStack()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-m", "bench.journal", str(self.port), str(self.journal)]
        self._stack.enter_context(program(command, self.journal.with_suffix(".log")))
        wait_until(lambda: echoes(self.port), "the writer answers")

    def kill(self) -> None:
        """As a power cut to the process."""
        self._stack.close()


def _sections(writers: Mapping[str, Writer]) -> dict[str, object]:
    return {
        "completion": {"quiet_after": "300ms", "stable_after": "5s"},
        "retention": {"retain_for": "0s"},
        "delivery": {"retry": {"first": "500ms", "max": "2s"}},
        "candidates": {
            name: {
                "host": "127.0.0.1",
                "port": writers[name].port,
                **({"criteria": criteria} if criteria else {}),
            }
            for name, (criteria, _) in WRITERS.items()
        },
    }


def _sample(
    receiver: Receiver, samples: list[float], every_s: float, stop: threading.Event
) -> None:
    samples.append(receiver.resident_mb)
    while not stop.wait(every_s):
        samples.append(receiver.resident_mb)


def _restart(writer: Writer, hour_s: float, stop: threading.Event) -> None:
    while not stop.wait(hour_s):
        writer.kill()
        stop.wait(hour_s / 12)
        writer.start()


def _all_settled(receiver: Receiver) -> bool:
    states = ("open", "unrouted", "routed")
    return not any(receiver.get(f"/studies?state={state}&limit=1")["studies"] for state in states)


def _compare(acknowledged: Path, writers: Mapping[str, Writer]) -> tuple[int, int]:
    """Instances that are missing at any writer, and that came more than once."""
    sent = [line.split() for line in acknowledged.read_text().splitlines()]
    lost, duplicates = 0, 0
    for name, (_, wants) in WRITERS.items():
        got = writers[name].journal.read_text().splitlines()
        held = set(got)
        duplicates += len(got) - len(held)
        lost += sum(wants(modality) and uid not in held for modality, uid in sent)
    return lost, duplicates
