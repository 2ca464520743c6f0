"""Measures the router beside its peers: ``python -m bench [--only ingress,fanout] [--smoke]``.

Prints one table for each scenario, and with ``--write docs/benchmarks.md`` puts them there.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench import report
from bench.machine import facts
from bench.plan import Scale
from bench.run import Results, run
from bench.scenarios import SCENARIOS


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=45.0, help="for everything together")
    parser.add_argument("--day", type=float, default=600.0, help="seconds of the simulated day")
    parser.add_argument("--only", default=",".join(SCENARIOS), help="of: %(default)s")
    parser.add_argument("--smoke", action="store_true", help="one small round of everything")
    parser.add_argument("--write", type=Path, help="the page to put the tables into")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dicom-router-bench.json",
        help="where raw figures go (default: %(default)s)",
    )
    parser.add_argument("--render", action="store_true", help="measure nothing: show the results")
    parser.add_argument("--keep", action="store_true", help="add to the results that are there")
    return parser.parse_args()


def main() -> None:
    """Measure, show, write."""
    options = arguments()
    scale = Scale(smoke=options.smoke, day_s=options.day)
    scenarios = [SCENARIOS[name](scale) for name in options.only.split(",")]
    results = Results(options.results)
    if options.render or options.keep:
        results.load()
    if not options.render:
        rounds = 1 if options.smoke else options.rounds
        reserved_s = scale.day_s + 120.0
        run(scenarios, rounds, max(60.0, options.minutes * 60 - reserved_s), results)
    command = "make bench-smoke" if options.smoke else f"make bench ROUNDS={options.rounds}"
    text = report.document(scenarios, results, facts(), command)
    report.show(text)
    if options.write:
        report.write(options.write, text)


if __name__ == "__main__":
    main()
