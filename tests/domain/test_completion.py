"""When a revision is complete, as a pure function of what is known of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from router.domain.completion import Arrivals, CompletionPolicy, OnMaxWait, due

POLICY = CompletionPolicy(quiet_after=timedelta(seconds=5), stable_after=timedelta(seconds=60))
ARRIVALS = Arrivals(
    last_arrival=100.0,
    last_release=None,
    open_associations=0,
    in_flight=0,
    doubtful_since=None,
    unrecorded=0,
)


def test_a_study_is_stable_so_long_after_its_last_instance() -> None:
    verdict = due(POLICY, replace(ARRIVALS, open_associations=1))
    assert (verdict.at, verdict.why) == (160.0, "no instance for 60 s")


def test_a_study_is_quiet_so_long_after_its_last_association_was_released() -> None:
    verdict = due(POLICY, replace(ARRIVALS, last_release=102.0))
    assert (verdict.at, verdict.why) == (107.0, "all associations released, quiet for 5 s")


def test_an_instance_after_the_release_begins_the_quiet_time_anew() -> None:
    assert due(POLICY, replace(ARRIVALS, last_release=40.0)).at == 105.0


def test_a_release_says_nothing_while_another_association_is_open() -> None:
    assert due(POLICY, replace(ARRIVALS, last_release=102.0, open_associations=1)).at == 160.0


def test_a_release_says_nothing_where_the_policy_does_not_ask() -> None:
    policy = replace(POLICY, quiet_after=None)
    assert due(policy, replace(ARRIVALS, last_release=102.0)).at == 160.0


def test_the_earliest_evidence_decides() -> None:
    policy = replace(POLICY, stable_after=timedelta(seconds=3))
    assert due(policy, replace(ARRIVALS, last_release=102.0)).at == 103.0


def test_an_instance_that_is_arriving_is_waited_for() -> None:
    verdict = due(POLICY, replace(ARRIVALS, last_release=102.0, in_flight=1))
    assert (verdict.at, verdict.why) == (None, "an instance is arriving")


def test_an_instance_that_is_not_recorded_yet_is_waited_for() -> None:
    verdict = due(POLICY, replace(ARRIVALS, unrecorded=1))
    assert (verdict.at, verdict.why) == (None, "instances are being recorded")


def test_an_instance_of_nobody_knows_which_study_is_waited_for_if_it_began_in_time() -> None:
    arrivals = replace(ARRIVALS, open_associations=1)
    assert due(POLICY, replace(arrivals, doubtful_since=159.9)).at is None
    assert due(POLICY, replace(arrivals, doubtful_since=160.0)).at is None


def test_an_instance_of_nobody_knows_which_study_that_began_too_late_holds_nothing_up() -> None:
    arrivals = replace(ARRIVALS, open_associations=1, doubtful_since=160.1)
    assert due(POLICY, arrivals).at == 160.0


_TIMES = st.floats(0, 1e6)
_SPANS = st.timedeltas(timedelta(milliseconds=1), timedelta(hours=1))
_POLICIES = st.builds(CompletionPolicy, quiet_after=st.none() | _SPANS, stable_after=_SPANS)
_IMPATIENT = st.builds(
    CompletionPolicy,
    quiet_after=st.none() | _SPANS,
    stable_after=_SPANS,
    max_wait=_SPANS,
    on_max_wait=st.sampled_from(OnMaxWait),
)
_ARRIVALS = st.builds(
    Arrivals,
    last_arrival=_TIMES,
    last_release=st.none() | _TIMES,
    open_associations=st.integers(0, 3),
    in_flight=st.integers(0, 3),
    doubtful_since=st.none() | _TIMES,
    unrecorded=st.integers(0, 3),
)


@given(_POLICIES, _ARRIVALS)
def test_no_revision_is_complete_while_an_instance_of_it_is_on_its_way(
    policy: CompletionPolicy, arrivals: Arrivals
) -> None:
    under_way = arrivals.in_flight or arrivals.unrecorded
    assert not under_way or due(policy, arrivals).at is None


@given(_IMPATIENT, _ARRIVALS)
def test_nothing_outlasts_max_wait_but_what_is_held(
    policy: CompletionPolicy, arrivals: Arrivals
) -> None:
    assert policy.max_wait is not None
    at = due(policy, arrivals).at
    assert at is not None
    assert at <= arrivals.opened + policy.max_wait.total_seconds()
    assert due(policy, replace(arrivals, is_held=True)).at is None


@given(_POLICIES, _ARRIVALS)
def test_every_revision_falls_due_once_nothing_happens_any_more(
    policy: CompletionPolicy, arrivals: Arrivals
) -> None:
    calm = replace(arrivals, in_flight=0, unrecorded=0, doubtful_since=None)
    at = due(policy, calm).at
    assert at is not None
    assert at <= calm.last_arrival + policy.stable_after.total_seconds()


@given(_POLICIES, _ARRIVALS)
def test_no_revision_is_complete_sooner_than_its_shortest_wait(
    policy: CompletionPolicy, arrivals: Arrivals
) -> None:
    at = due(policy, arrivals).at
    waits = [policy.stable_after] + ([policy.quiet_after] if policy.quiet_after else [])
    assert at is None or at >= arrivals.last_arrival + min(waits).total_seconds()


@given(_POLICIES, _ARRIVALS, st.floats(0, 100))
def test_a_later_instance_never_makes_a_revision_complete_sooner(
    policy: CompletionPolicy, arrivals: Arrivals, later: float
) -> None:
    calm = replace(arrivals, in_flight=0, unrecorded=0, doubtful_since=None)
    moved = replace(calm, last_arrival=calm.last_arrival + later)
    before, after = due(policy, calm).at, due(policy, moved).at
    assert before is not None
    assert after is not None
    assert after >= before
