"""The JSON Schema of the routing YAML, for editors: ``config/schema.json``.

``python -m router.settings.schema config/schema.json`` writes it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from router.settings.models import Settings
from router.settings.section import Section


class _Untitled(GenerateJsonSchema):
    """A schema without the titles that repeat each key's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def settings_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12), each key with its description and its default as YAML text."""
    schema = Settings.model_json_schema(schema_generator=_Untitled)
    models = {Settings.__name__: schema, **schema["$defs"]}
    for section in _sections(Settings):
        _describe_defaults(models[section.__name__], section)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "Routing YAML"}


def _sections(model: type[BaseModel]) -> list[type[Section]]:
    """The model and every section below it."""
    found = [model] if issubclass(model, Section) else []
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, Section):
                found += _sections(part)
    return found


def _describe_defaults(schema: dict[str, Any], section: type[Section]) -> None:
    """Defaults as a person writes them; sections and absent values have none."""
    has_required = any(field.is_required() for field in section.model_fields.values())
    made = section.model_construct() if has_required else section()
    defaults = made.model_dump(mode="json")
    for key, described in schema["properties"].items():
        described.pop("default", None)
        default = defaults.get(key)
        if default not in (None, [], {}) and not isinstance(default, dict):
            described["default"] = default


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(settings_schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the schema to the file that the command line names."""
    Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
