"""One of three writers stops in mid-study: what the other two lose by it."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial

import psutil

from bench.plan import Figures, Ratio, Scale, Scenario, Trial, at_most
from bench.receivers import Receiver, empty_folder, router, wait_quickly
from bench.senders import dcmsend, files, held
from bench.writers import QUIET_S, all_stored, sections, writers

SECONDS = "s"
ALL, TWO, STALLED = "three writers", "two writers", "two, a third stalls"
HOW = f"""\
As above, until the last instance is stored at two of the writers, `quiet_after` ({QUIET_S:g}
s) taken off. The third is there and works; is not there at all; or is stopped (SIGSTOP) when
its first instance has come, with its connections open. The target is that the two lose less
than 10 % against being alone."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    count = scale.pick(300, 60)
    load = f"{count} x 525 kB"
    contenders = {
        TWO: partial(measure, count, writing=2, stalls=False),
        STALLED: partial(measure, count, writing=3, stalls=True),
    }
    if not scale.smoke:
        contenders[ALL] = partial(measure, count, writing=3, stalls=False)
    trial = Trial(load, contenders)
    claim = Ratio(load, SECONDS, STALLED, TWO, at_most(1.1))
    return Scenario("stalled", "The same while one writer is stalled", HOW, [trial], [claim])


def measure(count: int, *, writing: int, stalls: bool) -> Figures:
    """Seconds until the first two writers have everything."""
    source = files(525_000, count)
    with (
        empty_folder() as folder,
        writers(folder, writing) as receivers,
        router(folder / "router", sections(receivers)) as under_test,
    ):
        if stalls:
            threading.Thread(target=stall_early, args=(receivers[2],), daemon=True).start()
        sent = dcmsend(under_test.port, source, tuned=True)
        seconds = all_stored(receivers[:2], count, 525_000) - sent.began - QUIET_S
        if stalls and held(receivers[2].folder).files >= count:
            raise RuntimeError("the third writer was too fast to be stalled")
        return {SECONDS: seconds, "MB": under_test.resident_mb}


def stall_early(receiver: Receiver) -> None:
    """Stop a storescp and its children when something has come."""
    wait_quickly(lambda: held(receiver.folder).files, "an instance at the writer")
    parent = psutil.Process(receiver.pid)
    for one in (parent, *parent.children(recursive=True)):
        os.kill(one.pid, signal.SIGSTOP)
