"""What a benchmark is: trials in which contenders stand side by side, and claims about them.

A trial is run in rounds; in each round its contenders run once, in random order. A ratio is taken
within each round, and the median of these ratios is what counts: the machine's speed drifts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

Figures = Mapping[str, float]
"""What one run came to, by name with its unit."""

Contender = Callable[[], Figures]

ROUTER = "router"
"""The contender that all this is about."""


@dataclass(frozen=True)
class Trial:
    """One load, and those who are measured under it."""

    load: str
    contenders: Mapping[str, Contender]
    once: bool = False  # it carries its own repetitions, or lasts too long for every round


@dataclass
class Outcome:
    """What the rounds of one contender under one load came to; None: that run failed."""

    runs: list[Figures | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def median(self, figure: str) -> float | None:
        """The median of a figure over the rounds that have it."""
        found = [run[figure] for run in self.runs if run is not None and figure in run]
        return statistics.median(found) if found else None


Outcomes = Mapping[tuple[str, str], Outcome]
"""By load and contender."""


@dataclass(frozen=True)
class Bound:
    """A target: at least, or at most, so much."""

    limit: float
    is_upper: bool
    unit: str

    def holds(self, value: float) -> bool:
        """Whether the target is met."""
        return value <= self.limit if self.is_upper else value >= self.limit

    def __str__(self) -> str:
        return f"{'<=' if self.is_upper else '>='} {self.limit:g}{self.unit}"


def at_least(limit: float, unit: str = "x") -> Bound:
    """A target that is a floor."""
    return Bound(limit, is_upper=False, unit=unit)


def at_most(limit: float, unit: str = "x") -> Bound:
    """A target that is a ceiling."""
    return Bound(limit, is_upper=True, unit=unit)


@dataclass(frozen=True)
class Ratio:
    """``of`` divided by ``to``, round by round.

    ``limit`` names the contender that shows what could be reached at all in the router's place.
    """

    load: str
    figure: str
    of: str
    to: str
    bound: Bound
    limit: str = ""

    def __str__(self) -> str:
        return f"{self.of} / {self.to}, {self.figure}"

    @property
    def reachable(self) -> Ratio | None:
        """The same of what could be reached; None where nobody shows it."""
        if not self.limit:
            return None
        of, to = (self.limit if name == ROUTER else name for name in (self.of, self.to))
        return replace(self, of=of, to=to, limit="")

    def value(self, outcomes: Outcomes) -> float | None:
        """The median of the ratios; None where nothing can be compared."""
        own, other = outcomes.get((self.load, self.of)), outcomes.get((self.load, self.to))
        if own is None or other is None:
            return None
        ratios = [
            a[self.figure] / b[self.figure]
            for a, b in zip(own.runs, other.runs, strict=False)
            if a and b and self.figure in a and b.get(self.figure)
        ]
        return statistics.median(ratios) if ratios else None


@dataclass(frozen=True)
class Value:
    """One figure of one contender, as it is."""

    load: str
    figure: str
    of: str
    bound: Bound

    def __str__(self) -> str:
        return f"{self.of}, {self.figure}"

    def value(self, outcomes: Outcomes) -> float | None:
        """The median; None where it was not measured."""
        own = outcomes.get((self.load, self.of))
        return own.median(self.figure) if own else None


@dataclass(frozen=True)
class Scenario:
    """A part of the benchmark: one table."""

    name: str
    title: str
    how: str
    """What is measured, and how, for those who read the table."""
    trials: Sequence[Trial]
    claims: Sequence[Ratio | Value] = ()


@dataclass(frozen=True)
class Scale:
    """How much is to be measured."""

    smoke: bool = False  # see that everything runs, in less than a minute
    day_s: float = 600.0  # length of the simulated day

    def pick(self, full: int, smoke: int) -> int:
        """One number for the full run, another one for the smoke run."""
        return smoke if self.smoke else full
