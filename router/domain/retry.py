"""Pauses between attempts: exponential, capped, with jitter; pure but for the given draw."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How to pause after failures, and when to give up; seconds throughout."""

    first_s: float = 2.0
    factor: float = 2.0
    cap_s: float = 300.0
    give_up_after_s: float = 7 * 24 * 3600.0
    draw: Callable[[], float] = random.random
    """Uniform in [0, 1); a test gives its own."""

    def delay_s(self, attempts: int) -> float:
        """Pause after so many failed attempts: between half of the step and the whole step.

        Unlike with full jitter, half is fixed: a candidate that is down is not hammered.
        """
        exponent = min(max(attempts, 1) - 1, 64)
        step = min(self.cap_s, self.first_s * self.factor**exponent)
        return step * (0.5 + 0.5 * self.draw())

    def gives_up(self, age_s: float) -> bool:
        """Whether a delivery that is so old and still fails is dead."""
        return age_s >= self.give_up_after_s
