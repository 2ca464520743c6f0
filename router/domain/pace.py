"""A limit to bytes per second: a token bucket that may run into debt. Pure: time is an argument."""

from __future__ import annotations

BURST_S = 0.25
"""What was not used for so long may be made up for at once."""


class Pace:
    """Lets bytes through as long as there is credit; what went through is charged afterwards.

    Over any span of time no more than ``rate * (span + BURST_S)`` bytes go through, and the last
    piece that began within it.
    """

    def __init__(self, rate: float, monotonic: float):
        """``rate`` in bytes per second."""
        self.rate = rate
        self._credit = rate * BURST_S
        self._at = monotonic

    def wait_s(self, monotonic: float) -> float:
        """How long to wait until something may go through; 0: now."""
        self._gain(monotonic)
        return 0.0 if self._credit > -1 else -self._credit / self.rate  # not for part of a byte

    def spend(self, count: int, monotonic: float) -> None:
        """So many bytes go through."""
        self._gain(monotonic)
        self._credit -= count

    def _gain(self, monotonic: float) -> None:
        earned = max(0.0, monotonic - self._at) * self.rate
        self._credit = min(self.rate * BURST_S, self._credit + earned)
        self._at = max(self._at, monotonic)
