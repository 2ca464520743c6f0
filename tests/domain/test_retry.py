"""Pauses grow, are bounded, and differ; at last a delivery is given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.domain.retry import RetryPolicy

POLICIES = st.builds(
    RetryPolicy,
    first_s=st.floats(0.01, 60),
    factor=st.floats(1, 100),
    cap_s=st.floats(0.01, 3600),
    draw=st.floats(0, 1, exclude_max=True).map(lambda value: lambda: value),
)


def test_each_pause_is_a_factor_longer_than_the_one_before_up_to_the_cap() -> None:
    longest = RetryPolicy(first_s=2, factor=2, cap_s=30, draw=lambda: 1.0)
    assert [longest.delay_s(attempts) for attempts in range(1, 7)] == [2, 4, 8, 16, 30, 30]


def test_half_of_a_pause_is_fixed_and_half_is_drawn() -> None:
    shortest = RetryPolicy(first_s=2, factor=2, cap_s=30, draw=lambda: 0.0)
    assert [shortest.delay_s(attempts) for attempts in range(1, 7)] == [1, 2, 4, 8, 15, 15]


def test_a_pause_before_any_attempt_is_the_first_one() -> None:
    policy = RetryPolicy(draw=lambda: 1.0)
    assert policy.delay_s(0) == policy.delay_s(1)


def test_a_delivery_is_given_up_when_it_is_old_enough() -> None:
    policy = RetryPolicy(give_up_after_s=100)
    assert [policy.gives_up(age) for age in (0, 99.9, 100, 101)] == [False, False, True, True]


@given(POLICIES, st.integers(0, 10**9))
def test_no_pause_is_longer_than_the_cap_nor_shorter_than_half_of_the_first(
    policy: RetryPolicy, attempts: int
) -> None:
    pause = policy.delay_s(attempts)
    assert min(policy.first_s, policy.cap_s) / 2 <= pause <= policy.cap_s


@given(POLICIES, st.integers(1, 200))
def test_no_pause_is_shorter_than_the_one_before_for_the_same_draw(
    policy: RetryPolicy, attempts: int
) -> None:
    assert policy.delay_s(attempts + 1) >= policy.delay_s(attempts)
