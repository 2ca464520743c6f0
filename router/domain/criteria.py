r"""Routing criteria: how they are written, in text and in JSON or YAML.

Text is ``ATTRIBUTE|OPERATOR|VALUE``, as writers know it. ``IN``, ``NOT_IN`` and ``BETWEEN`` take a
list with commas, ``IS_NULL`` and ``NOT_NULL`` nothing. Pipes may be escaped as a shell or a compose
file leaves them (``MODALITY\|NOT_IN\|CR,DX``): only the first two pipes divide, escaped or not. In
the value ``\,`` is a comma, ``\|`` a pipe, ``\\`` a backslash. ``MATCHES`` takes an RE2 pattern as
it stands, and finds it anywhere in a value: ``^`` and ``$`` tie it to the ends.

JSON and YAML say the same as ``{"routableAttribute", "operator", "value"}`` (``attribute`` will do
as well), where the value is text as above, a number, or a list of values that are taken as they
stand; and compose with ``{"all": [...]}``, ``{"any": [...]}``, ``{"not": ...}``. A list is ``all``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from router.domain.attributes import Attribute, parse_attribute
from router.domain.errors import InvalidCriteria
from router.domain.evaluation import explain
from router.domain.expression import (
    TYPED,
    AllOf,
    AnyOf,
    Criterion,
    Expression,
    Not,
    Operator,
    Test,
    Values,
    attributes_of,
    compile_test,
)
from router.domain.values import kind_of, operand

__all__ = ["Expression", "as_json", "attributes_of", "explain", "parse_criteria"]

MAX_DEPTH = 16
MAX_PARTS = 1000

_DIVIDER = re.compile(r"\s*\\*\|\s*")
_ITEM = re.compile(r"((?:[^\\,]|\\.)*)(,|$)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\,|])")

_NO_OPERAND = frozenset({Operator.IS_NULL, Operator.NOT_NULL})
_LISTS = frozenset({Operator.IN, Operator.NOT_IN, Operator.BETWEEN})
_COMPOSITIONS = ("all", "any", "not")
_KEYS = frozenset({"routableAttribute", "attribute", "operator", "value"})


def parse_criteria(value: object) -> Expression:
    """The expression that a YAML or JSON value says; raises ``InvalidCriteria`` naming the part."""
    return _parse(value, "", 0)


def as_json(expression: Expression) -> object:
    """The JSON form of an expression: text for a single criterion, else the composition."""
    match expression:
        case Criterion():
            return str(expression)
        case Not(part):
            return {"not": as_json(part)}
        case AllOf(parts):
            return {"all": [as_json(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [as_json(part) for part in parts]}


def _parse(value: object, path: str, depth: int) -> Expression:
    if depth > MAX_DEPTH:
        raise InvalidCriteria(f"{path}: criteria are nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        return _parse_text(value, path)
    if isinstance(value, Mapping):
        return _parse_mapping(value, path, depth)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _composed(AllOf, value, path, depth)
    raise InvalidCriteria(
        f"{_at(path)}expected criteria such as MODALITY|IN|CR,DX, not {type(value).__name__}"
    )


def _at(path: str, key: str = "") -> str:
    """Where an error is: the path of the part, and the key in it."""
    place = f"{path}.{key}" if path and key else path or key
    return f"{place}: " if place else ""


def _parse_mapping(value: Mapping[object, object], path: str, depth: int) -> Expression:
    composition = [key for key in _COMPOSITIONS if key in value]
    if composition:
        [key, *more] = composition
        if more or len(value) > 1:
            raise InvalidCriteria(f"{_at(path)}{key!r} must stand alone; use one mapping for each")
        inner = f"{path}.{key}" if path else key
        if key == "not":
            return Not(_parse(value["not"], inner, depth + 1))
        return _composed(AllOf if key == "all" else AnyOf, value[key], inner, depth)
    return _parse_fields(value, path)


def _composed(
    kind: type[AllOf] | type[AnyOf], value: object, path: str, depth: int
) -> AllOf | AnyOf | Expression:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        raise InvalidCriteria(f"{_at(path)}expected a list of criteria")
    if len(value) > MAX_PARTS:
        raise InvalidCriteria(f"{_at(path)}more than {MAX_PARTS} criteria")
    parts = tuple(_parse(one, f"{path}[{at}]", depth + 1) for at, one in enumerate(value))
    return parts[0] if len(parts) == 1 else kind(parts)


def _parse_fields(value: Mapping[object, object], path: str) -> Expression:
    unknown = [key for key in value if key not in _KEYS]
    if unknown:
        raise InvalidCriteria(
            f"{_at(path)}unknown key {unknown[0]!r}; expected routableAttribute, operator and "
            "value, or all, any, not"
        )
    if "attribute" in value and "routableAttribute" in value:
        raise InvalidCriteria(f"{_at(path)}attribute and routableAttribute are the same; give one")
    key = "attribute" if "attribute" in value else "routableAttribute"
    attribute = _text_of(value, key, path)
    operator = _operator(_text_of(value, "operator", path), path)
    return _build(attribute, operator, _operands_of(value.get("value"), operator, path), path)


def _text_of(value: Mapping[object, object], key: str, path: str) -> str:
    text = value.get(key)
    if not isinstance(text, str) or not text.strip():
        raise InvalidCriteria(f"{_at(path, key)}is missing, or not text")
    return text


def _operands_of(value: object, operator: Operator, path: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return _operands_in(value.strip(), operator, path)
    listed = value if isinstance(value, Sequence) and not isinstance(value, bytes) else [value]
    if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in listed):
        raise InvalidCriteria(
            f"{_at(path, 'value')}expected text, a number, or a list of them; "
            "what YAML takes for something else needs quotes"
        )
    return tuple(str(one).strip() for one in listed)


def _parse_text(text: str, path: str) -> Expression:
    pieces = _DIVIDER.split(text.strip(), maxsplit=2)
    if len(pieces) < 2:
        raise InvalidCriteria(
            f"{_at(path)}{text!r} is not ATTRIBUTE|OPERATOR|VALUE, such as MODALITY|IN|CR,DX"
        )
    attribute, name, *rest = pieces
    operator = _operator(name, path)
    operands = _operands_in(rest[0], operator, path) if rest else ()
    return _build(attribute, operator, operands, path)


def _operands_in(text: str, operator: Operator, path: str) -> tuple[str, ...]:
    """The operands that a text holds, which has no space around it."""
    if not text:
        return ()
    if operator is Operator.MATCHES:
        return (text,)
    if operator not in _LISTS:
        return (_unescape(text),)  # a comma is nothing special here
    items = []
    position, more = 0, True
    while more:
        match = _ITEM.match(text, position)
        if match is None:
            raise InvalidCriteria(f"{_at(path, 'value')}{text!r} ends with a lonely backslash")
        items.append(_unescape(match[1]).strip())
        position, more = match.end(), bool(match[2])
    return tuple(items)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


def _operator(name: str, path: str) -> Operator:
    try:
        return Operator(name.strip().upper())
    except ValueError:
        close = get_close_matches(name.strip().upper(), list(Operator), n=1)
        hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(Operator)}"
        raise InvalidCriteria(f"{_at(path, 'operator')}{name!r} is unknown; {hint}") from None


def _build(
    attribute_text: str, operator: Operator, operands: tuple[str, ...], path: str
) -> Criterion:
    try:
        attribute = parse_attribute(attribute_text)
    except InvalidCriteria as error:
        raise InvalidCriteria(f"{_at(path)}{error}") from None
    try:
        return _criterion(attribute, operator, operands)
    except InvalidCriteria as error:
        raise InvalidCriteria(f"{_at(path, 'value' if path else '')}{error}") from None


@lru_cache(maxsize=4096)
def _criterion(attribute: Attribute, operator: Operator, operands: tuple[str, ...]) -> Criterion:
    """The criterion; equal ones of many candidates are one, which is evaluated once for a study."""
    _check_operands(attribute, operator, operands)
    search = _compile_pattern(operands[0]) if operator is Operator.MATCHES else None
    return Criterion(
        attribute, operator, operands, compile_test(attribute, operator, operands, search)
    )


def _check_operands(attribute: Attribute, operator: Operator, operands: tuple[str, ...]) -> None:
    if operator in _NO_OPERAND:
        if operands:
            raise InvalidCriteria(f"{operator} takes no value")
        return
    if not operands:
        raise InvalidCriteria(f"{operator} needs a value; to ask for none, use IS_NULL")
    if not all(operands):
        raise InvalidCriteria(
            f"{operator}: one of the values is empty; to ask for none, use IS_NULL"
        )
    if operator is Operator.BETWEEN and len(operands) != 2:
        raise InvalidCriteria(f"BETWEEN needs two values, low,high; got {len(operands)}")
    if operator not in _LISTS and len(operands) > 1:
        raise InvalidCriteria(f"{operator} takes one value, not {len(operands)}; use IN for a list")
    if operator in TYPED:
        _check_typed(attribute, operator, operands)


def _check_typed(attribute: Attribute, operator: Operator, operands: tuple[str, ...]) -> None:
    kind = kind_of(attribute.vr)
    try:
        typed: list[Any] = [operand(kind, text) for text in operands]
    except InvalidCriteria as error:
        raise InvalidCriteria(f"{attribute.name}: {error}") from None
    if operator is Operator.BETWEEN and typed[0] > typed[1]:
        raise InvalidCriteria(f"BETWEEN {operands[0]},{operands[1]}: the first is the larger")


@lru_cache(maxsize=1024)
def _compile_pattern(pattern: str) -> Test:
    """RE2: linear in the length of the value, whatever the pattern. Finds it anywhere.

    Many candidates have the same pattern: it is compiled once, and searched once for a study.

    It is imported for the first pattern: most routers have none, and it takes 3 MB.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise InvalidCriteria(f"MATCHES: {pattern!r} is not an RE2 pattern: {reason}") from None

    @lru_cache(maxsize=64)
    def finds(value: str) -> bool:
        return compiled.search(value) is not None

    def search(values: Values) -> bool:
        return any(finds(value) for value in values if value)

    return search
