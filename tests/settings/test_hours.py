"""Delivery windows as people write them."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from datetime import UTC, datetime, time

import pytest

from router.settings.hours import LOCAL, parse_hours


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the machine to a zone with summer time."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        clock.tzset()
        yield
    clock.tzset()


def test_hours_are_those_of_the_clock_on_the_wall(in_berlin: None) -> None:
    evening = parse_hours("19:00-20:00")
    assert evening.zone is LOCAL
    assert evening.hold(datetime(2026, 1, 1, 18, 30, tzinfo=UTC))
    assert evening.hold(datetime(2026, 7, 1, 17, 30, tzinfo=UTC))
    assert not evening.hold(datetime(2026, 7, 1, 18, 30, tzinfo=UTC))


def test_hours_may_be_stated_in_utc(in_berlin: None) -> None:
    evening = parse_hours("19:00-20:00 UTC")
    assert evening.hold(datetime(2026, 7, 1, 19, 30, tzinfo=UTC))


@pytest.mark.parametrize("text", ["19:00-06:00", "07:05-23:30 UTC"])
def test_hours_are_written_as_they_are_read(text: str) -> None:
    assert str(parse_hours(text)) == text


def test_the_end_of_the_day_may_be_24_00() -> None:
    assert parse_hours("8:00-24:00").end == time(0)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("evening", "19:00-06:00 UTC"),
        (19, "19:00-06:00 UTC"),
        ("19:00-25:00", "19:00-06:00 UTC"),
        ("19:00-24:30", "no time of the day"),
        ("19:00-19:00", "leave it out"),
        ("00:00-24:00", "leave it out"),
    ],
)
def test_what_are_no_hours_is_refused_with_what_would_be_right(value: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_hours(value)
