"""How soon a router is ready that has a past."""

from __future__ import annotations

import time
from functools import cache, partial
from itertools import count
from pathlib import Path

from bench.history import History, add_unrecorded, fill_ledger, fill_spool
from bench.plan import Figures, Scale, Scenario, Trial, Value, at_most
from bench.receivers import Receiver, program, serve, settings, wait_quickly
from bench.senders import materials

READY, RESIDENT = "ready s", "MB"
UNRECORDED = 2000
HOW = f"""\
The ledger holds a million instances in 10,000 studies, of which 500 wait for a candidate that
is away and 50 are still open; the spool holds 10 GB. Its files are allocated to their full
size, but only their headers are written: none of their records has to be read at a start.
{UNRECORDED:,} more instances were acknowledged and not recorded, as after a crash, and are
recovered. From the start of the process to 200 of `/readyz`; MB is the resident memory two
seconds later."""

_runs = count()


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    history = History(*((100, 100) if scale.smoke else (10_000, 100)))
    load = f"{history.studies * history.instances_each:,} instances"
    trial = Trial(load, {"router": partial(measure, history)})
    claims = [
        Value(load, READY, "router", at_most(3.0, " s")),
        Value(load, RESIDENT, "router", at_most(300, " MB")),
    ]
    return Scenario("startup", "Start-up with a past", HOW, [trial], claims)


@cache
def prepared(history: History) -> Path:
    """A data folder with that history; made once, used by each start after the other."""
    folder = materials() / f"history-{history.studies}"
    (folder / "data").mkdir(parents=True)
    fill_ledger(folder / "data" / "ledger.db", history)
    fill_spool(folder / "data" / "spool", history)
    return folder


def measure(history: History) -> Figures:
    """One start."""
    folder = prepared(history)
    study = f"1.2.826.0.1.3680043.10.98.{next(_runs)}"
    add_unrecorded(
        folder / "data" / "spool",
        UNRECORDED // 10 if history.studies < 1000 else UNRECORDED,
        history.record_bytes,
        study,
    )
    config, port, http = settings(
        folder,
        {
            "candidates": {"WRITER": {"host": "127.0.0.1", "port": 1}},
            "retention": {"retain_for": "30d"},
            "completion": {"quiet_after": "1h", "stable_after": "1h"},
        },
    )
    began = time.perf_counter()
    with program(serve(config), folder / "log.txt") as child:
        receiver = Receiver(port, child.pid, folder, f"http://127.0.0.1:{http}")
        wait_quickly(lambda: receiver.is_ready("/readyz"), "the router is ready")
        ready = time.perf_counter() - began
        time.sleep(2.0)  # noqa: TID251 - what it does right after it is ready counts, too
        return {READY: ready, RESIDENT: receiver.resident_mb}
