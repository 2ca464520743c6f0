"""When a revision is complete: pure, time is an argument.

In order of trust there is: quiet after the last association that brought instances of the study
was released; and, always as the last resort, stable since the last instance. A revision is never
complete while one of its associations is in the middle of an instance, or while the ledger lags
behind an acknowledgement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class CompletionPolicy:
    """How long to wait; ``quiet_after`` None: association ends say nothing."""

    quiet_after: timedelta | None = timedelta(seconds=5)
    stable_after: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is known of an open revision; times are monotonic seconds."""

    last_arrival: float
    last_release: float | None  # the latest end of an association that contributed
    open_associations: int  # that contributed
    in_flight: int  # of those, in the middle of an instance
    unrecorded: int  # acknowledged, and not in the ledger yet


@dataclass(frozen=True, slots=True)
class Due:
    """When to close the revision if nothing more happens; None: not before something does."""

    at: float | None
    why: str


def due(policy: CompletionPolicy, arrivals: Arrivals) -> Due:
    """The moment at which the policy takes the revision for complete, and by which evidence."""
    if arrivals.unrecorded:
        return Due(None, "instances are being recorded")
    if arrivals.in_flight:
        return Due(None, "an instance is arriving")
    stable = Due(
        arrivals.last_arrival + policy.stable_after.total_seconds(),
        f"no instance for {policy.stable_after.total_seconds():g} s",
    )
    if policy.quiet_after is None or arrivals.open_associations or arrivals.last_release is None:
        return stable
    last = max(arrivals.last_arrival, arrivals.last_release)
    quiet = Due(
        last + policy.quiet_after.total_seconds(),
        f"all associations released, quiet for {policy.quiet_after.total_seconds():g} s",
    )
    return min(quiet, stable, key=lambda one: one.at or 0.0)
