"""The router as a sender to writers that nobody can configure, beside dcmsend as it is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, at_least
from bench.receivers import Receiver, empty_folder, orthanc, router, storescp
from bench.senders import dcmsend, files, generate
from tests.e2e.stack import wait_until

RATE = "instances/s"
HOW = """\
One study of 525 kB instances goes to one writer as it is shipped (Nagle's algorithm on, PDUs
of 16 kB). For the router the time is that of the delivery's attempt, from its first
connection to its last answer, two associations (the default). For dcmsend it is from its
association request to its end, tuned nowhere. "generator" is `bench.generator` over two
associations: it sends what was encoded beforehand, so it shows what the writer can take, and is
the "limit"."""


def writer(name: str, folder: Path) -> AbstractContextManager[Receiver]:
    """A writer as it is shipped; Orthanc does not flush its files by default."""
    if name == "storescp":
        return storescp(folder, tuned=False)
    return orthanc(folder, tuned=False, SyncStorageArea=False)


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    trials, claims = [], []
    targets = (("storescp", 50),) if scale.smoke else (("Orthanc", 15), ("storescp", 50))
    for name, target in targets:
        load = f"525 kB, to {name}"
        contenders = {
            "router": partial(measure_router, name, scale.pick(300, 30)),
            "dcmsend": partial(measure_dcmsend, name, scale.pick(60, 10)),
            "generator": partial(measure_generator, name, scale.pick(300, 30)),
        }
        trials.append(Trial(load, contenders))
        claims.append(Ratio(load, RATE, "router", "dcmsend", at_least(target), "generator"))
    return Scenario("outbound", "The router to writers as shipped", HOW, trials, claims)


def measure_dcmsend(name: str, count: int) -> Figures:
    """Dcmsend to one writer."""
    source = files(525_000, count)
    with empty_folder() as folder, writer(name, folder / name) as receiver:
        sent = dcmsend(receiver.port, source, tuned=False)
    return {RATE: count / (sent.ended - sent.began), "instances": count}


def measure_generator(name: str, count: int) -> Figures:
    """The generator to one writer."""
    with empty_folder() as folder, writer(name, folder / name) as receiver:
        said = generate(receiver.port, size=525_000, instances=count, associations=2)
        assert said["stored"] == count, said
    return {RATE: said["per_second"], "instances": count}


def measure_router(name: str, count: int) -> Figures:
    """The router to one writer, from its spool."""
    with empty_folder() as folder, writer(name, folder / name) as receiver:
        sections = {
            "candidates": {"WRITER": {"host": "127.0.0.1", "port": receiver.port}},
            "completion": {"quiet_after": "200ms", "stable_after": "1m"},
        }
        with router(folder / "router", sections) as under_test:
            generate(under_test.port, size=525_000, instances=count)
            wait_until(lambda: _delivered(under_test), "everything is delivered")
            seconds = _attempt_s(under_test)
    return {RATE: count / seconds, "instances": count}


def _delivered(receiver: Receiver) -> Mapping[str, Any] | None:
    listed = receiver.get("/deliveries?state=delivered")["deliveries"]
    return listed[0] if listed else None


def _attempt_s(receiver: Receiver) -> float:
    delivery = _delivered(receiver)
    assert delivery is not None
    detail = receiver.get(f"/deliveries/{delivery['id']}")
    (attempt,) = detail["attempts"]
    began, ended = (datetime.fromisoformat(attempt[key]) for key in ("began_at", "ended_at"))
    return (ended - began).total_seconds()
