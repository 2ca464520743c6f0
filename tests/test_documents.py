"""The commands and links in README and documents are those that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup

from candidates.writer import cli as writer_cli
from router.cli import main as router_cli
from router.domain.attributes import PSEUDO
from router.domain.criteria import parse_criteria
from router.domain.expression import Operator
from router.settings.load import examine_text

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
OF_THE_SITE = ("cannot be read", "is not set", "is no folder", "No such file or directory")
"""What is wrong with an example only because the files that it names are not here."""


def blocks(language: str) -> list[tuple[str, str]]:
    """The blocks of a language on all pages, each with the name of its page."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.M | re.S)
    texts = [(page, (ROOT / page).read_text(encoding="utf-8")) for page in PAGES]
    return [(page, block) for page, text in texts for block in fence.findall(text)]


def commands(text: str) -> list[list[str]]:
    """Every call of ``dicom-router`` with a command, in a line of its own or in a sentence."""
    text = text.replace("\\\n", " ").replace("\\|", "|")
    calls = re.findall(r"(?:^|`)dicom-router ([^`\n]+)", text, re.M)
    return [shlex.split(call.split(" >")[0], comments=True) for call in calls]


def long_options(page: str) -> set[tuple[str, str]]:
    called = commands((ROOT / page).read_text(encoding="utf-8"))
    return {(name, word) for name, *words in called for word in words if word.startswith("--")}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_that_is_shown_exists(page: str) -> None:
    group = typer.main.get_command(router_cli.app)
    assert isinstance(group, TyperGroup)
    known = {
        name: {"--help", *(one for option in command.params for one in option.opts)}
        for name, command in group.commands.items()
    }
    named = {name for name, *_ in commands((ROOT / page).read_text(encoding="utf-8"))}

    assert named <= {*known, "COMMAND"}
    assert not [
        (name, option)
        for name, option in long_options(page)
        if name in known and option.partition("=")[0] not in known[name]
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_of_the_embedded_writer_that_is_shown_exists(page: str) -> None:
    group = typer.main.get_command(writer_cli.app)
    assert isinstance(group, TyperGroup)
    commands = (group, *group.commands.values())
    known = {one for command in commands for option in command.params for one in option.opts}
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    shown = re.findall(r"dicom-writer ([^`\n>]*)", text)

    assert {word for call in shown for word in re.findall(r"--[a-z-]+", call)} <= known


@pytest.mark.parametrize(
    ("page", "text"), [one for one in blocks("yaml") if one[0] != "docs/criteria.md"]
)
def test_every_routing_yaml_that_is_shown_is_in_order(page: str, text: str, tmp_path: Path) -> None:
    problems = examine_text(text, page, tmp_path).problems

    assert not [
        one.text(page)
        for one in problems
        if not any(word in one.text(page) for word in OF_THE_SITE)
    ]


@pytest.mark.parametrize(
    ("page", "text"), [one for one in blocks("yaml") if "criteria.md" in one[0]]
)
def test_all_criteria_that_are_shown_are_criteria(page: str, text: str) -> None:
    shown = yaml.safe_load(text)

    assert str(parse_criteria(shown.get("criteria", shown))), page


def test_the_page_about_criteria_has_every_operator_and_attribute_that_is_no_keyword() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs" / "criteria.md").read_text(encoding="utf-8")))

    assert {str(operator) for operator in Operator} <= words
    assert set(PSEUDO) <= words


@pytest.mark.parametrize("page", PAGES)
def test_criteria_in_sentences_and_commands_are_criteria(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\|", "|")
    operators = "|".join(Operator)
    shown = re.findall(rf"[`'\[]([A-Z_a-z]+\|(?:{operators})(?:\|[\w,-]+)?)[`'\]]", text)

    assert all(str(parse_criteria(one)) for one in shown)


def test_the_readme_shows_commands() -> None:
    assert len(commands((ROOT / "README.md").read_text(encoding="utf-8"))) >= 7


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))

    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {page for page in PAGES if page.startswith("docs/")} - {"docs/index.md"}

    assert not [page for page in pages if f"]({page})" not in readme]


def test_the_table_of_contents_has_every_page() -> None:
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").split()
    pages = {Path(page).stem for page in PAGES if page.startswith("docs/")} - {"index"}

    assert pages <= set(listed)


def test_every_part_of_the_picture_is_a_module() -> None:
    picture = (ROOT / "docs" / "images" / "flow.svg").read_text(encoding="utf-8")
    named = re.findall(r'<text class="module"[^>]*>([\w.]+)</text>', picture)
    paths = {path.with_suffix("") for path in (ROOT / "router").rglob("*")}

    assert named
    assert not [name for name in named if not any(is_at(path, name) for path in paths)]


def is_at(path: Path, module: str) -> bool:
    """Whether a path is that of a module, said by the last parts of its name."""
    parts = tuple(module.split("."))
    return path.parts[-len(parts) :] == parts
