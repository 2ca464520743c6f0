"""Expressions over the series of a study: what they mean, and what they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import InvalidCriteria
from router.domain.named_series import (
    Both,
    Either,
    Named,
    SeriesExpression,
    Without,
    parse_named_series,
)

PROTOCOL = "'Axial T2' and ('Sag T1 GRE' or 'Sag T1 TSE')"


@pytest.mark.parametrize(
    ("arrived", "holds"),
    [
        (["Axial T2", "Sag T1 GRE"], True),
        (["Axial T2", "Sag T1 TSE"], True),
        (["Axial T2", "Localizer"], False),
        (["Sag T1 GRE", "Sag T1 TSE"], False),
        ([], False),
    ],
)
def test_a_protocol_with_an_alternative(arrived: list[str], holds: bool) -> None:
    assert parse_named_series(PROTOCOL).have_arrived(arrived) is holds


@pytest.mark.parametrize("description", ["axial t2", "AXIAL T2 FLAIR", "3 Axial  T2", "xAxial T2x"])
def test_a_name_is_found_anywhere_in_a_description_whatever_the_case(description: str) -> None:
    assert parse_named_series("'Axial T2'").have_arrived([description])


def test_not_binds_closest_then_and_then_or() -> None:
    series = parse_named_series("not 'a' and 'b' or 'c'")
    assert str(series.expression) == "((not 'a' and 'b') or 'c')"


def test_double_quotes_hold_names_with_single_ones() -> None:
    assert parse_named_series('''"radiologist's cut"''').have_arrived(["Radiologist's Cut 5mm"])


def test_words_of_the_language_may_be_parts_of_names() -> None:
    assert parse_named_series("'T1 and T2 (not fused)'").have_arrived(["T1 AND T2 (NOT FUSED)"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected a series name in quotes, at the end"),
        ("'a' and", "expected a series name in quotes, at the end"),
        ("'a' 'b'", "expected and, or, or the end, at \"'b'\""),
        ("('a' or 'b'", "expected ), at the end"),
        ("'a')", "expected and, or, or the end, at ')'"),
        ("Axial", "'Axial' is neither and, or, not, nor a series name in quotes"),
        ("'a' xor 'b'", "'xor' is neither"),
        ("'a", 'a series name is not closed by its quote, at "\'a"'),
        ("' '", "a series name is empty"),
        ("(" * 99 + "'a'" + ")" * 99, "nested more than 16 deep"),
        ("not " * 99 + "'a'", "nested more than 16 deep"),
        (" and ".join(["'a'"] * 101), "more than 100 series names"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(text: str, fault: str) -> None:
    with pytest.raises(InvalidCriteria) as raised:
        parse_named_series(text)
    assert fault in str(raised.value)


_NAMES = st.text(st.characters(codec="ascii", exclude_characters="'\""), min_size=1, max_size=8)
_EXPRESSIONS: st.SearchStrategy[SeriesExpression] = st.recursive(
    _NAMES.filter(str.strip).map(lambda text: parse_named_series(f"'{text}'").expression),
    lambda parts: st.one_of(
        parts.map(Without),
        st.lists(parts, min_size=2, max_size=3).map(lambda some: Both(tuple(some))),
        st.lists(parts, min_size=2, max_size=3).map(lambda some: Either(tuple(some))),
    ),
    max_leaves=6,
)
_DESCRIPTIONS = st.lists(st.text(st.characters(codec="ascii"), max_size=20), max_size=4)


@given(_EXPRESSIONS, _DESCRIPTIONS)
def test_what_is_written_is_read_back_with_the_same_meaning(
    expression: SeriesExpression, descriptions: list[str]
) -> None:
    again = parse_named_series(str(expression)).expression
    assert again == expression or str(again) == str(expression)
    lowered = {" ".join(text.casefold().split()) for text in descriptions}
    assert again.holds(lowered) == expression.holds(lowered)


@given(_EXPRESSIONS, _DESCRIPTIONS)
def test_an_expression_is_what_python_makes_of_its_words(
    expression: SeriesExpression, descriptions: list[str]
) -> None:
    lowered = {" ".join(text.casefold().split()) for text in descriptions}
    assert expression.holds(lowered) == _by_hand(expression)(lowered)


def _by_hand(expression: SeriesExpression) -> Callable[[set[str]], bool]:
    match expression:
        case Named(text):
            return lambda found: any(text in one for one in found)
        case Without(part):
            return lambda found: not _by_hand(part)(found)
        case Both(parts):
            return lambda found: all(_by_hand(part)(found) for part in parts)
        case Either(parts):
            return lambda found: any(_by_hand(part)(found) for part in parts)


@given(st.text(max_size=40))
def test_any_text_is_either_understood_or_refused(text: str) -> None:
    with suppress(InvalidCriteria):
        assert parse_named_series(text).text == " ".join(text.split())


@given(st.text("'\"() andortx", max_size=40))
def test_any_text_that_looks_right_is_either_understood_or_refused(text: str) -> None:
    try:
        series = parse_named_series(text)
    except InvalidCriteria:
        return
    assert str(parse_named_series(str(series.expression)).expression) == str(series.expression)
