"""How long to wait for a peer: pure arithmetic, the clock is the caller's."""

from __future__ import annotations

import math

MIN_PROGRESS_BYTES = 4096
"""Less than this within a message's time-out counts as standing still (a byte per second)."""


class Patience:
    """Judges from what has been heard of a peer whether waiting for more makes sense.

    In the middle of a PDU or a message the peer must get on: at least ``MIN_PROGRESS_BYTES`` or
    the end of it within ``message_s``. Between messages it may be silent for ``idle_s``. While we
    owe it an answer nothing is expected of it.
    """

    def __init__(self, idle_s: float, message_s: float, now: float):
        self._idle_s = idle_s
        self._message_s = message_s
        self._heard_at = now
        self._received = 0
        self._began_at: float | None = None
        self._received_before = 0

    @property
    def received(self) -> int:
        """Bytes heard so far."""
        return self._received

    def heard(self, size: int, now: float) -> None:
        """Note that the peer sent ``size`` bytes, or took an answer."""
        self._heard_at = now
        self._received += size

    def left(self, now: float, *, in_the_middle: bool) -> None:
        """Note whether what was heard leaves a PDU or a message incomplete."""
        if not in_the_middle:
            self._began_at = None
        elif self._began_at is None:
            self._begin(now)

    def deadline(self, *, is_owed: bool) -> float:
        """When to ask for a verdict, if nothing is heard until then."""
        if is_owed:
            return math.inf
        if self._began_at is not None:
            return self._began_at + self._message_s
        return self._heard_at + self._idle_s

    def verdict(self, now: float, *, is_owed: bool) -> str | None:
        """Why to give the peer up; None: go on waiting, until the new deadline."""
        if now < self.deadline(is_owed=is_owed):
            return None
        if self._began_at is None:
            return f"nothing was received for {self._idle_s:g} s"
        progress = self._received - self._received_before
        if progress < MIN_PROGRESS_BYTES:
            return f"a message stood still: {progress} bytes in {self._message_s:g} s"
        self._begin(now)
        return None

    def _begin(self, now: float) -> None:
        self._began_at = now
        self._received_before = self._received
