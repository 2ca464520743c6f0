"""What every mapping of the routing YAML has in common, and paths that are relative to its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

FOLDER = "folder"
"""Key of the validation context: the folder that relative paths are relative to."""


def _resolve(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path):
        return value
    folder = (info.context or {}).get(FOLDER)
    return Path(folder) / value if folder is not None else Path(value)


Location = Annotated[Path, BeforeValidator(_resolve), WithJsonSchema({"type": "string"})]
"""A path; a relative one is relative to the folder of the routing YAML."""


class Section(BaseModel):
    """A mapping of the YAML: unknown keys are errors, empty ones mean their default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return value
        known = cls.model_fields
        return {key: inner for key, inner in value.items() if inner is not None or key not in known}
