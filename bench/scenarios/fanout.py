"""One study to three writers in parallel: the router's main job, end to end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, at_least, at_most
from bench.receivers import Receiver, empty_folder, limit_in_c, orthanc, router
from bench.senders import dcmsend, files
from bench.writers import QUIET_S, all_stored, sections, writers
from tests.e2e.stack import free_port, wait_until

SECONDS, EACH = "s", "ms/instance"
STABLE, POLLING, SHIPPED = "Orthanc, Lua, study", "Orthanc, simple-router", "Orthanc, Lua, shipped"
DIRECT = "dcmsend to one writer"
RELAY = "dcmsend, limit in C, 3 dcmsend"
STABLE_AGE_S, GATHERING_S = 1.0, 0.5
ORTHANC = Path(__file__).parent.parent / "orthanc"
PYTHON_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPython.so")
HOW = f"""\
dcmsend sends a study over one association to a router, which has three storescp as
candidates. Measured from dcmsend's association request to the last byte in the last of the
three folders. What a router waits for on purpose is taken off: the router's `quiet_after`
({QUIET_S:g} s), Orthanc's stable age ({STABLE_AGE_S:g} s), simple-router's gathering
({GATHERING_S:g} s); its polling (5 s) is its way of working and stays. The router and Orthanc
flush what they receive, the writers do not. "Lua, shipped" is `OnStoredInstance` with all
programs as they are shipped, and gets fewer instances: compare its time for each.
"simple-router" is `bench/orthanc/simple_router.py`, with the data loss of the original
repaired. storescp as the only station, without a router, is "{DIRECT}". "{RELAY}" is
what C++ comes to in the router's place: dcmsend to the `limit in C` of the durable ingress, and
then one dcmsend to each of the three writers, side by side, from files that are there already;
it is the "limit"."""


@dataclass(frozen=True)
class Way:
    """A kind of router in front of the writers."""

    start: Callable[[Path, Sequence[Receiver]], Any]
    waits_s: float
    tuned: bool = True


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    trials: list[Trial] = []
    claims: list[Ratio] = []
    loads = [(525_000, scale.pick(300, 60))]
    if not scale.smoke:
        loads.append((50_000, 1000))
    for size, count in loads:
        load = f"{count} x {size // 1000} kB"
        contenders = {name: partial(measure, name, size, count) for name in ("router",)}
        contenders[DIRECT] = partial(measure_direct, size, count)
        contenders[RELAY] = partial(measure_relay, size, count)
        if not scale.smoke:
            contenders[STABLE] = partial(measure, STABLE, size, count)
            contenders[POLLING] = partial(measure, POLLING, size, count)
            contenders[SHIPPED] = partial(measure, SHIPPED, size, 60)
        trials.append(Trial(load, contenders))
        claims += [
            Ratio(load, SECONDS, STABLE, "router", at_least(5), RELAY),
            Ratio(load, SECONDS, POLLING, "router", at_least(7), RELAY),
            Ratio(load, EACH, SHIPPED, "router", at_least(30), RELAY),
            Ratio(load, SECONDS, "router", DIRECT, at_most(2.5), RELAY),
        ]
    return Scenario("fanout", "One study to three writers", HOW, trials, claims)


def measure_direct(size: int, count: int) -> Figures:
    """Without a router: what one writer alone takes."""
    source = files(size, count)
    with empty_folder() as folder, writers(folder, 1) as receivers:
        sent = dcmsend(receivers[0].port, source, tuned=True)
        seconds = all_stored(receivers, count, size) - sent.began
    return {SECONDS: seconds, EACH: seconds / count * 1000}


def measure_relay(size: int, count: int) -> Figures:
    """Store and forward in C and C++: in at one, then out to three."""
    source = files(size, count)
    with empty_folder() as folder, writers(folder) as receivers:
        with limit_in_c(folder / "limit") as relay:
            came = dcmsend(relay.port, source, tuned=True)
        with ThreadPoolExecutor(len(receivers)) as senders:
            sent = list(senders.map(lambda one: dcmsend(one.port, source, tuned=True), receivers))
        forwarded = all_stored(receivers, count, size) - min(one.began for one in sent)
    acknowledged = came.ended - came.began
    seconds = acknowledged + forwarded
    return {SECONDS: seconds, EACH: seconds / count * 1000, "acknowledged s": acknowledged}


def measure(name: str, size: int, count: int) -> Figures:
    """A router in front of three writers."""
    way = WAYS[name]
    source = files(size, count)
    with (
        empty_folder() as folder,
        writers(folder, tuned=way.tuned) as receivers,
        way.start(folder / "router", receivers) as under_test,
    ):
        sent = dcmsend(under_test.port, source, tuned=way.tuned)
        seconds = all_stored(receivers, count, size) - sent.began - way.waits_s
        resident = under_test.resident_mb
    return {
        SECONDS: seconds,
        EACH: seconds / count * 1000,
        "MB": resident,
        "acknowledged s": sent.ended - sent.began,
    }


@contextmanager
def _router(folder: Path, receivers: Sequence[Receiver]) -> Iterator[Receiver]:
    with router(folder, sections(receivers)) as under_test:
        yield under_test


@contextmanager
def _orthanc(
    folder: Path,
    receivers: Sequence[Receiver],
    *,
    tuned: bool = True,
    script: str | None = None,
    **configuration: Any,
) -> Iterator[Receiver]:
    modalities = {
        f"WRITER{number}": [f"WRITER{number}", "127.0.0.1", receiver.port]
        for number, receiver in enumerate(receivers)
    }
    if script is not None:
        configuration["LuaScripts"] = [str(ORTHANC / script)]
    with orthanc(
        folder,
        tuned=tuned,
        DicomModalities=modalities,
        StableAge=round(STABLE_AGE_S),
        ConcurrentJobs=4,
        **configuration,
    ) as under_test:
        yield under_test


@contextmanager
def _polling(folder: Path, receivers: Sequence[Receiver]) -> Iterator[Receiver]:
    if not PYTHON_PLUGIN.exists():
        raise RuntimeError("Orthanc's Python plugin is missing: apt-get install orthanc-python")
    http = free_port()
    os.environ["BENCH_ORTHANC_URL"] = f"http://127.0.0.1:{http}"
    with _orthanc(
        folder,
        receivers,
        HttpPort=http,
        Plugins=[str(PYTHON_PLUGIN)],
        PythonScript=str(ORTHANC / "simple_router.py"),
    ) as under_test:
        # its first look at the log of changes, which finds none, is behind it
        wait_until(lambda: under_test.is_ready("/changes?limit=1"), "Orthanc polls")
        yield under_test


WAYS = {
    "router": Way(_router, QUIET_S),
    STABLE: Way(partial(_orthanc, script="per_stable_study.lua"), STABLE_AGE_S),
    POLLING: Way(_polling, GATHERING_S),
    SHIPPED: Way(partial(_orthanc, tuned=False, script="per_instance.lua"), 0.0, tuned=False),
}
