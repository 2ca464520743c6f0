"""Routing criteria: what they mean. How they are written is in :mod:`router.domain.criteria`.

An attribute of a study is the *set* of values that its instances carry; of an instance, the set of
its own. ``EQUAL`` asks whether the value is in the set, ``IN`` whether the sets meet, and every
``NOT_`` is the exact negation. All others ask whether any value will do; an attribute that is
absent or empty has none.

Values compare as their VR says: ``007`` equals ``7`` in an IS, not in an LO. Text is compared
exactly, without padding (facts carry none): DICOM's codes are upper case, and so must the operand
be. A value that is not what its VR says compares with nothing, and the explanation counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
from operator import gt, lt
from typing import Any

from router.domain.attributes import Attribute
from router.domain.instance import Facts
from router.domain.values import ValueKind, comparable, kind_of

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
TYPED = ORDERINGS | {Operator.EQUAL, Operator.NOT_EQUAL, Operator.IN, Operator.NOT_IN}
"""Operators that compare as the VR says; the others look at values as text."""

Values = Collection[str]
Test = Callable[[Values], bool]


@dataclass(frozen=True, slots=True)
class Criterion:
    """``ATTRIBUTE|OPERATOR|VALUE``. Two with the same text are equal."""

    attribute: Attribute
    operator: Operator
    operands: tuple[str, ...]
    test: Test = field(compare=False, repr=False)
    """The operator with its operands, compiled; gets the values, and ignores empty ones."""

    def __str__(self) -> str:
        parts = [self.attribute.name, self.operator.value]
        if self.operator is Operator.MATCHES:
            parts += self.operands
        elif self.operands:
            parts.append(",".join(_escaped(operand) for operand in self.operands))
        return "|".join(parts)

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return self.test(facts.get(self.attribute.name, ()))


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
        return lambda values: not any(values)
    if operator is Operator.CONTAINS:
        return partial(_contains, operands[0])
    if operator is Operator.STARTS_WITH:
        return partial(_starts_with, operands[0])
    if operator is Operator.MATCHES:
        assert search is not None
        return search
    return _membership(attribute, operands)  # EQUAL is IN with one operand


def _contains(text: str, values: Values) -> bool:
    for value in values:  # noqa: SIM110 - twice as fast as any(): a candidate is asked 1000 times
        if text in value:
            return True
    return False


def _starts_with(text: str, values: Values) -> bool:
    for value in values:  # noqa: SIM110 - likewise
        if value.startswith(text):
            return True
    return False


def _membership(attribute: Attribute, operands: tuple[str, ...]) -> Test:
    kind = kind_of(attribute.vr)
    if kind is ValueKind.TEXT:
        texts = frozenset(operands)
        return lambda values: not texts.isdisjoint(values)
    wanted = frozenset(comparable(kind, operand) for operand in operands)
    return lambda values: any(comparable(kind, value) in wanted for value in values)


def _ordering(attribute: Attribute, operator: Operator, operands: tuple[str, ...]) -> Test:
    kind = kind_of(attribute.vr)
    bounds: list[Any] = [comparable(kind, operand) for operand in operands]
    if operator is Operator.GREATER_THAN:
        return _any_value(kind, partial(lt, bounds[0]))
    if operator is Operator.LESS_THAN:
        return _any_value(kind, partial(gt, bounds[0]))
    low, high = bounds
    return _any_value(kind, lambda value: low <= value <= high)


def _any_value(kind: ValueKind, holds: Callable[[Any], bool]) -> Test:
    def test(values: Values) -> bool:
        for value in values:
            typed = comparable(kind, value) if value else None
            if typed is not None and holds(typed):
                return True
        return False

    return test


def attributes_of(expression: Expression) -> frozenset[Attribute]:
    """All attributes that the expression looks at."""
    match expression:
        case Criterion():
            return frozenset({expression.attribute})
        case Not(part):
            return attributes_of(part)
        case AllOf(parts) | AnyOf(parts):
            return frozenset().union(*map(attributes_of, parts))


def deciding(expression: Expression, facts: Facts) -> Expression:
    """The part that settles the result by itself, such as the first of ``all`` that does not match.

    The whole expression where all of its parts are needed. Whether the facts match it is whether
    they match the expression.
    """
    match expression:
        case AllOf(parts):
            settles = False
        case AnyOf(parts):
            settles = True
        case _:
            return expression
    for part in parts:
        if part.matches(facts) is settles:
            return deciding(part, facts)
    return expression


def explain(expression: Expression, facts: Facts) -> Verdict:
    """Evaluate every part with reasons, such as ``Modality is {CT, SR}; IN CR,DX: no``."""
    match expression:
        case Criterion():
            return _explain_criterion(expression, facts)
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


def _explain_criterion(criterion: Criterion, facts: Facts) -> Verdict:
    values = tuple(facts.get(criterion.attribute.name, ()))
    matched = criterion.test(values)
    operands = " " + ",".join(criterion.operands) if criterion.operands else ""
    return Verdict(
        matched,
        f"{criterion.attribute.name} {_shown(values)}; {criterion.operator.value}{operands}: "
        f"{_yes(matched)}{_incomparable(criterion, values)}",
    )


@lru_cache(maxsize=1024)
def _shown(values: tuple[str, ...]) -> str:
    """Cached: in one determination, many criteria look at the same few values."""
    present = sorted({value for value in values if value})
    more = ", ..." if len(present) > SHOWN_VALUES else ""
    return f"is {{{', '.join(present[:SHOWN_VALUES])}{more}}}" if present else "has no value"


def _incomparable(criterion: Criterion, values: tuple[str, ...]) -> str:
    """How many values could not be compared, not which: they may name a person."""
    kind = kind_of(criterion.attribute.vr)
    if kind is ValueKind.TEXT or criterion.operator not in TYPED:
        return ""
    present = {value for value in values if value}
    bad = sum(comparable(kind, value) is None for value in present)
    return f" ({bad} of {len(present)} values not {kind})" if bad else ""


def _yes(matched: bool) -> str:
    return "yes" if matched else "no"
