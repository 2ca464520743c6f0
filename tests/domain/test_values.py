"""Values compare as what their VR says they are."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import InvalidCriteria
from router.domain.values import ValueKind, comparable, kind_of, operand

DATES = st.dates(min_value=date(1000, 1, 1))  # strftime pads no earlier year
MOMENTS = st.builds(datetime.combine, DATES, st.times())


@pytest.mark.parametrize(
    ("vr", "kind"),
    [
        *((vr, ValueKind.NUMBER) for vr in ("IS", "DS", "US", "SS", "UL", "SL", "FL", "FD")),
        ("DA", ValueKind.DATE),
        ("TM", ValueKind.TIME),
        ("DT", ValueKind.DATE_TIME),
        ("AS", ValueKind.AGE),
        *((vr, ValueKind.TEXT) for vr in ["CS", "LO", "PN", "UI", "AE", "SH", "UT", "UN", ""]),
    ],
)
def test_each_vr_compares_as_one_kind(vr: str, kind: ValueKind) -> None:
    assert kind_of(vr) is kind


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (ValueKind.NUMBER, ["-1e3", "-10", "-.5", "0", "0.5", "9", "10", "1E2", "1234567890.5"]),
        (ValueKind.DATE, ["19991231", "2000-01-01", "2000.01.02", "20260131"]),
        (ValueKind.TIME, ["00", "0001", "000101", "00:01:02", "000102.5", "13", "235959.999999"]),
        (ValueKind.DATE_TIME, ["2025", "202602", "20260203", "2026020310", "20260203101112.5"]),
        (ValueKind.AGE, ["001D", "001W", "8D", "006M", "11M", "1Y", "013M", "045Y"]),
        (ValueKind.TEXT, ["", "10", "9", "A", "AB", "a"]),
    ],
)
def test_values_of_a_kind_order_as_a_person_would(kind: ValueKind, texts: list[str]) -> None:
    values: list[Any] = [comparable(kind, text) for text in texts]

    assert all(before < after for before, after in pairwise(values))


@pytest.mark.parametrize(
    ("kind", "one", "same"),
    [
        (ValueKind.NUMBER, "7", "007"),
        (ValueKind.NUMBER, "1.50", " +1.5 "),
        (ValueKind.DATE, "20260131", "2026-01-31"),
        (ValueKind.DATE, "20260131", "2026.01.31"),
        (ValueKind.TIME, "10", "100000.000"),
        (ValueKind.TIME, "101112", "10:11:12"),
        (ValueKind.DATE_TIME, "2026", "20260101000000"),
        (ValueKind.AGE, "012M", "001Y"),
        (ValueKind.AGE, "7D", "001W"),
    ],
)
def test_one_value_may_be_written_in_several_ways(kind: ValueKind, one: str, same: str) -> None:
    assert comparable(kind, one) == comparable(kind, same)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (ValueKind.NUMBER, ["", "x", "1,5", "1_000", "nan", "inf", "0x10", "1 2", "٣", "1e99999"]),
        (ValueKind.DATE, ["", "2026", "20260230", "2026-0131", "31.01.2026", "00000101", "0" * 99]),
        (ValueKind.TIME, ["", "24", "1060", "1", "10.5", "noon"]),
        (ValueKind.DATE_TIME, ["", "202", "20261301", "2026.5", "20260131250000", "tomorrow"]),
        (ValueKind.AGE, ["", "45", "Y", "0045Y", "045y", "-1Y"]),
    ],
)
def test_what_is_no_such_value_is_not_comparable(kind: ValueKind, texts: list[str]) -> None:
    assert [comparable(kind, text) for text in texts] == [None] * len(texts)


@given(st.sampled_from(ValueKind), st.text())
def test_no_value_of_a_data_set_raises(kind: ValueKind, text: str) -> None:
    comparable(kind, text)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_numbers_are_exact(number: Decimal) -> None:
    assert comparable(ValueKind.NUMBER, str(number)) == number


@given(DATES, DATES)
def test_dates_order_as_dates(one: date, other: date) -> None:
    left, right = (comparable(ValueKind.DATE, each.isoformat()) for each in (one, other))

    assert isinstance(left, Decimal)
    assert isinstance(right, Decimal)
    assert (left < right) is (one < other)


@given(st.times(), st.times())
def test_times_order_as_times(one: time, other: time) -> None:
    left, right = (comparable(ValueKind.TIME, f"{each:%H%M%S.%f}") for each in (one, other))

    assert isinstance(left, Decimal)
    assert isinstance(right, Decimal)
    assert (left < right) is (one < other)


@given(MOMENTS, MOMENTS)
def test_moments_order_as_moments(one: datetime, other: datetime) -> None:
    left, right = (
        comparable(ValueKind.DATE_TIME, f"{each:%Y%m%d%H%M%S.%f}") for each in (one, other)
    )

    assert isinstance(left, Decimal)
    assert isinstance(right, Decimal)
    assert (left < right) is (one < other)


def test_an_operand_that_is_no_such_value_is_refused_with_an_example() -> None:
    with pytest.raises(InvalidCriteria) as caught:
        operand(ValueKind.AGE, "old")

    assert str(caught.value) == "'old' does not read as an age; expected 045Y"
