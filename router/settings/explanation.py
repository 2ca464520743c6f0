"""Turns what pydantic says about a value into what a person should read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.settings.problems import Path, closest, shown, suggestion

_KEY_MARKER = "[key]"


@dataclass(frozen=True, slots=True)
class Finding:
    """One wrong value: where it stands, what is wrong, what to do.

    ``key`` is the wrong key of the mapping at ``path`` where not a value but a key is wrong.
    """

    path: Path
    message: str
    hint: str = ""
    key: str | None = None


def explain(error: ValidationError, known: Callable[[Path], list[str]]) -> Iterator[Finding]:
    """Each error of a validation as a finding.

    ``known`` tells the keys that the mapping at a path may have.
    """
    for detail in error.errors(include_url=False):
        yield _explain_one(detail, known)


def _explain_one(detail: ErrorDetails, known: Callable[[Path], list[str]]) -> Finding:
    path: Path = tuple(step for step in detail["loc"] if step != _KEY_MARKER)
    around, last = path[:-1], str(path[-1]) if path else ""
    if detail["type"] == "extra_forbidden":
        return Finding(around, f'unknown key "{last}"', suggestion(last, known(around)), last)
    if detail["type"] == "missing":
        return Finding(around, f'key "{last}" is missing', key=last)
    message, hint = _describe(detail["type"], detail["input"], detail.get("ctx", {}), detail["msg"])
    if _KEY_MARKER in detail["loc"]:
        return Finding(around, message, hint, last)
    return Finding(path, message, hint)


def _describe(
    kind: str, value: object, context: Mapping[str, Any], fallback: str
) -> tuple[str, str]:
    match kind:
        case "value_error":
            return str(context["error"]), ""
        case "bool_type" | "bool_parsing":
            return f"must be true or false, not {shown(value)}", _boolean_hint(value)
        case "int_type" | "int_parsing" | "int_from_float":
            return f"must be a whole number, not {shown(value)}", _unquote_hint(value)
        case "float_type" | "float_parsing":
            return f"must be a number, not {shown(value)}", _unquote_hint(value)
        case "string_type":
            return f"must be text, not {shown(value)}", _quote_hint(value)
        case "tuple_type" | "list_type":
            return f"must be a list, not {shown(value)}", _list_hint(value)
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a mapping of keys, not {shown(value)}", ""
        case "path_type":
            return f"must be a path, not {shown(value)}", ""
        case "enum" | "literal_error":
            return f"must be {context['expected']}, not {shown(value)}", _near_hint(value, context)
        case "greater_than_equal" | "less_than_equal" | "too_short":
            return _describe_bound(value, context), ""
        case _:
            return fallback, ""


def _describe_bound(value: object, context: Mapping[str, Any]) -> str:
    if "min_length" in context:
        return f"must have {context['min_length']} entry at least"
    if "ge" in context:
        return f"must be at least {context['ge']:g}, not {shown(value)}"
    return f"must be at most {context['le']:g}, not {shown(value)}"


def _boolean_hint(value: object) -> str:
    if not isinstance(value, str):
        return ""
    if value.lower() in ("yes", "on", "y", "1"):
        return "write true"
    if value.lower() in ("no", "off", "n", "0"):
        return "write false"
    return ""


def _unquote_hint(value: object) -> str:
    return "without quotes" if isinstance(value, str) and value.isdecimal() else ""


def _quote_hint(value: object) -> str:
    return f'put it in quotes: "{value}"' if isinstance(value, int | float) else ""


def _list_hint(value: object) -> str:
    return f"write [{value}]" if isinstance(value, str | int | float) else ""


def _near_hint(value: object, context: Mapping[str, Any]) -> str:
    words = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
    near = closest(value, words) if isinstance(value, str) else None
    return f'did you mean "{near}"?' if near else ""


def known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the mapping at ``path`` under ``model`` may have."""
    found = _model_at(model, path)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    current: Any = model
    for step in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[str(step)].annotation
        else:  # a mapping or list: its last type argument is that of its entries
            current = [part for part in current.__args__ if part is not ...][-1]
    is_model = isinstance(current, type) and issubclass(current, BaseModel)
    return current if is_model else None
