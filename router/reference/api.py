"""The reference of the HTTP API: what ``GET /openapi.json`` says."""

from __future__ import annotations

from router.admin.api import ROUTES
from router.admin.openapi import describe
from router.reference.markdown import prose, table
from router.reference.schema import Schema, words


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
    parts = [f"### `{method.upper()} {path}`", prose(operation["summary"])]
    if "description" in operation:
        parts.append(prose(operation["description"]))
    query = [
        (f"`{one['name']}`", words(one["schema"], {}), prose(one["description"]))
        for one in operation["parameters"]
        if one["in"] == "query"
    ]
    if query:
        parts.append(table(("query", "value", "meaning"), query))
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
    return words(media["schema"], {})


def _object(name: str, model: Schema, models: Schema) -> str:
    required = model.get("required", ())
    asked = model.get("additionalProperties") is False  # bodies take no key that is unknown
    rows = [
        (
            f"`{key}`" + (" (must be given)" if asked and key in required else ""),
            words(part, models) + ("" if asked else _or_null(part)),
            prose(part.get("description", "")),
        )
        for key, part in model.get("properties", {}).items()
    ]
    keys = [table(("key", "value", "meaning"), rows)] if rows else []
    return "\n\n".join([f"### {name}", prose(model["description"]), *keys])


def _or_null(part: Schema) -> str:
    """In an answer a key without a value is null; a request leaves it out."""
    return " or null" if {"type": "null"} in part.get("anyOf", ()) else ""
