"""What many ask of the same facts is evaluated once, and answered as if each had asked alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from router.domain.criteria import parse_criteria
from router.domain.evaluation import Evaluation, deciding, explain
from router.domain.expression import Criterion

FACTS = {"Modality": ("CT", "SR"), "SeriesNumber": ("7", "x"), "StationName": ()}

WRITTEN = [
    "MODALITY|IN|CT,MR",
    "MODALITY|EQUAL|US",
    "SERIES_NUMBER|GREATER_THAN|3",
    "STATION_NAME|IS_NULL",
    {"not": "MODALITY|EQUAL|CT"},
    {"all": ["MODALITY|IN|CT,MR", "MODALITY|EQUAL|US"]},
    {"all": ["MODALITY|IN|CT,MR", "STATION_NAME|IS_NULL"]},
    {"any": ["MODALITY|EQUAL|US", {"all": ["STATION_NAME|IS_NULL", "MODALITY|IN|CT,MR"]}]},
    {"any": ["MODALITY|EQUAL|US", {"not": "STATION_NAME|IS_NULL"}]},
]


class CountingValues(Sequence[str]):
    """The values of an attribute, and how often anybody looked at them."""

    def __init__(self, *values: str):
        self._values = values
        self.looks = 0

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        self.looks += 1
        return iter(self._values)


@pytest.mark.parametrize("order", [1, -1])
def test_an_answer_does_not_depend_on_what_was_asked_before(order: int) -> None:
    together = Evaluation(FACTS)
    for written in WRITTEN[::order] * 2:
        expression = parse_criteria(written)
        alone = explain(deciding(expression, FACTS), FACTS)
        assert together.matches(expression) is expression.matches(FACTS)
        assert together.judge(expression) == (alone.matched, alone.explanation)
        assert together.explain(expression) == explain(expression, FACTS)


def test_a_criterion_that_many_share_is_tested_once() -> None:
    values = CountingValues("CT")
    facts = Evaluation({"Modality": values, "StationName": ("A",)})  # type: ignore[dict-item]
    asked = [
        parse_criteria({"all": ["MODALITY|CONTAINS|C", f"STATION_NAME|EQUAL|{number}"]})
        for number in range(50)
    ]

    assert not any(facts.matches(expression) for expression in asked)

    assert values.looks == 1


def test_criteria_that_are_written_differently_and_mean_the_same_are_one() -> None:
    one = parse_criteria("MODALITY|IN|CT,MR")
    other = parse_criteria({"attribute": "(0008,0060)", "operator": "in", "value": ["CT", "MR"]})

    assert isinstance(one, Criterion)
    assert one is other
