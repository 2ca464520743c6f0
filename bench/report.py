"""Tables for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from bench.machine import Facts
from bench.plan import Outcome, Ratio, Scenario, Value
from bench.run import Results

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def document(scenarios: Sequence[Scenario], results: Results, facts: Facts, command: str) -> str:
    """The measured part of the page."""
    lines = [f"Measured on {facts.day} by `{command}`.", "", *facts.table(), ""]
    for scenario in scenarios:
        outcomes = results.outcomes.get(scenario.name)
        if outcomes:
            lines += [f"## {scenario.title}", "", scenario.how, ""]
            lines += [*_figures(outcomes), "", *_claims(scenario, outcomes)]
    return "\n".join(lines).rstrip() + "\n"


def show(text: str) -> None:
    """Print it for the one who waits."""
    Console(width=140).print(Markdown(text))


def write(path: Path, text: str) -> None:
    """Put it between the markers of the page; what stands around them is written by hand."""
    page = path.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has no place for the figures: {BEGIN} ... {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def _figures(outcomes: Mapping[tuple[str, str], Outcome]) -> Iterable[str]:
    names = list(
        dict.fromkeys(
            name
            for outcome in outcomes.values()
            for run in outcome.runs
            if run is not None
            for name in run
        )
    )
    yield _row(["load", "who", *names, "rounds"])
    yield _row(["---"] * (len(names) + 3))
    previous = ""
    for (load, contender), outcome in sorted(outcomes.items(), key=_by_load(outcomes)):
        medians = [outcome.median(name) for name in names]
        cells = ["" if value is None else _number(value) for value in medians]
        done = sum(run is not None for run in outcome.runs)
        rounds = str(done) if done == len(outcome.runs) else f"{done} of {len(outcome.runs)}"
        yield _row([load if load != previous else "", contender, *cells, rounds])
        previous = load


def _by_load(outcomes: Mapping[tuple[str, str], Outcome]):  # type: ignore[no-untyped-def]
    loads = list(dict.fromkeys(load for load, _ in outcomes))
    return lambda item: (loads.index(item[0][0]), item[0][1] != "router", item[0][1])


def _claims(scenario: Scenario, outcomes: Mapping[tuple[str, str], Outcome]) -> Iterable[str]:
    loads = {load for load, _ in outcomes}
    rows = [_claim(claim, outcomes) for claim in scenario.claims if claim.load in loads]
    if rows:
        shown = 6 if any(limit for *_, limit in rows) else 5
        yield _row(["load", "compared", "measured", "target", "met", "limit"][:shown])
        yield _row(["---"] * shown)
        yield from (_row(row[:shown]) for row in rows)
        yield ""


def _claim(claim: Ratio | Value, outcomes: Mapping[tuple[str, str], Outcome]) -> Sequence[str]:
    value = claim.value(outcomes)
    shown = "not measured" if value is None else f"{value:.3g}{claim.bound.unit}"
    met = "no" if value is None or not claim.bound.holds(value) else "yes"
    return [claim.load, str(claim), shown, str(claim.bound), met, _limit(claim, outcomes)]


def _limit(claim: Ratio | Value, outcomes: Mapping[tuple[str, str], Outcome]) -> str:
    """What the one that shows what can be reached comes to in the router's place."""
    reachable = claim.reachable if isinstance(claim, Ratio) else None
    value = reachable.value(outcomes) if reachable else None
    return "" if value is None else f"{value:.3g}{claim.bound.unit}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
