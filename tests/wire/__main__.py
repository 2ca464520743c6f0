"""``python -m tests.wire HOST PORT --called AE``: measure any Storage SCP with the wire cases."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.markup import escape

from tests.wire.cases import CASES
from tests.wire.runner import PATIENCE_S, Target, run


def main() -> int:
    """Run the cases and print each; the exit status is 1 if any did not pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--called", default="ANY-SCP", help="called AE title")
    parser.add_argument("--only", default="", help="cases whose name or section contains this")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, metavar="SECONDS")
    options = parser.parse_args()
    target = Target(options.host, options.port, options.called, options.patience)
    chosen = [one for one in CASES if options.only in one.name or options.only in one.section]
    console, failed = Console(highlight=False, soft_wrap=True), 0
    for one in chosen:
        report = run(one, target)
        failed += not report.passed
        mark = "[green]ok  [/]" if report.passed else "[red]FAIL[/]"
        detail = report.failure or ", ".join(map(str, report.seen[:4]))
        console.print(f"{mark} {escape(one.name)} [dim]({escape(one.section)})[/] {escape(detail)}")
    console.print(f"{len(chosen) - failed} of {len(chosen)} as expected")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
