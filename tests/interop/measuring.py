"""How the cells of the matrix are measured: peer -> tap -> router -> tap -> peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.stack import RouterProcess, WriterProcess, running, wait_until
from tests.interop.cells import SAME, Cell, Instances, Mark, routed_and_held, sent_and_held
from tests.interop.encodings import ENCODINGS
from tests.interop.senders import PYNETDICOM, Sender
from tests.interop.tap import Tap, tap
from tests.interop.writers import WRITERS, Writer, in_folder, instance_of

ECHO = "C-ECHO"
SETTINGS: dict[str, Any] = {
    "completion": {"quiet_after": "300ms", "stable_after": "2s"},
    "delivery": {"retry": {"first": "200ms", "max": "500ms", "give_up_after": "1m"}},
}
PATIENCE_S = 150.0
HELD_WITHIN_S = 10.0
"""By a peer, after all is acknowledged; one that acknowledges and never stores is waited for."""

Column = Mapping[str, Cell]
"""Name of an encoding to outcome."""


class Files:
    """New files of every encoding."""

    def __init__(self, folder: Path):
        self.paths = {one.name: one.files(folder / str(i)) for i, one in enumerate(ENCODINGS)}
        self.instances: dict[str, Instances] = {
            name: dict(filter(None, (instance_of(path.read_bytes()) for path in paths)))
            for name, paths in self.paths.items()
        }


@contextmanager
def the_router(folder: Path) -> Iterator[Writer]:
    """The router, and what its embedded writer holds."""
    router = RouterProcess(folder / "router", SETTINGS)
    writer = WriterProcess(folder, "BACKUP", router.url, criteria=None)
    with running(router, writer):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        yield Writer(router.dicom_port, lambda: in_folder(writer.storage))


def measure_sender(sender: Sender, receiver: Writer, files: Files) -> Column:
    """Send all files; judge by what was on the wire, and what the receiver holds."""
    with tap(receiver.port) as echo:
        sender.echo(echo.port)
    echoed = any(association.echoes for association in echo.associations)
    taps: dict[str, Tap] = {}
    for name, paths in files.paths.items():
        with tap(receiver.port) as taps[name]:
            sender.store(taps[name].port, paths)
    acknowledged = {
        uid for each in taps.values() for uid, status in each.stored.items() if is_success(status)
    }
    held = _held_in_time(receiver, acknowledged, PATIENCE_S)
    return {
        ECHO: SAME if echoed else Cell(Mark.LOST, "not answered"),
        **{name: sent_and_held(files.instances[name], taps[name], held) for name in taps},
    }


def is_success(status: int) -> bool:
    """Whether a C-STORE status says that the instance is stored (PS3.4 table B.2-1)."""
    return status == 0 or status >> 12 == 0xB


def _held_in_time(receiver: Writer, uids: set[str], patience_s: float) -> Instances:
    """What is held as soon as all of these are, or at the end of patience."""
    with suppress(AssertionError):  # that is for the cells to say
        wait_until(lambda: uids <= receiver.held().keys(), "all are held", patience_s)
    return receiver.held()


def ae_title_of(name: str) -> str:
    """The AE title of a peer as writer."""
    return name.upper()


def measure_writers(folder: Path, files: Files, names: list[str]) -> dict[str, Column]:
    """Send all files to a router with these writers; judge by the wire, and what they hold."""
    with ExitStack() as stack:
        writers = {name: stack.enter_context(WRITERS[name](folder / name)) for name in names}
        taps = {name: stack.enter_context(tap(writers[name].port)) for name in names}
        candidates = {
            ae_title_of(name): {"host": "127.0.0.1", "port": taps[name].port, "associations": 1}
            for name in names
        }
        router = RouterProcess(folder / "router", {**SETTINGS, "candidates": candidates})
        stack.enter_context(running(router))
        with tap(router.dicom_port) as entry:
            for paths in files.paths.values():
                PYNETDICOM.store(entry.port, paths)
        count = sum(is_success(status) for status in entry.stored.values())
        assert count == sum(len(paths) for paths in files.paths.values()), entry.stored
        over = partial(_are_over, router, count * len(names))
        wait_until(over, "all deliveries are over", PATIENCE_S)
        router.terminate()
        delivered = {
            name: {uid for uid, status in taps[name].stored.items() if is_success(status)}
            for name in names
        }
        held = {
            name: _held_in_time(writers[name], delivered[name], HELD_WITHIN_S) for name in names
        }
    return {
        name: {
            encoding: routed_and_held(files.instances[encoding], taps[name], held[name])
            for encoding in files.paths
        }
        for name in names
    }


def _are_over(router: RouterProcess, count: int) -> bool:
    deliveries: list[dict[str, Any]] = router.get("/deliveries?limit=1000")["deliveries"]
    over = [one for one in deliveries if one["state"] in ("delivered", "dead")]
    return len(deliveries) == len(over) == count
