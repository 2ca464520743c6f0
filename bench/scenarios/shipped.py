"""A modality that nobody can configure: dcmsend as it is shipped, into the router and storescp."""

from __future__ import annotations

from functools import partial

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, at_least
from bench.receivers import LIMIT_IN_C, Start, empty_folder, limit_in_c, router, sink, storescp
from bench.senders import dcmsend, files

RATE = "instances/s"
LOAD = "525 kB, 1 association"
FAST: dict[str, Start] = {"router": router, "sink": sink, LIMIT_IN_C: limit_in_c}
HOW = """\
`dcmsend` sends files over one association, from its association request to its end; all
programs as they are shipped, so with Nagle's algorithm on. `limit in C` is that of the durable
ingress above, and the "limit"; `sink` drops the bytes, so it is dcmsend's own ceiling."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    trial = Trial(
        LOAD,
        {
            **{name: partial(measure, name, scale.pick(600, 40)) for name in FAST},
            "storescp": partial(measure, "storescp", scale.pick(60, 20)),
        },
    )
    claim = Ratio(LOAD, RATE, "router", "storescp", at_least(50), LIMIT_IN_C)
    return Scenario("shipped", "dcmsend as shipped, to the router", HOW, [trial], [claim])


def measure(name: str, count: int) -> Figures:
    """One receiver; a slow one gets fewer files."""
    source = files(525_000, count)
    with empty_folder() as folder:
        folder.joinpath(name).mkdir()
        start = FAST.get(name, partial(storescp, tuned=False))
        with start(folder / name) as receiver:
            sent = dcmsend(receiver.port, source, tuned=False)
    return {RATE: count / (sent.ended - sent.began), "instances": count}
