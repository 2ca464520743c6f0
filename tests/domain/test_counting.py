"""When the source is asked for its count, and what an answer is worth."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from router.domain.completion import Arrivals, CompletionPolicy, Count, due
from router.domain.counting import AGAIN_AT_MOST_S, CountTaken, ask_at, worth

POLICY = CompletionPolicy(quiet_after=timedelta(seconds=5), stable_after=timedelta(seconds=60))
RELEASED = Arrivals(
    last_arrival=100.0,
    last_release=102.0,
    open_associations=0,
    in_flight=0,
    doubtful_since=None,
    unrecorded=0,
)


def test_it_is_asked_shortly_after_the_last_release() -> None:
    assert ask_at(POLICY, RELEASED, None) == 103.0


def test_it_is_asked_when_an_open_association_is_quiet() -> None:
    assert ask_at(POLICY, replace(RELEASED, open_associations=1), None) == 105.0


def test_it_is_not_asked_while_instances_arrive_or_by_an_explicit_policy() -> None:
    assert ask_at(POLICY, replace(RELEASED, in_flight=1), None) is None
    assert ask_at(POLICY, replace(RELEASED, unrecorded=1), None) is None
    assert ask_at(POLICY, replace(RELEASED, is_held=True), None) is None
    assert ask_at(replace(POLICY, quiet_after=None), RELEASED, None) is None


def test_while_there_are_more_it_is_asked_again_with_growing_pauses() -> None:
    pauses = []
    for times in range(1, 9):
        at = ask_at(POLICY, RELEASED, CountTaken(200.0, 3, times))
        assert at is not None
        pauses.append(at - 200.0)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_what_is_answered_is_not_asked_again_until_more_has_arrived() -> None:
    for missing in (0, None, -2):
        taken = CountTaken(103.0, missing)
        assert ask_at(POLICY, RELEASED, taken) is None
        assert ask_at(POLICY, replace(RELEASED, last_arrival=110.0), taken) == 111.0


def test_an_answer_is_worth_nothing_once_another_instance_has_arrived() -> None:
    assert worth(CountTaken(103.0, 0), 100.0) is Count.REACHED
    assert worth(CountTaken(103.0, 0), 104.0) is Count.AWAITED


def test_a_source_that_has_fewer_or_does_not_say_leaves_it_to_the_timers() -> None:
    assert worth(CountTaken(103.0, -1), 100.0) is Count.SILENT
    assert worth(CountTaken(103.0, None), 100.0) is Count.SILENT


def test_a_question_that_fails_takes_nothing_back() -> None:
    after = CountTaken(103.0, 7).followed_by(105.0, None, last_arrival=100.0)
    assert (after.missing, after.times) == (7, 2)
    assert CountTaken(103.0, 7).followed_by(115.0, None, last_arrival=110.0).missing is None


def test_a_count_that_is_reached_completes_at_once() -> None:
    verdict = due(POLICY, replace(RELEASED, count=Count.REACHED))
    assert verdict.at == 100.0
    assert verdict.why == "the source counts as many instances as have arrived"


def test_named_series_are_waited_for_though_the_count_is_reached() -> None:
    arrivals = replace(RELEASED, count=Count.REACHED, series_are_there=False)
    assert due(POLICY, arrivals).at == 160.0


def test_while_the_source_has_more_or_is_asked_only_the_last_resort_is_left() -> None:
    for count in (Count.MORE, Count.AWAITED):
        assert due(POLICY, replace(RELEASED, count=count)).at == 160.0


@given(st.integers(-5, 5) | st.none(), st.integers(1, 10**6))
def test_the_next_question_is_never_far_nor_at_once(missing: int | None, times: int) -> None:
    at = ask_at(POLICY, RELEASED, CountTaken(200.0, missing, times))
    assert at is None or 200.0 < at <= 200.0 + AGAIN_AT_MOST_S
