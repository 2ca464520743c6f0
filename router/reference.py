"""The reference pages of HTTP API and routing YAML, made from what describes them to programs.

``python -m router.reference docs`` writes ``http.md`` and ``yaml.md`` anew below their marks; what
stands above is for people. The pages say what ``GET /openapi.json`` and ``config/schema.json`` say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from router.admin.api import ROUTES
from router.admin.openapi import describe
from router.settings.schema import settings_schema

Schema = Mapping[str, Any]

MARK = "<!-- generated: make reference -->\n"
AE_TITLE_LENGTH = 16


def filled(document: str, generate: Callable[[], str]) -> str:
    """The page with what stands below its mark made anew. Raises ``ValueError`` without a mark."""
    by_hand, mark, _ = document.partition(MARK)
    if not mark:
        raise ValueError(f"the page has no line {MARK.strip()}")
    return f"{by_hand}{MARK}\n{generate()}\n"


# -- the routing YAML -----------------------------------------------------------------------------


def yaml_reference() -> str:
    """Every section of the routing YAML, each with its keys."""
    schema = settings_schema()
    keys = [(key, part) for key, part in schema["properties"].items()]
    own = [(key, part) for key, part in keys if _section_of(part, schema["$defs"]) is None]
    top = _keys({"properties": dict(own)}, schema["$defs"])
    found = [_titled(path, part, schema["$defs"]) for path, part in _sections("", schema, schema)]
    return "\n\n".join(["## At the top", top, *found])


def _sections(path: str, section: Schema, document: Schema) -> Iterator[tuple[str, Schema]]:
    """The sections below one, with the way to each; depth first."""
    for key, part in section["properties"].items():
        below = _section_of(part, document["$defs"])
        if below is not None:
            suffix, found = below
            way = f"{path}{key}{suffix}"
            yield way, found
            yield from _sections(f"{way}.", found, document)


def _section_of(part: Schema, models: Schema) -> tuple[str, Schema] | None:
    """The section that a key holds, or a list or a mapping of them; None for other keys."""
    for suffix, inner in (
        ("", part),
        ("[]", part.get("items", {})),
        (".AET", part.get("additionalProperties", {})),
        *(("", one) for one in part.get("anyOf", ())),
    ):
        model = _model(inner, models)
        if "properties" in model:
            return suffix, model
    return None


def _titled(path: str, section: Schema, models: Schema) -> str:
    return "\n\n".join([f"## `{path}`", _prose(section["description"]), _keys(section, models)])


def _keys(section: Schema, models: Schema) -> str:
    required = section.get("required", ())
    rows = [
        (
            f"`{key}`",
            _words(part, models),
            "must be given" if key in required else _default(part),
            _prose(part.get("description", "")),
        )
        for key, part in section["properties"].items()
        if _section_of(part, models) is None
    ]
    return _table(("key", "value", "default", "meaning"), rows) if rows else "Only what is below."


def _default(part: Schema) -> str:
    default = part.get("default")
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


# -- the HTTP API ---------------------------------------------------------------------------------


def http_reference() -> str:
    """Every request of the HTTP API, then every object that it takes or answers."""
    document = describe(ROUTES)
    models = document["components"]["schemas"]
    requests = [
        _request(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    objects = [
        _object(name, model, models)
        for name, model in models.items()
        if model.get("type") == "object"
    ]
    return "\n\n".join(["## Requests", *requests, "## Objects", *objects])


def _request(method: str, path: str, operation: Schema) -> str:
    parts = [f"### `{method.upper()} {path}`", _prose(operation["summary"])]
    if "description" in operation:
        parts.append(_prose(operation["description"]))
    query = [
        (f"`{one['name']}`", _words(one["schema"], {}), _prose(one["description"]))
        for one in operation["parameters"]
        if one["in"] == "query"
    ]
    if query:
        parts.append(_table(("query", "value", "meaning"), query))
    if "requestBody" in operation:
        parts.append(f"Body: {_link(operation['requestBody'])}.")
    answers = operation["responses"]
    parts.append(f"Answer: {_link(answers['200'])}.")
    problems = ", ".join(status for status in answers if status != "200")
    if problems:
        parts.append(f"Problems: {problems}.")
    if "security" in operation:
        parts.append("Takes the registration token, where there is one.")
    return "\n\n".join(parts)


def _link(content: Schema) -> str:
    [media] = content["content"].values()
    return _words(media["schema"], {})


def _object(name: str, model: Schema, models: Schema) -> str:
    required = model.get("required", ())
    asked = model.get("additionalProperties") is False  # bodies take no key that is unknown
    rows = [
        (
            f"`{key}`" + (" (must be given)" if asked and key in required else ""),
            _words(part, models) + ("" if asked else _or_null(part)),
            _prose(part.get("description", "")),
        )
        for key, part in model.get("properties", {}).items()
    ]
    table = [_table(("key", "value", "meaning"), rows)] if rows else []
    return "\n\n".join([f"### {name}", _prose(model["description"]), *table])


def _or_null(part: Schema) -> str:
    """In an answer a key without a value is null; a request leaves it out."""
    return " or null" if {"type": "null"} in part.get("anyOf", ()) else ""


# -- what both are made of ------------------------------------------------------------------------


def _words(part: Schema, models: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        model = models.get(name, {})
        return _words(model, models) if "enum" in model else f"[{name}](#{name.lower()})"
    if "enum" in part:
        return ", ".join(f"`{one}`" for one in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "examples" in part:
        return "as " + ", ".join(f"`{one}`" for one in part["examples"][:2])
    if "anyOf" in part:
        choices = [_words(one, models) for one in part["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(choices))
    return _typed(part, models)


def _typed(part: Schema, models: Schema) -> str:
    kind = part.get("type", "object")
    if kind == "array":
        return f"list, each {_words(part['items'], models)}"
    if kind == "object":
        inner = part.get("additionalProperties")
        return f"mapping to {_words(inner, models)}" if isinstance(inner, Mapping) else "mapping"
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


def _model(part: Any, models: Schema) -> Schema:
    """What a reference refers to; nothing for what is none."""
    if not isinstance(part, Mapping) or "$ref" not in part:
        return {}
    found: Schema = models[part["$ref"].rsplit("/", 1)[-1]]
    return found


def _prose(text: str) -> str:
    """A docstring as Markdown: a paragraph a line."""
    return text.replace("``", "`").replace("\n\n", "\r").replace("\n", " ").replace("\r", "\n\n")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


PAGES: Mapping[str, Callable[[], str]] = {"http.md": http_reference, "yaml.md": yaml_reference}
"""What each page is made by."""


def main() -> None:
    """Write the pages in the folder that the command line names."""
    for name, generate in PAGES.items():
        page = Path(sys.argv[1]) / name
        page.write_text(filled(page.read_text(encoding="utf-8"), generate), encoding="utf-8")


if __name__ == "__main__":
    main()
