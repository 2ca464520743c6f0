"""Which series a study must have: ``'Axial T2' and ('Sag T1 GRE' or 'Sag T1 TSE')``.

A name in quotes, single or double, stands for a series whose Series Description contains it,
whatever the case: ``'axial t2'`` is there as soon as ``AXIAL T2 FLAIR`` is. Names compose with
``and``, ``or``, ``not`` and parentheses; ``not`` binds closest, then ``and``. Runs of white space
count as one space, in names and in descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from router.domain.errors import InvalidCriteria

MAX_NAMES = 100
MAX_DEPTH = 16

_TOKEN = re.compile(
    r"""\s*(?: (?P<bracket>[()]) | '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<word>[^\s()'"]+)
    )""",
    re.VERBOSE,
)
_WORDS = ("and", "or", "not")


@dataclass(frozen=True, slots=True)
class Named:
    """A series whose description contains this text, which is in lower case."""

    text: str

    def holds(self, descriptions: Collection[str]) -> bool:
        """Whether there is one; the descriptions are as :func:`normal` gives them."""
        return any(self.text in description for description in descriptions)

    def __str__(self) -> str:
        return f'"{self.text}"' if "'" in self.text else f"'{self.text}'"


@dataclass(frozen=True, slots=True)
class Both:
    """All of the parts hold."""

    parts: tuple[SeriesExpression, ...]

    def holds(self, descriptions: Collection[str]) -> bool:
        """Whether they do."""
        return all(part.holds(descriptions) for part in self.parts)

    def __str__(self) -> str:
        return "(" + " and ".join(map(str, self.parts)) + ")"


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the parts holds."""

    parts: tuple[SeriesExpression, ...]

    def holds(self, descriptions: Collection[str]) -> bool:
        """Whether one does."""
        return any(part.holds(descriptions) for part in self.parts)

    def __str__(self) -> str:
        return "(" + " or ".join(map(str, self.parts)) + ")"


@dataclass(frozen=True, slots=True)
class Without:
    """The part does not hold."""

    part: SeriesExpression

    def holds(self, descriptions: Collection[str]) -> bool:
        """Whether it does not."""
        return not self.part.holds(descriptions)

    def __str__(self) -> str:
        return f"not {self.part}"


SeriesExpression = Named | Both | Either | Without


@dataclass(frozen=True, slots=True)
class NamedSeries:
    """An expression over the series of a study, and the text that it was written as."""

    text: str
    expression: SeriesExpression

    def have_arrived(self, series_descriptions: Collection[str]) -> bool:
        """Whether it holds for a study with these Series Descriptions."""
        return self.expression.holds({normal(text) for text in series_descriptions if text})


def normal(text: str) -> str:
    """As names and descriptions are compared."""
    return " ".join(text.casefold().split())


def parse_named_series(text: str) -> NamedSeries:
    """The expression that a text says; raises ``InvalidCriteria`` with the place of the fault."""
    parser = _Parser(text)
    expression = parser.alternatives(0)
    if parser.kind:
        raise parser.fault("expected and, or, or the end")
    return NamedSeries(" ".join(text.split()), expression)


class _Parser:
    """Recursive descent, of bounded depth; ``kind`` and ``value`` are those of the next token."""

    def __init__(self, text: str):
        self._text = text
        self._position = self._start = 0
        self._names = 0
        self.kind = self.value = ""
        self._advance()

    def alternatives(self, depth: int) -> SeriesExpression:
        parts = [self._conjunction(depth)]
        while self._takes("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _conjunction(self, depth: int) -> SeriesExpression:
        parts = [self._factor(depth)]
        while self._takes("and"):
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _factor(self, depth: int) -> SeriesExpression:
        if depth > MAX_DEPTH:
            raise self.fault(f"nested more than {MAX_DEPTH} deep")
        if self._takes("not"):
            return Without(self._factor(depth + 1))
        if self._takes("("):
            inner = self.alternatives(depth + 1)
            if not self._takes(")"):
                raise self.fault("expected )")
            return inner
        return self._name()

    def _name(self) -> Named:
        if self.kind != "name":
            raise self.fault("expected a series name in quotes")
        name = normal(self.value)
        if not name:
            raise self.fault("a series name is empty")
        self._names += 1
        if self._names > MAX_NAMES:
            raise self.fault(f"more than {MAX_NAMES} series names")
        self._advance()
        return Named(name)

    def _takes(self, token: str) -> bool:
        if self.kind != token:
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        rest = self._text[self._position :]
        self._start = self._position + len(rest) - len(rest.lstrip())
        if not rest.strip():
            self.kind = self.value = ""
            return
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            raise self.fault("a series name is not closed by its quote")
        self._position = match.end()
        if match["bracket"]:
            self.kind = self.value = match["bracket"]
        elif match["word"]:
            self.kind = self.value = self._word(match["word"])
        else:
            self.kind = "name"
            self.value = match["double"] if match["single"] is None else match["single"]

    def _word(self, word: str) -> str:
        if word.lower() not in _WORDS:
            raise self.fault(f"{word!r} is neither and, or, not, nor a series name in quotes")
        return word.lower()

    def fault(self, what: str) -> InvalidCriteria:
        """The error for what stands at the current place."""
        found = self._text[self._start :].strip()[:20]
        where = f"at {found!r}" if found else "at the end"
        return InvalidCriteria(f"{what}, {where}; such as 'Axial T2' and ('Sag T1' or 'Sag PD')")
