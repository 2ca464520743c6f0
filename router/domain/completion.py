"""When a revision is complete: pure, time is an argument.

In order of trust there is: quiet after the last association that brought instances of the study
was released; and, always as the last resort, stable since the last instance. A revision is never
complete while an instance of it is arriving, or while the ledger lags behind an acknowledgement.

Of an instance in flight it may not be known yet whose it is. One that began to arrive before the
revision fell due is waited for, if its association has brought instances of the study. One that
began later is not: a sender that goes on and on with other studies holds none back for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    last_release: float | None  # of an association that contributed; None: the last one broke off
    open_associations: int  # that contributed
    in_flight: int  # instances of this study that have no answer yet
    doubtful_since: (
        float | None
    )  # when the earliest one began that may turn out to be of this study
    unrecorded: int  # instances acknowledged, and not in the ledger yet
    declared: str | None = None  # who said that the revision is complete, and how


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
    evidence = min(_evidence(policy, arrivals))
    if arrivals.doubtful_since is not None and arrivals.doubtful_since <= evidence[0]:
        return Due(None, "an instance is arriving that may be of this study")
    return Due(*evidence)


def _evidence(policy: CompletionPolicy, arrivals: Arrivals) -> Iterator[tuple[float, str]]:
    """When each kind of evidence will be there, if nothing more happens."""
    if arrivals.declared is not None:
        yield arrivals.last_arrival, arrivals.declared
    stable_s = policy.stable_after.total_seconds()
    yield arrivals.last_arrival + stable_s, f"no instance for {stable_s:g} s"
    if policy.quiet_after is None or arrivals.open_associations or arrivals.last_release is None:
        return
    quiet_s = policy.quiet_after.total_seconds()
    last = max(arrivals.last_arrival, arrivals.last_release)
    yield last + quiet_s, f"all associations released, quiet for {quiet_s:g} s"
