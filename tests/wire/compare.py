"""``python -m tests.wire.compare``: the same wire cases against the router and its peers.

Starts dcmtk's storescp, Orthanc, an SCP of pynetdicom and the router itself, runs every case
against each, and prints how many of each group were answered as the standard says.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests import marked, systems
from tests.systems import System
from tests.wire import (
    cases_association,
    cases_dimse,
    cases_encodings,
    cases_hostile,
    cases_pdata,
    cases_states,
)
from tests.wire.expected import Case
from tests.wire.runner import Report, run
from tests.wire.seen import Aborted, Closed

RECOVERS_WITHIN_S = 10.0
GROUPS: dict[str, tuple[Case, ...]] = {
    "association requests": cases_association.CASES,
    "states of an association": cases_states.CASES,
    "P-DATA": cases_pdata.CASES,
    "command sets and operations": cases_dimse.CASES,
    "encodings": cases_encodings.CASES,
    "hostile and broken peers": cases_hostile.CASES,
}


class Ended(StrEnum):
    """How a case ended for a system."""

    AS_SPECIFIED = "as the standard says"
    OTHER_ABORT = "another abort"  # the association ends as it should, by another abort
    DIFFERS = "differs"
    HUNG = "hung"  # no echo was answered in time after it
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Result:
    """One case, one system."""

    system: str
    group: str
    case: Case
    ended: Ended
    detail: str


def measure(system: System, group: str, case: Case) -> Result:
    """Run a case against a system: again, if it did not end as the standard says the first time.

    What else the machine does may have come between; the second time counts.
    """
    first = _measure_once(system, group, case)
    if first.ended in (Ended.AS_SPECIFIED, Ended.CRASHED):
        return first
    return _measure_once(system, group, case)


def _measure_once(system: System, group: str, case: Case) -> Result:
    """Run a case, and bring the system back if it went down with it."""
    report = run(case, system.target)
    if not system.runs():
        ended = Ended.CRASHED
    elif "no echo" in report.failure:
        ended = Ended.HUNG
    else:
        ended = _compared(report)
    if ended is Ended.CRASHED or (ended is Ended.HUNG and not _recovers(system)):
        system.restart()
    return Result(system.name, group, case, ended, report.failure)


def _compared(report: Report) -> Ended:
    """How what a system did stands to what it should have done."""
    if report.passed:
        return Ended.AS_SPECIFIED
    wanted = report.failure.partition(", not ")[2]
    has_ended = bool(report.seen) and isinstance(report.seen[-1], Aborted | Closed)
    return Ended.OTHER_ABORT if has_ended and "aborted" in wanted else Ended.DIFFERS


def _recovers(system: System) -> bool:
    deadline = time.monotonic() + RECOVERS_WITHIN_S
    while time.monotonic() < deadline:
        if system.answers():
            return True
    return False


def counted(results: Sequence[Result], names: Sequence[str]) -> list[list[str]]:
    """A row for each group, and one for all: how its cases ended, by system."""
    rows = []
    for group in (*GROUPS, "all"):
        cells = [group]
        for name in names:
            own = [one for one in results if one.system == name and group in (one.group, "all")]
            numbers = Counter(one.ended for one in own)
            cell = f"{numbers[Ended.AS_SPECIFIED]} of {len(own)}"
            others = [f"{numbers[kind]} {kind}" for kind in tuple(Ended)[1:] if numbers[kind]]
            cells.append("; ".join([cell, ", ".join(others)]) if others else cell)
        rows.append(cells)
    return rows


def main() -> None:
    """Run, print, and write down what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.compare", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name or section contains this")
    parser.add_argument("--system", action="append", help="only this one; may be repeated")
    parser.add_argument("--detail", action="store_true", help="print what each case came to")
    parser.add_argument("--write", action="store_true", help=f"put the table in {marked.DOCUMENT}")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    results: list[Result] = []
    with TemporaryDirectory() as folder:
        here = Path(folder)
        all_systems = (
            systems.router(here),
            systems.storescp(here, "--fork"),
            systems.orthanc(here),
            systems.pynetdicom(here),
        )
        chosen = [one for one in all_systems if not options.system or one.name in options.system]
        with ThreadPoolExecutor(len(chosen)) as together:
            for found in together.map(lambda system: _measure_all(system, options.only), chosen):
                results += found
    if options.detail:
        _list(console, results)
    names = [system.name for system in chosen]
    rows = counted(results, names)
    _show(console, names, rows)
    if options.write:
        marked.put(marked.DOCUMENT, "wire cases", marked.table(["cases", *names], rows))


def _measure_all(system: System, only: str) -> list[Result]:
    try:
        system.start()
        return [
            measure(system, group, case)
            for group, cases in GROUPS.items()
            for case in cases
            if only in case.name or only in case.section
        ]
    finally:
        system.close()


def _list(console: Console, results: Sequence[Result]) -> None:
    for one in results:
        shown = f"{one.system}: {one.case.name} ({one.case.section}): {one.ended}"
        console.print(escape(f"{shown}; {one.detail}" if one.detail else shown))


def _show(console: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = Table("cases", *names)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


if __name__ == "__main__":
    main()
