"""What a JSON Schema says about a value, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

AE_TITLE_LENGTH = 16


def words(part: Schema, models: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        model = models.get(name, {})
        return words(model, models) if "enum" in model else f"[{name}](#{name.lower()})"
    if "enum" in part:
        return ", ".join(f"`{one}`" for one in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "examples" in part:
        return "as " + ", ".join(f"`{one}`" for one in part["examples"][:2])
    if "anyOf" in part:
        choices = [words(one, models) for one in part["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(choices))
    return _typed(part, models)


def _typed(part: Schema, models: Schema) -> str:
    kind = part.get("type", "object")
    if kind == "array":
        return f"list, each {words(part['items'], models)}"
    if kind == "object":
        inner = part.get("additionalProperties")
        return f"mapping to {words(inner, models)}" if isinstance(inner, Mapping) else "mapping"
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "string":
        if part.get("format") == "date-time":
            return "time"
        return "AE title" if part.get("maxLength") == AE_TITLE_LENGTH else "text"
    return {"integer": "whole number", "number": "number"}[kind] + _range(part)


def _range(part: Schema) -> str:
    lowest, highest = part.get("minimum"), part.get("maximum")
    if lowest is not None and highest is not None:
        return f", {lowest} to {highest}"
    return "" if lowest is None else f", at least {lowest}"


def model_of(part: Any, models: Schema) -> Schema:
    """What a reference refers to; nothing for what is none."""
    if not isinstance(part, Mapping) or "$ref" not in part:
        return {}
    found: Schema = models[part["$ref"].rsplit("/", 1)[-1]]
    return found
