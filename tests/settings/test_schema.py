from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from router.settings.schema import schema_text, settings_schema

CONFIG = Path(__file__).parents[2] / "config"
YAMLS = [CONFIG / "router.yaml", *sorted((CONFIG / "examples").glob("*.yaml"))]


def _keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in {"Settings": schema, **schema["$defs"]}.items():
        for key, described in section.get("properties", {}).items():
            referred = described.get("$ref", "").rpartition("/")[2]
            yield f"{name}.{key}", {**schema["$defs"].get(referred, {}), **described}


def test_the_committed_schema_is_the_one_of_the_models() -> None:
    committed = (CONFIG / "schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run: make schema"


def test_the_schema_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(settings_schema())


def test_every_key_is_described() -> None:
    assert [
        key for key, described in _keys(settings_schema()) if not described.get("description")
    ] == []


def test_defaults_are_written_as_in_yaml() -> None:
    described = dict(_keys(settings_schema()))
    assert described["CompletionSection.quiet_after"]["default"] == "5s"
    assert described["SpoolSection.segment_size"]["default"] == "256MiB"
    assert described["RouterSection.dicom"]["default"] == "0.0.0.0:11112"


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.name)
def test_committed_configurations_satisfy_the_schema(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    present = {key: value for key, value in content.items() if value is not None}
    jsonschema.validate(present, settings_schema())


def test_the_schema_refuses_an_unknown_key() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"candidate": {}}, settings_schema())
