"""What is wrong in a routing YAML, said so that the person who wrote it can repair it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Path = tuple[str | int, ...]
"""The way to a value from the root of a document: keys and list indexes."""


class Position(NamedTuple):
    """A place in a text; both count from 1."""

    line: int
    column: int


class Severity(StrEnum):
    """Whether the configuration can be used nevertheless."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what to do about it."""

    position: Position
    path: Path
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    def text(self, name: str) -> str:
        """One line: ``name:line:column: severity: path: message (hint)``."""
        where = f"{dotted(self.path)}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return (
            f"{name}:{self.position.line}:{self.position.column}: {self.severity}: "
            f"{where}{self.message}{hint}"
        )


def dotted(path: Path) -> str:
    """A path as people write it: ``candidates.XRAY.discard[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A value as it may be shown in an error: short, text in quotes."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}..."'
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return str(value)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def suggestion(word: str, known: Sequence[str]) -> str:
    """A hint: the one known word that is close, or all of them."""
    near = closest(word, known)
    return f'did you mean "{near}"?' if near else f"known: {', '.join(known)}"


def report(name: str, problems: Iterable[Problem]) -> str:
    """All problems, in the order of the text, one per line."""
    ordered = sorted(problems, key=lambda problem: problem.position)
    return "\n".join(problem.text(name) for problem in ordered)
