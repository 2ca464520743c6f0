"""What SQLite and PostgreSQL say in different words, and mean the same by."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_ESCAPE = "!"


class _Wildcard(FunctionElement[bool]):
    """A column, and a pattern as either database writes it; only one of them is used."""

    name = "wildcard"
    type = Boolean()
    inherit_cache = True


class _Distinct(FunctionElement[str]):
    """The different values of a column, separated by commas."""

    name = "distinct_values"
    type = Text()
    inherit_cache = True


def matches_wildcard(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether text matches ``*`` (any characters) and ``?`` (any one), with regard to case."""
    glob = pattern.replace("[", "[[]")
    like = "".join(_LIKE.get(character, character) for character in pattern)
    return _Wildcard(column, bindparam(None, glob, Text()), bindparam(None, like, Text()))


_LIKE = {"*": "%", "?": "_"} | {one: _ESCAPE + one for one in ("%", "_", _ESCAPE)}


def distinct_values(column: ColumnElement[str]) -> ColumnElement[str]:
    """An aggregate: the different values, in no order, with commas between them."""
    return _Distinct(column)


@compiles(_Wildcard, "sqlite")
def _glob(element: _Wildcard, compiler: SQLCompiler, **options: Any) -> str:
    column, glob, _ = element.clauses
    return f"{compiler.process(column, **options)} GLOB {compiler.process(glob, **options)}"


@compiles(_Wildcard, "postgresql")
def _like(element: _Wildcard, compiler: SQLCompiler, **options: Any) -> str:
    column, _, like = element.clauses
    text, pattern = compiler.process(column, **options), compiler.process(like, **options)
    return f"{text} LIKE {pattern} ESCAPE '{_ESCAPE}'"


@compiles(_Distinct, "sqlite")
def _group_concat(element: _Distinct, compiler: SQLCompiler, **options: Any) -> str:
    return f"group_concat(DISTINCT {compiler.process(element.clauses, **options)})"


@compiles(_Distinct, "postgresql")
def _string_agg(element: _Distinct, compiler: SQLCompiler, **options: Any) -> str:
    return f"string_agg(DISTINCT {compiler.process(element.clauses, **options)}, ',')"
