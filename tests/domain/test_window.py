"""When a delivery window opens, on days with and without a change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from router.domain.window import Hours, describe, opens_in_s

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Hours(time(19), time(6), UTC)

minutes = st.builds(time, st.integers(0, 23), st.integers(0, 59))
hours = st.builds(Hours, minutes, minutes, st.sampled_from([UTC, BERLIN])).filter(
    lambda one: one.start != one.end
)
windows = st.lists(hours, min_size=1, max_size=3)
moments = st.builds(
    lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute),
    st.integers(0, 365 * 24 * 60),
)
near_changes = st.builds(
    lambda day, minute: day + timedelta(minutes=minute),
    st.sampled_from(
        [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)]
    ),
    st.integers(0, 24 * 60),
)


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 1, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "wait_h"),
    [(at(12), 7), (at(18), 1), (at(19), 0), (at(23), 0), (at(5, 59), 0), (at(6), 13)],
)
def test_a_window_over_midnight_opens_in_the_evening(now: datetime, wait_h: float) -> None:
    assert opens_in_s([NIGHT], now) == wait_h * 3600


def test_without_hours_a_window_is_always_open() -> None:
    assert opens_in_s([], at(12)) == 0


def test_the_first_of_several_hours_counts() -> None:
    noon = Hours(time(12), time(13), UTC)
    assert opens_in_s([NIGHT, noon], at(11)) == 3600


def test_hours_are_those_of_their_zone() -> None:
    evening = Hours(time(19), time(20), BERLIN)
    assert opens_in_s([evening], datetime(2026, 1, 1, 17, 30, tzinfo=UTC)) == 1800
    assert opens_in_s([evening], datetime(2026, 7, 1, 16, 30, tzinfo=UTC)) == 1800


def test_a_window_is_told_as_it_is_written() -> None:
    assert describe([NIGHT, Hours(time(7, 5), time(0), BERLIN)]) == "19:00-06:00 UTC, 07:05-00:00"


@given(windows, moments | near_changes)
def test_when_the_wait_is_over_the_window_is_open(window: list[Hours], now: datetime) -> None:
    wait_s = opens_in_s(window, now)
    assert 0 <= wait_s <= 49 * 3600
    assert opens_in_s(window, now + timedelta(seconds=wait_s)) == 0


@given(windows, moments | near_changes, st.floats(0, 1, exclude_max=True))
def test_until_then_it_is_closed(window: list[Hours], now: datetime, part: float) -> None:
    wait_s = opens_in_s(window, now)
    assume(wait_s > 1)
    assert opens_in_s(window, now + timedelta(seconds=(wait_s - 1) * part)) > 0
