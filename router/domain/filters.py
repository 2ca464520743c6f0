"""Discard filters: criteria that an arriving instance must not match."""

from __future__ import annotations

from dataclasses import dataclass

from router.domain.attributes import Attribute
from router.domain.evaluation import explain
from router.domain.expression import Expression, attributes_of
from router.domain.instance import Facts


@dataclass(frozen=True, slots=True)
class Discard:
    """Why an instance is discarded: the filter that matched, and its explanation."""

    filter: Expression
    reason: str


@dataclass(frozen=True, slots=True)
class DiscardFilter:
    """An instance is discarded when any of these matches its facts."""

    expressions: tuple[Expression, ...] = ()

    @property
    def attributes(self) -> frozenset[Attribute]:
        """All attributes that the filters look at."""
        return frozenset().union(*map(attributes_of, self.expressions))

    def examine(self, facts: Facts) -> Discard | None:
        """The first filter that matches, with its reason; None lets the instance in."""
        for expression in self.expressions:
            if expression.matches(facts):
                return Discard(
                    expression, f"discard filter: {explain(expression, facts).explanation}"
                )
        return None
