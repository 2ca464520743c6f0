"""``python -m tests.hostile.compare``: the same hostile objects against the router and its peers.

Each system gets each object on an association of its own, and is started again for the next one
where it went down.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests import marked, systems
from tests.e2e.stack import wait_until
from tests.hostile.expected import Fate, Uids
from tests.hostile.fates import fates_in
from tests.hostile.memory import forget_peak, peak_bytes
from tests.hostile.objects import OBJECTS
from tests.hostile.sending import send
from tests.systems import System
from tests.wire.runner import echo_failure
from tests.wire.seen import Aborted, Answered, Closed, Seen, Silent

CONSOLE = Console(highlight=False, soft_wrap=True)
ANSWERS_WITHIN_S = 90.0
PATIENCE_S = 20.0  # for everything else: a busy machine is not taken for a hung process
EXITS_WITHIN_S = 10.0
WORTH_SAYING_S = 5.0
MEMORY_BYTES = 4 << 30
WORTH_SAYING_BYTES = 256 << 20
CRASHED, HUNG, NO_ANSWER = "**crashed**", "**hung**", "no answer"
STORED, DROPPED = "stored", "dropped"
OBJECTS_BY_NUMBER = dict(enumerate(OBJECTS, start=1))


@dataclass(frozen=True, slots=True)
class Result:
    """What one system did with one object."""

    number: int
    did: str
    grew_by: int = 0
    worked_s: float = 0.0

    def __str__(self) -> str:
        """With the memory and the processor time that it took, where that is worth saying."""
        said = [self.did]
        if self.grew_by >= WORTH_SAYING_BYTES:
            said.append(f"{self.grew_by / (1 << 30):.1f} GB")
        if self.worked_s >= WORTH_SAYING_S:
            said.append(f"{self.worked_s:.0f} s")
        return ", ".join(said)


def told(seen: Seen) -> str:
    """What a system answered, in a word or two."""
    match seen:
        case Answered(status=0):
            return STORED
        case Answered(status=status) if status >> 12 == 0xB:
            return f"{STORED} {status:04X}"
        case Answered(status=status):
            return f"refused {status:04X}"
        case Aborted() | Closed():
            return DROPPED
        case Silent():
            return NO_ANSWER
    return f"not accepted: {seen}"


def measure(system: System, number: int) -> Result:
    """Send an object to a system; bring the system back if it went down with it."""
    forget_peak(system.pid)
    before, worked_s = peak_bytes(system.pid), system.worked_s()
    target = replace(system.target, patience_s=PATIENCE_S, echo_within_s=PATIENCE_S)
    seen = send(OBJECTS_BY_NUMBER[number], Uids(number), target, ANSWERS_WITHIN_S)
    if not echo_failure(target):
        grew_by, took_s = peak_bytes(system.pid) - before, system.worked_s() - worked_s
        return Result(number, told(seen), grew_by, took_s)
    did = CRASHED if _exits(system) else HUNG
    system.restart()
    return Result(number, did)


def _exits(system: System) -> bool:
    """Whether a system is gone; one that is about to be gets the time for it."""
    deadline = time.monotonic() + EXITS_WITHIN_S
    while system.runs() and time.monotonic() < deadline:
        time.sleep(0.1)  # noqa: TID251 - looking at another process from outside
    return not system.runs()


def measure_all(system: System, numbers: Sequence[int]) -> list[Result]:
    """Every object, in order."""
    try:
        system.start()
        results = []
        for number in numbers:
            began = time.monotonic()
            results.append(measure(system, number))
            shown = f"{system.name}: {OBJECTS_BY_NUMBER[number].name}: {results[-1]}"
            CONSOLE.print(f"{shown} ({time.monotonic() - began:.1f} s)")
        return _with_fates(system, results) if system.name == "router" else results
    finally:
        system.close()


def _with_fates(system: System, results: Sequence[Result]) -> list[Result]:
    """What was answered 0000 may also have been put into quarantine."""
    ledger = system.folder / "data" / "ledger.db"
    kept = {Uids(one.number).instance: one for one in results if one.did == STORED}

    def is_recorded() -> bool:
        try:
            return kept.keys() <= fates_in(ledger).keys()
        except sqlite3.OperationalError:
            return False

    wait_until(is_recorded, "everything is in the ledger")
    fates = fates_in(ledger)
    return [
        replace(one, did=str(Fate.QUARANTINED))
        if fates.get(Uids(one.number).instance, ("", ""))[0] == "quarantined"
        else one
        for one in results
    ]


def counted(names: Sequence[str], columns: Sequence[Sequence[Result]]) -> list[list[str]]:
    """How many objects each system survived, and what it did with those."""
    rows = []
    kinds = (STORED, "refused", "quarantined", DROPPED, NO_ANSWER, HUNG, CRASHED)
    for kind in kinds:
        cells = [
            str(Counter(one.did.startswith(kind) for one in column)[True]) for column in columns
        ]
        rows.append([kind.strip("*"), *cells])
    assert all(len(row) == len(names) + 1 for row in rows)
    return rows


def listed(columns: Sequence[Sequence[Result]]) -> list[list[str]]:
    """A row for each object."""
    return [
        [
            OBJECTS_BY_NUMBER[row[0].number].group,
            OBJECTS_BY_NUMBER[row[0].number].name,
            *map(str, row),
        ]
        for row in zip(*columns, strict=True)
    ]


def main() -> None:
    """Run, print, and write down what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.compare", description=__doc__)
    parser.add_argument("--only", default="", help="objects whose name or group contains this")
    parser.add_argument("--write", action="store_true", help=f"put the table in {marked.DOCUMENT}")
    options = parser.parse_args()
    numbers = [
        number
        for number, one in OBJECTS_BY_NUMBER.items()
        if options.only in one.name or options.only in one.group
    ]
    with TemporaryDirectory() as folder:
        here = Path(folder)
        measured = (
            systems.router(here),
            systems.storescp(here),
            systems.orthanc(here),
            systems.pynetdicom(here),
        )
        for system in measured:
            system.memory_bytes = MEMORY_BYTES
        with ThreadPoolExecutor(len(measured)) as together:
            columns = list(together.map(lambda system: measure_all(system, numbers), measured))
    names = [system.name for system in measured]
    rows, sums = listed(columns), counted(names, columns)
    _show(["", "object", *names], rows)
    _show(["objects", *names], sums)
    if options.write:
        tables = (
            marked.table(["objects", *names], sums),
            marked.table(["", "object", *names], rows),
        )
        marked.put(marked.DOCUMENT, "hostile objects", "\n\n".join(tables))


def _show(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = Table(*heads)
    for row in rows:
        shown.add_row(*(cell.replace("**", "") for cell in row))
    CONSOLE.print(shown)


if __name__ == "__main__":
    main()
