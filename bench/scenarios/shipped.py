"""A modality that nobody can configure: dcmsend as it is shipped, into the router and storescp."""

from __future__ import annotations

from functools import partial

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, at_least
from bench.receivers import empty_folder, router, storescp
from bench.senders import dcmsend, files

RATE = "instances/s"
LOAD = "525 kB, 1 association"
HOW = """\
`dcmsend` sends files over one association, from its association request to its end; all
programs as they are shipped, so with Nagle's algorithm on."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    trial = Trial(
        LOAD,
        {
            "router": partial(measure, "router", scale.pick(600, 100)),
            "storescp": partial(measure, "storescp", scale.pick(60, 20)),
        },
    )
    claim = Ratio(LOAD, RATE, "router", "storescp", at_least(50))
    return Scenario("shipped", "dcmsend as shipped, to the router", HOW, [trial], [claim])


def measure(name: str, count: int) -> Figures:
    """One receiver; a slow one gets fewer files."""
    source = files(525_000, count)
    with empty_folder() as folder:
        start = router(folder / name) if name == "router" else storescp(folder / name, tuned=False)
        with start as receiver:
            sent = dcmsend(receiver.port, source, tuned=False)
    return {RATE: count / (sent.ended - sent.began), "instances": count}
