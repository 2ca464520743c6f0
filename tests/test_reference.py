"""The reference pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from router.admin.api import ROUTES
from router.cli.main import app
from router.reference.api import http_reference
from router.reference.commands import commands_reference
from router.reference.pages import MARK, PAGES, filled
from router.reference.settings import yaml_reference
from router.settings.schema import settings_schema

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_the_one_of_the_code(name: str) -> None:
    committed = (DOCS / name).read_text(encoding="utf-8")

    assert committed == filled(committed, PAGES[name]), "run: make reference"


def test_every_request_has_a_heading() -> None:
    headings = re.findall(r"^### `(\S+) (\S+)`$", http_reference(), re.M)

    assert sorted(headings) == sorted((route.method, route.path) for route in ROUTES)


def test_every_object_that_is_linked_is_described() -> None:
    text = http_reference()
    linked = set(re.findall(r"\]\(#(\w+)\)", text))

    assert linked
    assert linked <= {name.lower() for name in re.findall(r"^### (\w+)$", text, re.M)}


def test_every_key_of_the_routing_yaml_has_a_row_or_a_section() -> None:
    text = yaml_reference()
    schema = settings_schema()
    sections = [schema, *schema["$defs"].values()]
    keys = {key for section in sections for key in section.get("properties", {})}
    rows = set(re.findall(r"^\| `(\w+)`", text, re.M))
    parts = {part for way in re.findall(r"^## `(.*)`$", text, re.M) for part in way.split(".")}

    assert keys <= rows | {part.removesuffix("[]") for part in parts}


def test_no_key_is_without_a_meaning() -> None:
    rows = [line for line in yaml_reference().splitlines() if line.startswith("| `")]

    assert rows
    assert not [row for row in rows if row.endswith("|  |")]


def test_every_command_has_a_heading() -> None:
    headings = re.findall(r"^## `dicom-router ([a-z]+)", commands_reference(), re.M)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)

    assert headings == list(group.commands)


def test_no_option_is_without_a_meaning() -> None:
    rows = [line for line in commands_reference().splitlines() if line.startswith("| `")]

    assert rows
    assert not [row for row in rows if row.endswith("|  |")]


def test_what_stands_above_the_mark_stays() -> None:
    assert filled(f"by hand\n{MARK}old", lambda: "new") == f"by hand\n{MARK}\nnew\n"


def test_a_page_without_a_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="generated"):
        filled("by hand", lambda: "new")
