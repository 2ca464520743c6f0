"""When the source of a study is asked how many instances it has, and what its answer is worth.

Pure; times are monotonic seconds. An answer counts for what had arrived when it was asked for: the
next instance makes it stale, for a source may itself still be receiving the study.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.domain.completion import Arrivals, CompletionPolicy, Count

SETTLE_S = 1.0
"""After the last release: many short associations in a row are one question."""
AGAIN_S = 2.0
"""The first pause while the source counts more than have arrived; each further one is twice it."""
AGAIN_AT_MOST_S = 60.0


@dataclass(frozen=True, slots=True)
class CountTaken:
    """The last answer of the source."""

    asked_at: float
    missing: int | None
    """How many more than have arrived it counts, negative for fewer; None: no usable answer."""
    times: int = 1  # that it was asked about the same arrivals

    def followed_by(self, asked_at: float, missing: int | None, last_arrival: float) -> CountTaken:
        """The next answer; one that fails to come takes back nothing of what was said before."""
        if self.asked_at < last_arrival:
            return CountTaken(asked_at, missing)
        return CountTaken(asked_at, self.missing if missing is None else missing, self.times + 1)


def worth(taken: CountTaken | None, last_arrival: float) -> Count:
    """What the answer says about the revision."""
    if taken is None or taken.asked_at < last_arrival:
        return Count.AWAITED
    if taken.missing is None or taken.missing < 0:
        return Count.SILENT
    return Count.MORE if taken.missing else Count.REACHED


def ask_at(policy: CompletionPolicy, arrivals: Arrivals, taken: CountTaken | None) -> float | None:
    """When to ask next if nothing more happens; None: not before something does."""
    if policy.quiet_after is None or arrivals.is_held or arrivals.in_flight or arrivals.unrecorded:
        return None
    value = worth(taken, arrivals.last_arrival)
    if value is Count.AWAITED:
        calm_at = _calm_at(arrivals, policy.quiet_after.total_seconds())
        return calm_at if taken is None else max(calm_at, taken.asked_at + AGAIN_S)
    if value is Count.MORE and taken is not None:
        return taken.asked_at + min(AGAIN_AT_MOST_S, AGAIN_S * 2.0 ** min(taken.times - 1, 16))
    return None


def _calm_at(arrivals: Arrivals, quiet_s: float) -> float:
    if arrivals.open_associations or arrivals.last_release is None:
        return arrivals.last_arrival + quiet_s
    return max(arrivals.last_arrival, arrivals.last_release) + min(SETTLE_S, quiet_s)
