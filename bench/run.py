"""Runs trials in rounds, contenders in random order, and keeps what they came to."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from bench.plan import Figures, Outcome, Scenario, Trial

console = Console(stderr=True)


class Results:
    """Everything measured so far, by scenario; written to a file as it grows."""

    def __init__(self, path: Path | None):
        self._path = path
        self.outcomes: dict[str, dict[tuple[str, str], Outcome]] = defaultdict(dict)

    def outcome(self, scenario: str, load: str, contender: str) -> Outcome:
        """Where the runs of one contender go."""
        return self.outcomes[scenario].setdefault((load, contender), Outcome())

    def save(self) -> None:
        """Write the file, if there is one."""
        if self._path is None:
            return
        content = [
            {"scenario": scenario, "load": load, "contender": contender, **asdict(outcome)}
            for scenario, by_key in self.outcomes.items()
            for (load, contender), outcome in by_key.items()
        ]
        self._path.write_text(json.dumps(content, indent=1))

    def load(self) -> None:
        """Take over what the file holds."""
        if self._path is None or not self._path.exists():
            return
        for one in json.loads(self._path.read_text()):
            outcome = Outcome(one["runs"], one["errors"])
            self.outcomes[one["scenario"]][one["load"], one["contender"]] = outcome


def run(
    scenarios: Sequence[Scenario], rounds: int, rounds_within_s: float, results: Results
) -> None:
    """Measure everything: in rounds as long as there is time for them, the long trials last.

    The first round is always finished.
    """
    began = time.monotonic()
    for number in range(rounds):
        for scenario, trial in _trials(scenarios, once=False):
            if number and time.monotonic() - began > rounds_within_s:
                console.print(f"no time for more: {number} rounds are whole", style="yellow")
                break
            _run_trial(scenario, trial, f"round {number + 1}", results)
        else:
            continue
        break
    for scenario, trial in _trials(scenarios, once=True):
        _run_trial(scenario, trial, "once", results)


def _trials(scenarios: Sequence[Scenario], *, once: bool) -> Iterator[tuple[Scenario, Trial]]:
    for scenario in scenarios:
        for trial in scenario.trials:
            if trial.once is once:
                yield scenario, trial


def _run_trial(scenario: Scenario, trial: Trial, label: str, results: Results) -> None:
    began = time.monotonic()
    for contender in random.sample(list(trial.contenders), len(trial.contenders)):
        outcome = results.outcome(scenario.name, trial.load, contender)
        try:
            figures: Figures | None = trial.contenders[contender]()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one that fails must not end the night's run
            figures = None
            outcome.errors.append(_told(error))
            console.print(
                f"{scenario.name}, {trial.load}, {contender}: {_told(error)}", style="red"
            )
        outcome.runs.append(figures)
    results.save()
    seconds = time.monotonic() - began
    console.print(f"{label}: {scenario.name}, {trial.load} ({seconds:.1f} s)", style="dim")


def _told(error: BaseException) -> str:
    said = getattr(error, "stderr", None) if isinstance(error, subprocess.SubprocessError) else None
    detail = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
    text = f"{type(error).__name__}: {error} {detail}".strip()
    return text if len(text) < 400 else text[:200] + " ... " + text[-200:]
