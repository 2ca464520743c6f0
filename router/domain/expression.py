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

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import count
from operator import gt, lt
from typing import Any

from router.domain.attributes import Attribute
from router.domain.instance import Facts
from router.domain.values import ValueKind, comparable, kind_of


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

_numbers = count()
"""Each expression has one of its own, which answers about it are found by."""

_settle = object.__setattr__
"""Sets what a frozen object is made with, once."""

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
    asks: str = field(init=False, compare=False, repr=False)
    """The operator and its operands, for a person."""
    text: str = field(init=False, compare=False, repr=False)
    compares: ValueKind = field(init=False, compare=False, repr=False)
    """As what it compares values."""
    attributes: frozenset[Attribute] = field(init=False, compare=False, repr=False)
    number: int = field(init=False, compare=False, repr=False, default_factory=_numbers.__next__)

    def __post_init__(self) -> None:
        _settle(self, "attributes", frozenset({self.attribute}))
        operands = " " + ",".join(self.operands) if self.operands else ""
        _settle(self, "asks", f"{self.operator.value}{operands}")
        _settle(self, "text", _text(self.attribute, self.operator, self.operands))
        is_typed = self.operator in TYPED
        _settle(self, "compares", kind_of(self.attribute.vr) if is_typed else ValueKind.TEXT)

    def __str__(self) -> str:
        return self.text

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return self.test(facts.get(self.attribute.name, ()))


def _text(attribute: Attribute, operator: Operator, operands: Sequence[str]) -> str:
    parts = [attribute.name, operator.value]
    if operator is Operator.MATCHES:
        parts += operands
    elif operands:
        parts.append(",".join(map(_escaped, operands)))
    return "|".join(parts)


def _escaped(operand: str) -> str:
    return operand.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|")


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of the parts matches."""

    parts: tuple[Expression, ...]
    attributes: frozenset[Attribute] = field(init=False, compare=False, repr=False)
    number: int = field(init=False, compare=False, repr=False, default_factory=_numbers.__next__)
    numbers: tuple[int, ...] = field(init=False, compare=False, repr=False)
    """The numbers of the parts."""

    def __post_init__(self) -> None:
        _settle(self, "attributes", _attributes(self.parts))
        _settle(self, "numbers", tuple(part.number for part in self.parts))

    def __str__(self) -> str:
        return "(" + " and ".join(map(str, self.parts)) + ")"

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return all(part.matches(facts) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the parts matches."""

    parts: tuple[Expression, ...]
    attributes: frozenset[Attribute] = field(init=False, compare=False, repr=False)
    number: int = field(init=False, compare=False, repr=False, default_factory=_numbers.__next__)
    numbers: tuple[int, ...] = field(init=False, compare=False, repr=False)
    """The numbers of the parts."""

    def __post_init__(self) -> None:
        _settle(self, "attributes", _attributes(self.parts))
        _settle(self, "numbers", tuple(part.number for part in self.parts))

    def __str__(self) -> str:
        return "(" + " or ".join(map(str, self.parts)) + ")"

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return any(part.matches(facts) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match."""

    part: Expression
    attributes: frozenset[Attribute] = field(init=False, compare=False, repr=False)
    number: int = field(init=False, compare=False, repr=False, default_factory=_numbers.__next__)

    def __post_init__(self) -> None:
        _settle(self, "attributes", self.part.attributes)

    def __str__(self) -> str:
        return f"not {self.part}"

    def matches(self, facts: Facts) -> bool:
        """Whether the facts match."""
        return not self.part.matches(facts)


def _attributes(parts: Iterable[Expression]) -> frozenset[Attribute]:
    return frozenset().union(*(part.attributes for part in parts))


Expression = Criterion | AllOf | AnyOf | Not


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
    """All attributes that the expression looks at; known since it was made."""
    return expression.attributes
