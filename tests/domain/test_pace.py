"""However bytes are asked for, no more of them go through than the rate allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.pace import BURST_S, Pace

RATE = 1000.0


def test_what_was_not_used_may_be_made_up_for_only_for_a_moment() -> None:
    pace = Pace(RATE, 0.0)
    pace.spend(int(RATE * BURST_S), 100.0)
    assert pace.wait_s(100.0) == 0
    pace.spend(500, 100.0)
    assert pace.wait_s(100.0) == pytest.approx(0.5)
    assert pace.wait_s(100.5) == 0


@given(st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 5)), max_size=50))
def test_no_more_goes_through_than_the_rate_allows_and_the_last_piece(
    pieces: list[tuple[int, float]],
) -> None:
    pace, now, sent, last = Pace(RATE, 0.0), 0.0, 0, 0
    for size, pause_s in pieces:
        now += pause_s
        now += pace.wait_s(now)
        assert pace.wait_s(now) == 0
        pace.spend(size, now)
        sent, last = sent + size, size
        assert sent - last <= RATE * (now + BURST_S) + 1
    assert pace.wait_s(now) <= sent / RATE


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=50))
def test_who_always_has_something_to_send_gets_the_whole_rate(sizes: list[int]) -> None:
    pace, now = Pace(RATE, 0.0), 0.0
    for size in sizes:
        now += pace.wait_s(now)
        pace.spend(size, now)
    assert sum(sizes) >= RATE * now - 1


def test_a_clock_that_stands_still_earns_nothing() -> None:
    pace = Pace(RATE, 5.0)
    pace.spend(1250, 5.0)
    assert pace.wait_s(4.0) == pace.wait_s(5.0) == pytest.approx(1.0)
