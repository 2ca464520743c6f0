"""Delivery windows: the hours of the day in which a candidate may be sent to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

FOLDS = (0, 1)
"""An hour that a clock shows twice, when summer ends, is two."""
DAYS = 3
"""The next opening is tomorrow at the latest, or the day after if its hour is left out then."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From one time of the day to another, which may be the next day's; the end is outside."""

    start: time
    end: time
    zone: tzinfo

    def hold(self, now: datetime) -> bool:
        """Whether it is so early or late at ``now`` (aware)."""
        of_day = now.astimezone(self.zone).time()
        if self.start < self.end:
            return self.start <= of_day < self.end
        return of_day >= self.start or of_day < self.end

    def openings(self, now: datetime) -> Iterator[datetime]:
        """When they begin in the days to come, in UTC; some may be over, some may come twice."""
        today = now.astimezone(self.zone).date()
        for day in range(DAYS):
            for fold in FOLDS:
                start = datetime.combine(today + timedelta(day), self.start, self.zone)
                yield start.replace(fold=fold).astimezone(UTC)

    def __str__(self) -> str:
        zone = " UTC" if self.zone is UTC else ""
        return f"{self.start:%H:%M}-{self.end:%H:%M}{zone}"


Window = Sequence[Hours]
"""Open while any of the hours hold; without any, always."""


def opens_in_s(window: Window, now: datetime) -> float:
    """Seconds until the window is open; 0: it is."""
    if not window or any(hours.hold(now) for hours in window):
        return 0.0
    openings = (opening for hours in window for opening in hours.openings(now))
    return min((opening - now).total_seconds() for opening in openings if opening > now)


def describe(window: Window) -> str:
    """The window as it is written."""
    return ", ".join(map(str, window))
