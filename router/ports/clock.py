"""Time as the services see it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the services see it; a test may own it."""

    def now(self) -> datetime:
        """Wall time in UTC, aware: only recorded, never waited on."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back: drives every time-out."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
