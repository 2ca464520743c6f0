"""YAML text as plain values, and where in the text each of them stands.

Scalars follow the core schema of YAML 1.2, as editors and the JSON Schema do: ``NO`` and ``on``
are text, ``0104`` and ``12:30`` are text, and there are no dates. A mapping's keys are text always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from router.settings.problems import Path, Position, Problem

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
"""What YAML can say."""


class _Loader(yaml.SafeLoader):
    """Composes nodes whose plain scalars are resolved by the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    list("tTfF"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789"),
)


@dataclass(slots=True)
class Source:
    """A YAML document taken apart: values, positions, and what is wrong with it as YAML."""

    name: str
    content: Plain = None
    problems: list[Problem] = field(default_factory=list)
    flow_mappings: set[Path] = field(default_factory=set)
    value_positions: dict[Path, Position] = field(default_factory=dict)
    key_positions: dict[Path, Position] = field(default_factory=dict)

    def position(self, path: Path) -> Position:
        """Where the value at ``path`` stands, or the nearest thing around it that exists."""
        return self._nearest(self.value_positions, path)

    def key_position(self, path: Path) -> Position:
        """Where the key of ``path`` stands, or the nearest thing around it that exists."""
        return self.key_positions.get(path) or self.position(path)

    def at(self, path: Path) -> Plain:
        """The value at ``path``; None where nothing is."""
        found = self.content
        for step in path:
            if isinstance(found, dict) and isinstance(step, str):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int) and step < len(found):
                found = found[step]
            else:
                return None
        return found

    def _nearest(self, positions: Mapping[Path, Position], path: Path) -> Position:
        for end in range(len(path), -1, -1):
            if path[:end] in positions:
                return positions[path[:end]]
        return Position(1, 1)


def read_source(text: str, name: str) -> Source:
    """Take YAML text apart. Never raises: what is wrong stands in ``problems``."""
    source = Source(name)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        source.problems.append(_broken_yaml(error))
    except yaml.reader.ReaderError as error:
        source.problems.append(_unreadable_character(error, text))
    except RecursionError:
        source.problems.append(Problem(Position(1, 1), (), "the YAML is nested too deeply"))
    else:
        if node is not None:
            source.content = _Walk(source).value(node, ())
    return source


class _Walk:
    """Turns nodes into values, and notes positions on the way."""

    def __init__(self, source: Source):
        self._source = source
        self._inside: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: Path) -> Plain:
        """The plain value of a node. Aliases are followed, unless they contain themselves."""
        self._source.value_positions[path] = _position(node)
        if any(node is outer for outer in self._inside):
            self._complain(node, path, "the alias contains itself")
            return None
        self._inside.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, path)
        finally:
            self._inside.pop()

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Plain:
        if node.flow_style:
            self._source.flow_mappings.add(path)
        content: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, path, "a key must be plain text")
                continue
            key = key_node.value
            inner = (*path, key)
            if key in content:
                first = self._source.key_positions[inner].line
                self._complain(
                    key_node, inner, f'duplicate key "{key}", already on line {first}', "keep one"
                )
                continue
            self._source.key_positions[inner] = _position(key_node)
            content[key] = self.value(value_node, inner)
        return content

    def _scalar(self, node: yaml.Node, path: Path) -> Plain:
        kind = node.tag.rpartition(":")[2]
        match kind:
            case "null":
                return None
            case "bool":
                return str(node.value).lower() == "true"
            case "int":
                return int(node.value)
            case "float":
                return float(node.value)
            case "str":
                return str(node.value)
        self._complain(node, path, f"the tag {node.tag} has no meaning here", "remove it")
        return str(node.value)

    def _complain(self, node: yaml.Node, path: Path, what: str, hint: str = "") -> None:
        self._source.problems.append(Problem(_position(node), path, what, hint))


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _broken_yaml(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    position = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    context = f" {error.context}" if error.context else ""
    hint = (
        "indent with spaces"
        if "'\\t'" in (error.problem or "")
        else "put text that has a special character in quotes, and check the indentation"
    )
    return Problem(position, (), f"this is not YAML:{context} {error.problem}".rstrip(), hint)


def _unreadable_character(error: yaml.reader.ReaderError, text: str) -> Problem:
    before = text[: error.position]
    position = Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    code = error.character if isinstance(error.character, int) else ord(error.character[:1])
    return Problem(position, (), f"character U+{code:04X} is not allowed in YAML", "remove it")
