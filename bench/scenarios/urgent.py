"""A small urgent study behind a flood for the same candidate."""

from __future__ import annotations

from functools import partial

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, at_most
from bench.receivers import empty_folder, router, storescp, wait_quickly
from bench.senders import dcmsend, files, generate, held
from bench.writers import QUIET_S, sections

SECONDS = "s"
IDLE, FLOODED = "idle router", "behind 2 GB of CT"
DX_BYTES = 10_000_000
HOW = f"""\
A CT of 2 GB (525 kB instances) is complete and goes to its candidate, a storescp; when 200 of
its instances have arrived there, dcmsend sends a DX of one instance of 10 MB to the router.
Measured from dcmsend's association request to its last byte at the candidate, `quiet_after`
({QUIET_S:g} s) taken off. Nothing is configured: of two studies with equal priority the one
with less to send goes first."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    flood = scale.pick(3800, 800)
    load = "1 x 10 MB"
    trial = Trial(load, {IDLE: partial(measure, 0), FLOODED: partial(measure, flood)})
    claim = Ratio(load, SECONDS, FLOODED, IDLE, at_most(2.0))
    return Scenario("urgent", "A small study behind a large one", HOW, [trial], [claim])


def measure(flood: int) -> Figures:
    """Seconds from the DX's association request to its last byte at the candidate."""
    source = files(DX_BYTES, 1)
    with (
        empty_folder() as folder,
        storescp(folder / "writer") as writer,
        router(folder / "router", sections([writer])) as under_test,
    ):
        if flood:
            said = generate(under_test.port, size=525_000, instances=flood, associations=2)
            if said["failed"]:
                raise RuntimeError(f"the flood was not taken: {said}")
            wait_quickly(lambda: held(writer.folder).files >= 200, "the flood at the candidate")
        sent = dcmsend(under_test.port, source, tuned=True)

        def arrived() -> float:
            for path in writer.folder.iterdir():
                status = path.stat()
                if status.st_size >= DX_BYTES:
                    return status.st_mtime
            return 0.0

        moment: float = wait_quickly(arrived, "the DX at the candidate")
        figures = {SECONDS: moment - sent.began - QUIET_S}
        if flood:
            here = held(writer.folder).files - 1
            if here >= flood:
                raise RuntimeError("the flood was over before the DX arrived")
            figures["CT ahead of it"] = here
        return figures
