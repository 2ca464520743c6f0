from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.settings.values import (
    Endpoint,
    format_duration,
    format_size,
    parse_duration,
    parse_endpoint,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5),
        ("2m", 120),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("7d", 604800),
        ("2w", 1209600),
        ("0s", 0),
        ("PT5S", 5),
        ("PT1H30M", 5400),
        ("P1DT12H", 129600),
        ("P2W", 1209600),
        ("PT0.5S", 0.5),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["", "5", "s", "5 s", "5x", "-5s", "P", "PT", "5sx", True, None])
def test_what_is_no_duration_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match="5s"):
        parse_duration(value)


def test_a_duration_without_a_unit_is_told_so() -> None:
    with pytest.raises(ValueError, match="needs a unit: 5s, 5m"):
        parse_duration(5)


def test_a_duration_that_no_calendar_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a century"):
        parse_duration("99999999999w")


@given(st.integers(0, 10**12))
def test_durations_survive_being_written_and_read(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("64kB", 64_000),
        ("64KiB", 65_536),
        ("256MB", 256_000_000),
        ("2GiB", 2 * 1024**3),
        ("1.5 TB", 1_500_000_000_000),
        ("2gib", 2 * 1024**3),
    ],
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["", "MB", "5XB", "-1", -1, 1.5, True, None, []])
def test_what_is_no_size_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match="256MB"):
        parse_size(value)


@given(st.integers(0, 10**15))
def test_sizes_survive_being_written_and_read(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("0.0.0.0:11112", Endpoint("0.0.0.0", 11112)),
        ("localhost:0", Endpoint("localhost", 0)),
        ("[::1]:8080", Endpoint("::1", 8080)),
    ],
)
def test_endpoints_are_read_and_written(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize("value", ["", "host", ":80", "::1:80", "host:", "host:x", 11112, None])
def test_what_is_no_endpoint_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match="11112"):
        parse_endpoint(value)
