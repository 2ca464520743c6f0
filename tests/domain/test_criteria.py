"""How criteria are written, and what is said to someone who wrote them wrongly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.attributes import parse_attribute
from router.domain.criteria import as_json, attributes_of, parse_criteria
from router.domain.errors import InvalidCriteria
from router.domain.expression import AllOf, AnyOf, Criterion, Not, Operator

XRAY = "MODALITY|IN|CR,DX"


def criterion(value: object) -> Criterion:
    parsed = parse_criteria(value)
    assert isinstance(parsed, Criterion)
    return parsed


@pytest.mark.parametrize(
    ("written", "name", "operator", "operands"),
    [
        (r"MODALITY\|NOT_IN\|CR,DX", "Modality", "NOT_IN", ("CR", "DX")),
        (r"MODALITY\|IN\|CR,DX", "Modality", "IN", ("CR", "DX")),
        (r"MODALITY\\|NOT_IN\\|CR,DX", "Modality", "NOT_IN", ("CR", "DX")),
        ("MODALITY|NOT_IN|CR,DX", "Modality", "NOT_IN", ("CR", "DX")),
        ("  Modality | in | CR , DX  ", "Modality", "IN", ("CR", "DX")),
        ("MODALITY|IS_NULL", "Modality", "IS_NULL", ()),
        ("INSTITUTION_NAME|IS_NULL|", "InstitutionName", "IS_NULL", ()),
        (r"MODALITY\|NOT_NULL", "Modality", "NOT_NULL", ()),
        ("BODY_PART_EXAMINED|EQUAL|PHANTOM", "BodyPartExamined", "EQUAL", ("PHANTOM",)),
        ("InstanceNumber|BETWEEN|1, 10", "InstanceNumber", "BETWEEN", ("1", "10")),
    ],
)
def test_text_is_written_as_writers_know_it(
    written: str, name: str, operator: str, operands: tuple[str, ...]
) -> None:
    parsed = criterion(written)

    assert (parsed.attribute.name, parsed.operator, parsed.operands) == (name, operator, operands)


@pytest.mark.parametrize(
    ("written", "operands"),
    [
        (r"StudyDescription|IN|HEAD\, NECK,CHEST", ("HEAD, NECK", "CHEST")),
        ("StudyDescription|EQUAL|HEAD, NECK", ("HEAD, NECK",)),
        (r"StudyDescription|EQUAL|HEAD\, NECK", ("HEAD, NECK",)),
        ("StudyDescription|EQUAL|a|b", ("a|b",)),
        (r"StudyDescription|EQUAL|a\|b", ("a|b",)),
        (r"StudyDescription|CONTAINS|a\\b", ("a\\b",)),
        (r"StudyDescription|CONTAINS|a\b", (r"a\b",)),
        ("StudyDescription|MATCHES|^(a|b),c$", ("^(a|b),c$",)),
        (r"StudyDescription|MATCHES|\d+\|\\", (r"\d+\|\\",)),
    ],
)
def test_pipes_commas_and_backslashes_can_stand_in_a_value(
    written: str, operands: tuple[str, ...]
) -> None:
    assert criterion(written).operands == operands


@pytest.mark.parametrize(
    "value",
    [
        {"routableAttribute": "MODALITY", "operator": "IN", "value": ["CR", "DX"]},
        {"attribute": "Modality", "operator": "in", "value": ["CR", "DX"]},
        {"attribute": "Modality", "operator": "IN", "value": "CR,DX"},
        {"attribute": "Modality", "operator": "IN", "value": ("CR ", " DX")},
        [XRAY],
        {"all": [XRAY]},
        {"any": [[XRAY]]},
    ],
)
def test_json_says_the_same_as_text(value: object) -> None:
    assert parse_criteria(value) == parse_criteria(XRAY)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"attribute": "InstanceNumber", "operator": "EQUAL", "value": 5}, "EQUAL|5"),
        ({"attribute": "InstanceNumber", "operator": "BETWEEN", "value": [1, 5]}, "BETWEEN|1,5"),
        ({"attribute": "InstanceNumber", "operator": "BETWEEN", "value": "1,5"}, "BETWEEN|1,5"),
        ({"attribute": "InstanceNumber", "operator": "IS_NULL"}, "IS_NULL"),
        ({"attribute": "InstanceNumber", "operator": "IS_NULL", "value": None}, "IS_NULL"),
        ({"attribute": "InstanceNumber", "operator": "IS_NULL", "value": ""}, "IS_NULL"),
        ({"attribute": "InstanceNumber", "operator": "IS_NULL", "value": []}, "IS_NULL"),
    ],
)
def test_json_values_may_be_numbers_or_nothing(value: object, text: str) -> None:
    assert str(parse_criteria(value)) == f"InstanceNumber|{text}"


def test_a_value_in_a_json_list_is_taken_as_it_stands() -> None:
    value = {"attribute": "StudyDescription", "operator": "IN", "value": ["a,b", r"c\,d"]}

    assert criterion(value).operands == ("a,b", r"c\,d")
    assert str(criterion(value)) == r"StudyDescription|IN|a\,b,c\\\,d"


def test_criteria_are_composed() -> None:
    a, b, c = (parse_criteria(f"MODALITY|EQUAL|{each}") for each in "ABC")

    composed = parse_criteria(
        {"any": [{"all": [as_json(a), as_json(b)]}, {"not": as_json(c)}, [as_json(a), as_json(c)]]}
    )

    assert composed == AnyOf((AllOf((a, b)), Not(c), AllOf((a, c))))
    assert str(composed) == (
        "((Modality|EQUAL|A and Modality|EQUAL|B) or not Modality|EQUAL|C"
        " or (Modality|EQUAL|A and Modality|EQUAL|C))"
    )


def test_a_list_means_all_of_it() -> None:
    assert parse_criteria([XRAY, "MODALITY|NOT_NULL"]) == parse_criteria(
        {"all": [XRAY, "MODALITY|NOT_NULL"]}
    )


OPERANDS = st.text(min_size=1, max_size=12).map(str.strip).filter(bool)
TEXT_CRITERIA = st.one_of(
    st.tuples(
        st.sampled_from(["EQUAL", "NOT_EQUAL", "CONTAINS", "STARTS_WITH", "GREATER_THAN"]),
        st.tuples(OPERANDS),
    ),
    st.tuples(st.sampled_from(["IN", "NOT_IN"]), st.lists(OPERANDS, min_size=1, max_size=4)),
    st.tuples(st.just("BETWEEN"), st.tuples(OPERANDS, OPERANDS).map(sorted)),
    st.tuples(st.sampled_from(["IS_NULL", "NOT_NULL"]), st.just(())),
    st.tuples(st.just("MATCHES"), st.tuples(st.sampled_from(["a|b", r"\|", r"^\d{2},x$", "|"]))),
).map(lambda pair: {"attribute": "StudyDescription", "operator": pair[0], "value": list(pair[1])})
COMPOSED = st.recursive(
    TEXT_CRITERIA,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)


@given(TEXT_CRITERIA)
def test_the_text_of_a_criterion_says_the_same_again(value: object) -> None:
    parsed = parse_criteria(value)

    assert parse_criteria(str(parsed)) == parsed


@given(COMPOSED)
def test_the_json_of_an_expression_says_the_same_again(value: object) -> None:
    parsed = parse_criteria(value)

    assert parse_criteria(json.loads(json.dumps(as_json(parsed)))) == parsed


def test_the_attributes_of_an_expression_are_known_beforehand() -> None:
    parsed = parse_criteria(
        [XRAY, {"any": ["PatientID|NOT_NULL", {"not": "SOURCE_AE_TITLE|EQUAL|CT1"}]}]
    )

    assert attributes_of(parsed) == {
        parse_attribute(name) for name in ("Modality", "PatientID", "SourceAETitle")
    }


ALL_OPERATORS = ", ".join(Operator)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("MODALITY", "'MODALITY' is not ATTRIBUTE|OPERATOR|VALUE, such as MODALITY|IN|CR,DX"),
        ("", "'' is not ATTRIBUTE|OPERATOR|VALUE, such as MODALITY|IN|CR,DX"),
        (None, "expected criteria such as MODALITY|IN|CR,DX, not NoneType"),
        (5, "expected criteria such as MODALITY|IN|CR,DX, not int"),
        (b"MODALITY|IS_NULL", "expected criteria such as MODALITY|IN|CR,DX, not bytes"),
        ([], "expected a list of criteria"),
        ({}, "routableAttribute: is missing, or not text"),
        ("MODALTY|EQUAL|CT", "'MODALTY' is not a DICOM attribute; did you mean Modality?"),
        ("MODALITY|EQUALS|CT", "operator: 'EQUALS' is unknown; did you mean EQUAL?"),
        ("MODALITY|WITHIN|CT", f"operator: 'WITHIN' is unknown; one of {ALL_OPERATORS}"),
        ("MODALITY||CT", f"operator: '' is unknown; one of {ALL_OPERATORS}"),
        ("MODALITY|EQUAL", "EQUAL needs a value; to ask for none, use IS_NULL"),
        ("MODALITY|IN|", "IN needs a value; to ask for none, use IS_NULL"),
        ("MODALITY|IN|CR,,DX", "IN: one of the values is empty; to ask for none, use IS_NULL"),
        (r"MODALITY|IN|CR\ ".strip(), r"value: 'CR\\' ends with a lonely backslash"),
        ("MODALITY|IS_NULL|CT", "IS_NULL takes no value"),
        ("InstanceNumber|BETWEEN|1", "BETWEEN needs two values, low,high; got 1"),
        ("InstanceNumber|BETWEEN|1,2,3", "BETWEEN needs two values, low,high; got 3"),
        ("InstanceNumber|BETWEEN|10,9", "BETWEEN 10,9: the first is the larger"),
        (
            "InstanceNumber|EQUAL|one",
            "InstanceNumber: 'one' does not read as a number; expected one such as 42 or 1.5",
        ),
        (
            "InstanceNumber|NOT_IN|1,x",
            "InstanceNumber: 'x' does not read as a number; expected one such as 42 or 1.5",
        ),
        (
            "StudyDate|GREATER_THAN|31.01.2026",
            "StudyDate: '31.01.2026' does not read as a date; expected 20260131",
        ),
        (
            "StudyTime|LESS_THAN|noon",
            "StudyTime: 'noon' does not read as a time; expected 133000",
        ),
        (
            "AcquisitionDateTime|LESS_THAN|now",
            (
                "AcquisitionDateTime: 'now' does not read as a date and time; "
                "expected 20260131133000"
            ),
        ),
        ("PatientAge|LESS_THAN|18", "PatientAge: '18' does not read as an age; expected 045Y"),
        ("MODALITY|MATCHES|(", "MATCHES: '(' is not an RE2 pattern: missing ): ("),
        (r"MODALITY|MATCHES|(a)\1", (r"MATCHES: '(a)\\1' is not an RE2 pattern: "
                                    r"invalid escape sequence: \1")),
        ({"all": [XRAY, {"attribute": "Modality", "operator": "EQUALS", "value": "CT"}]},
         "all[1].operator: 'EQUALS' is unknown; did you mean EQUAL?"),
        ({"all": [XRAY, {"any": [XRAY, "MODALTY|IS_NULL"]}]},
         "all[1].any[1]: 'MODALTY' is not a DICOM attribute; did you mean Modality?"),
        ([XRAY, {"not": "PatientAge|EQUAL|x"}],
         "[1].not.value: PatientAge: 'x' does not read as an age; expected 045Y"),
        ({"attribute": "Modality", "operator": "EQUAL", "value": ["CR", "DX"]},
         "EQUAL takes one value, not 2; use IN for a list"),
        ({"any": [{"attribute": "Modality", "operator": "IN", "value": []}]},
         "any[0].value: IN needs a value; to ask for none, use IS_NULL"),
        ({"any": [{"attribute": "Modality", "operator": "IN", "value": ["CR", True]}]},
         ("any[0].value: expected text, a number, or a list of them; "
         "what YAML takes for something else needs quotes")),
        ({"any": [{"operator": "IN", "value": ["CR"]}]},
         "any[0].routableAttribute: is missing, or not text"),
        ({"attribute": "Modality", "value": ["CR"]}, "operator: is missing, or not text"),
        ({"attribute": "Modality", "operator": "EQUAL", "values": "CR"},
         "unknown key 'values'; expected routableAttribute, operator and value, or all, any, not"),
        ({"attribute": "Modality", "routableAttribute": "PatientID", "operator": "IS_NULL"},
         "attribute and routableAttribute are the same; give one"),
        ({"all": [XRAY], "any": [XRAY]}, "'all' must stand alone; use one mapping for each"),
        ({"not": XRAY, "operator": "IN"}, "'not' must stand alone; use one mapping for each"),
        ({"all": XRAY}, "all: expected a list of criteria"),
        ({"any": [[]]}, "any[0]: expected a list of criteria"),
        ({"all": [XRAY] * 1001}, "all: more than 1000 criteria"),
    ],
)  # fmt: skip
def test_the_part_that_is_wrong_is_named(value: object, complaint: str) -> None:
    with pytest.raises(InvalidCriteria) as caught:
        parse_criteria(value)

    assert str(caught.value) == complaint


def test_bounds_order_as_the_vr_says() -> None:
    assert criterion("InstanceNumber|BETWEEN|9,10").operands == ("9", "10")
    with pytest.raises(InvalidCriteria, match="the first is the larger"):
        parse_criteria("StudyID|BETWEEN|9,10")


def test_operators_that_look_at_text_take_any_text() -> None:
    assert criterion("PatientAge|CONTAINS|Y").operands == ("Y",)


def test_nesting_ends_somewhere() -> None:
    value: Any = XRAY
    for _ in range(17):
        value = {"not": value}

    with pytest.raises(InvalidCriteria, match=r"not: criteria are nested more than 16 deep"):
        parse_criteria(value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["all", "any", "not", "attribute", "operator", "value"]) | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(ANYTHING | st.from_regex(r"\A(Modality|InstanceNumber)\|[A-Z_]{2,12}\|.*\Z"))
def test_whatever_is_written_is_understood_or_refused(value: object) -> None:
    try:
        parsed = parse_criteria(value)
    except InvalidCriteria:
        return
    assert parse_criteria(as_json(parsed)) == parsed
