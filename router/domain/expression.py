"""Routing criteria: what they mean. How they are written is in :mod:`router.domain.criteria`.

An attribute of a study is the *set* of values that its instances carry; of an instance, the set of
its own. ``EQUAL`` asks whether the value is in the set, ``IN`` whether the sets meet, and every
``NOT_`` is the exact negation. Text is compared exactly, without padding: DICOM's codes are upper
case, and so must the operand be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from router.domain.attributes import Attribute
from router.domain.instance import Facts
from router.domain.values import Comparable, comparable, kind_of

SHOWN_VALUES = 8


class Operator(StrEnum):
    """What a criterion asks of the values of its attribute."""

    EQUAL = "EQUAL"
    NOT_EQUAL = "NOT_EQUAL"
    IN = "IN"
    NOT_IN = "NOT_IN"
    IS_NULL = "IS_NULL"
    NOT_NULL = "NOT_NULL"
    CONTAINS = "CONTAINS"
    STARTS_WITH = "STARTS_WITH"
    MATCHES = "MATCHES"
    GREATER_THAN = "GREATER_THAN"
    LESS_THAN = "LESS_THAN"
    BETWEEN = "BETWEEN"


NEGATIONS = {
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.NOT_IN: Operator.IN,
    Operator.NOT_NULL: Operator.IS_NULL,
}
ORDERINGS = frozenset({Operator.GREATER_THAN, Operator.LESS_THAN, Operator.BETWEEN})

Values = Collection[str]
Test = Callable[[Values], bool]


@dataclass(frozen=True, slots=True)
class Criterion:
    """``ATTRIBUTE|OPERATOR|VALUE``. Two with the same text are equal."""

    attribute: Attribute
    operator: Operator
    operands: tuple[str, ...]
    test: Test = field(compare=False, repr=False)
    """The operator with its operands, compiled; gets the non-empty values."""

    def __str__(self) -> str:
        parts = [self.attribute.name, self.operator.value]
        if self.operator is Operator.MATCHES:
            parts += self.operands
        elif self.operands:
            parts.append(",".join(_escaped(operand) for operand in self.operands))
        return "|".join(parts)

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return self.test([value for value in facts.get(self.attribute.name, ()) if value])


def _escaped(operand: str) -> str:
    return operand.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|")


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of the parts matches."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return "(" + " and ".join(map(str, self.parts)) + ")"

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return all(part.matches(facts) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the parts matches."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return "(" + " or ".join(map(str, self.parts)) + ")"

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return any(part.matches(facts) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match."""

    part: Expression

    def __str__(self) -> str:
        return f"not {self.part}"

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return not self.part.matches(facts)


Expression = Criterion | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether facts match, and why; ``parts`` for compositions."""

    matched: bool
    explanation: str
    parts: tuple[Verdict, ...] = ()


def compile_test(
    attribute: Attribute, operator: Operator, operands: tuple[str, ...], search: Test | None
) -> Test:
    """What an operator asks of the values. ``search`` is the compiled pattern of ``MATCHES``."""
    if operator in NEGATIONS:
        positive = compile_test(attribute, NEGATIONS[operator], operands, search)
        return lambda values: not positive(values)
    if operator in ORDERINGS:
        return _ordering(attribute, operator, operands)
    if operator is Operator.IS_NULL:
        return lambda values: not values
    if operator is Operator.CONTAINS:
        return lambda values: any(operands[0] in value for value in values)
    if operator is Operator.STARTS_WITH:
        return lambda values: any(value.startswith(operands[0]) for value in values)
    if operator is Operator.MATCHES:
        assert search is not None
        return search
    wanted = frozenset(operands)  # EQUAL is IN with one operand
    return lambda values: not wanted.isdisjoint(values)


def _ordering(attribute: Attribute, operator: Operator, operands: tuple[str, ...]) -> Test:
    kind = kind_of(attribute.vr)
    bounds: list[Any] = [comparable(kind, operand) for operand in operands]

    def compare(value: Comparable | None) -> bool:
        if value is None:
            return False
        if operator is Operator.GREATER_THAN:
            return bool(value > bounds[0])
        if operator is Operator.LESS_THAN:
            return bool(value < bounds[0])
        return bool(bounds[0] <= value <= bounds[1])

    return lambda values: any(compare(comparable(kind, value)) for value in values)


def attributes_of(expression: Expression) -> frozenset[Attribute]:
    """All attributes that the expression looks at."""
    match expression:
        case Criterion():
            return frozenset({expression.attribute})
        case Not(part):
            return attributes_of(part)
        case AllOf(parts) | AnyOf(parts):
            return frozenset().union(*map(attributes_of, parts))


def explain(expression: Expression, facts: Facts) -> Verdict:
    """Evaluate with reasons, such as ``Modality is {CT, SR}; IN CR,DX: no``."""
    match expression:
        case Criterion():
            matched = expression.matches(facts)
            return Verdict(matched, f"{_question(expression, facts)}: {_yes(matched)}")
        case Not(part):
            inner = explain(part, facts)
            matched = not inner.matched
            return Verdict(matched, f"not [{inner.explanation}]: {_yes(matched)}", (inner,))
        case AllOf(parts):
            return _composed(all, " and ", tuple(explain(part, facts) for part in parts))
        case AnyOf(parts):
            return _composed(any, " or ", tuple(explain(part, facts) for part in parts))


def _composed(join: Callable[[list[bool]], bool], word: str, parts: tuple[Verdict, ...]) -> Verdict:
    matched = join([part.matched for part in parts])
    text = word.join(f"[{part.explanation}]" for part in parts)
    return Verdict(matched, f"{text}: {_yes(matched)}", parts)


def _question(criterion: Criterion, facts: Facts) -> str:
    values = sorted({value for value in facts.get(criterion.attribute.name, ()) if value})
    shown = ", ".join(values[:SHOWN_VALUES]) + (", ..." if len(values) > SHOWN_VALUES else "")
    has = f"is {{{shown}}}" if values else "has no value"
    operands = " " + ",".join(criterion.operands) if criterion.operands else ""
    return f"{criterion.attribute.name} {has}; {criterion.operator}{operands}"


def _yes(matched: bool) -> str:
    return "yes" if matched else "no"
