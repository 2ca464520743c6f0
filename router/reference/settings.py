"""The reference of the routing YAML: what ``config/schema.json`` says."""

from __future__ import annotations

from collections.abc import Iterator

from router.reference.markdown import prose, table
from router.reference.schema import Schema, model_of, words
from router.settings.schema import settings_schema


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
        model = model_of(inner, models)
        if "properties" in model:
            return suffix, model
    return None


def _titled(path: str, section: Schema, models: Schema) -> str:
    return "\n\n".join([f"## `{path}`", prose(section["description"]), _keys(section, models)])


def _keys(section: Schema, models: Schema) -> str:
    required = section.get("required", ())
    rows = [
        (
            f"`{key}`",
            words(part, models),
            "must be given" if key in required else _default(part),
            prose(part.get("description", "")),
        )
        for key, part in section["properties"].items()
        if _section_of(part, models) is None
    ]
    return table(("key", "value", "default", "meaning"), rows) if rows else "Only what is below."


def _default(part: Schema) -> str:
    default = part.get("default")
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
