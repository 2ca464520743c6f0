"""When a revision is complete: pure, time is an argument.

In order of trust there is: somebody who knows says so; the source counts no more instances than
have arrived; the named series are there, and it is quiet after the last association that brought
instances of the study was released; and, always as the last resort, stable since the last instance.
A revision is never complete while an instance of it is arriving, or while the ledger lags behind an
acknowledgement.

Of an instance in flight it may not be known yet whose it is. One that began to arrive before the
revision fell due is waited for, if its association has brought instances of the study. One that
began later is not: a sender that goes on and on with other studies holds none back for ever.

``max_wait`` bounds all of that, whatever arrives: it is no evidence, but the end of patience. What
is on its way then belongs to the next revision, or joins the one that is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from router.domain.named_series import NamedSeries


class OnMaxWait(StrEnum):
    """What becomes of a revision that took too long."""

    DELIVER = "deliver"  # what is there counts as complete
    HOLD = "hold"  # nobody gets it until a person says that it is complete
    DISCARD = "discard"  # nobody gets it; its record stays


class Count(StrEnum):
    """What the source's count of the study's instances says, after the last one that arrived."""

    SILENT = "silent"  # nobody to ask, no answer, or one that says nothing
    AWAITED = "awaited"  # it is being asked, or is to be asked first
    MORE = "more"  # the source counts more instances than have arrived
    REACHED = "reached"  # as many as have arrived


@dataclass(frozen=True, slots=True)
class CompletionPolicy:
    """How long to wait; ``quiet_after`` None: only an explicit signal and ``stable_after`` count.

    ``max_wait`` None: for as long as instances come.
    """

    quiet_after: timedelta | None = timedelta(seconds=5)
    stable_after: timedelta = timedelta(seconds=60)
    max_wait: timedelta | None = None
    on_max_wait: OnMaxWait = OnMaxWait.DELIVER
    series: NamedSeries | None = None
    """Quiet says nothing before these are there."""


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
    opened: float = 0.0  # when its first instance arrived
    is_held: bool = False  # it took too long before: only what is declared counts any more
    series_are_there: bool = True  # those that the policy names
    count: Count = Count.SILENT


@dataclass(frozen=True, slots=True)
class Due:
    """When to close the revision if nothing more happens; None: not before something does.

    ``as_told`` says what to make of it where it is not complete, but took too long.
    """

    at: float | None
    why: str
    as_told: OnMaxWait = OnMaxWait.DELIVER


def due(policy: CompletionPolicy, arrivals: Arrivals) -> Due:
    """The moment at which the policy takes the revision for complete, and by which evidence."""
    complete = _complete(policy, arrivals)
    if policy.max_wait is None or arrivals.is_held:
        return complete
    limit = arrivals.opened + policy.max_wait.total_seconds()
    if complete.at is not None and complete.at <= limit:
        return complete
    why = f"not complete within {policy.max_wait.total_seconds():g} s of its first instance"
    return Due(limit, why, policy.on_max_wait)


def _complete(policy: CompletionPolicy, arrivals: Arrivals) -> Due:
    if arrivals.unrecorded:
        return Due(None, "instances are being recorded")
    if arrivals.in_flight:
        return Due(None, "an instance is arriving")
    evidence = min(_evidence(policy, arrivals), default=None)
    if evidence is None:
        return Due(None, "held until somebody says that it is complete")
    if arrivals.doubtful_since is not None and arrivals.doubtful_since <= evidence[0]:
        return Due(None, "an instance is arriving that may be of this study")
    return Due(*evidence)


def _evidence(policy: CompletionPolicy, arrivals: Arrivals) -> Iterator[tuple[float, str]]:
    """When each kind of evidence will be there, if nothing more happens."""
    if arrivals.declared is not None:
        yield arrivals.last_arrival, arrivals.declared
    if arrivals.is_held:
        return
    stable_s = policy.stable_after.total_seconds()
    yield arrivals.last_arrival + stable_s, f"no instance for {stable_s:g} s"
    if policy.quiet_after is None or not arrivals.series_are_there:
        return
    if arrivals.count is Count.REACHED:
        yield arrivals.last_arrival, "the source counts as many instances as have arrived"
    if arrivals.count in (Count.AWAITED, Count.MORE):
        return
    if arrivals.open_associations or arrivals.last_release is None:
        return
    quiet_s = policy.quiet_after.total_seconds()
    last = max(arrivals.last_arrival, arrivals.last_release)
    named = "the named series have arrived, " if policy.series is not None else ""
    yield last + quiet_s, f"{named}all associations released, quiet for {quiet_s:g} s"
