"""Evaluates expressions on one set of facts, with reasons.

Many candidates ask the same of a study. Each part that they share is evaluated, and put into
words, once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from router.domain.expression import AllOf, AnyOf, Criterion, Expression, Not
from router.domain.instance import Facts
from router.domain.values import ValueKind, comparable

SHOWN_VALUES = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether facts match, and why; ``parts`` for compositions."""

    matched: bool
    explanation: str
    parts: tuple[Verdict, ...] = ()


class Evaluation:
    """What expressions say about one set of facts."""

    def __init__(self, facts: Facts):
        self._facts = facts
        self._matched: dict[int, bool] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._judged: dict[int, tuple[bool, str]] = {}
        self._shown: dict[str, str] = {}

    def matches(self, expression: Expression) -> bool:
        """Whether the facts match."""
        known = self._matched.get(expression.number)
        if known is None:
            known = self._matched[expression.number] = self._evaluate(expression)
        return known

    def _evaluate(self, expression: Expression) -> bool:
        match expression:
            case Criterion():
                return expression.test(self._facts.get(expression.attribute.name, ()))
            case Not(part):
                return not self.matches(part)
            case AllOf():
                return self._first(expression, matched=False) is None
            case AnyOf():
                return self._first(expression, matched=True) is not None

    def _first(self, composed: AllOf | AnyOf, *, matched: bool) -> Expression | None:
        """The first of the parts that matches, or does not; None: there is none.

        This loop runs over every criterion of every candidate; for most the answer is known.
        """
        answer_to = self._matched.get
        for at, number in enumerate(composed.numbers):
            answer = answer_to(number)
            if answer is None:
                answer = self._matched[number] = self._evaluate(composed.parts[at])
            if answer is matched:
                return composed.parts[at]
        return None

    def judge(self, expression: Expression) -> tuple[bool, str]:
        """Whether the facts match, and why: the explanation of the part that decides it."""
        decides = self.deciding(expression)
        judged = self._judged.get(decides.number)
        if judged is None:
            judged = self._judged[decides.number] = self._judge(decides)
        return judged

    def _judge(self, expression: Expression) -> tuple[bool, str]:
        if isinstance(expression, Criterion):
            matched = self.matches(expression)
            return matched, self._words(expression, matched=matched)
        verdict = self.explain(expression)
        return verdict.matched, verdict.explanation

    def deciding(self, expression: Expression) -> Expression:
        """The part that settles the result by itself: the first of ``all`` that does not match.

        The whole expression where all of its parts are needed. Whether the facts match it is
        whether they match the expression.
        """
        match expression:
            case AllOf():
                part = self._first(expression, matched=False)
            case AnyOf():
                part = self._first(expression, matched=True)
            case _:
                return expression
        if part is None:
            return expression
        return part if isinstance(part, Criterion) else self.deciding(part)

    def explain(self, expression: Expression) -> Verdict:
        """Evaluate every part with reasons, such as ``Modality is {CT, SR}; IN CR,DX: no``."""
        known = self._verdicts.get(expression.number)
        if known is None:
            known = self._verdicts[expression.number] = self._explain(expression)
        return known

    def _explain(self, expression: Expression) -> Verdict:
        matched = self.matches(expression)
        match expression:
            case Criterion():
                return Verdict(matched, self._words(expression, matched=matched))
            case Not(part):
                inner = self.explain(part)
                return Verdict(matched, f"not [{inner.explanation}]: {_yes(matched)}", (inner,))
            case AllOf(parts):
                word = " and "
            case AnyOf(parts):
                word = " or "
        verdicts = tuple(map(self.explain, parts))
        text = word.join(f"[{verdict.explanation}]" for verdict in verdicts)
        return Verdict(matched, f"{text}: {_yes(matched)}", verdicts)

    def _words(self, criterion: Criterion, *, matched: bool) -> str:
        attribute = criterion.attribute
        shown = self._shown.get(attribute.name)
        values = self._facts.get(attribute.name, ())
        if shown is None:
            shown = self._shown[attribute.name] = f"{attribute.name} {_shown(values)}"
        words = f"{shown}; {criterion.asks}: {_yes(matched)}"
        if criterion.compares is ValueKind.TEXT:
            return words
        return words + _incomparable(criterion.compares, values)


def explain(expression: Expression, facts: Facts) -> Verdict:
    """See :meth:`Evaluation.explain`."""
    return Evaluation(facts).explain(expression)


def deciding(expression: Expression, facts: Facts) -> Expression:
    """See :meth:`Evaluation.deciding`."""
    return Evaluation(facts).deciding(expression)


def _shown(values: Collection[str]) -> str:
    present = sorted({value for value in values if value})
    more = ", ..." if len(present) > SHOWN_VALUES else ""
    return f"is {{{', '.join(present[:SHOWN_VALUES])}{more}}}" if present else "has no value"


def _incomparable(kind: ValueKind, values: Collection[str]) -> str:
    """How many values could not be compared, not which: they may name a person."""
    present = {value for value in values if value}
    bad = sum(comparable(kind, value) is None for value in present)
    return f" ({bad} of {len(present)} values not {kind})" if bad else ""


def _yes(matched: bool) -> str:
    return "yes" if matched else "no"
