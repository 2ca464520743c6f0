"""The reference of the command lines: what ``--help`` says of router and embedded writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from candidates.writer import cli as writer_cli
from router.cli import main as router_cli
from router.reference.markdown import prose, table

HEADER = ("option", "environment", "default", "meaning")


def commands_reference() -> str:
    """Every command of both programs, with its arguments, options and variables."""
    programs = {"dicom-router": router_cli.app, "dicom-writer": writer_cli.app}
    return "\n\n".join(
        [part for name, app in programs.items() for part in _program(name, app)],
    )


def _program(name: str, app: typer.Typer) -> Iterator[str]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    if group.invoke_without_command:
        yield _command(name, group)
    for each, command in group.commands.items():
        assert isinstance(command, TyperCommand)
        yield _command(f"{name} {each}", command)


def _command(name: str, command: TyperCommand | TyperGroup) -> str:
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    options = [one for one in command.params if isinstance(one, TyperOption)]
    usage = " ".join([name, *map(_written, arguments)])
    rows = [
        *((f"`{_written(one)}`", "", "", one.help or "") for one in arguments),
        *map(_option, options),
    ]
    parts = [f"## `{usage}`", prose(command.help or "")]
    return "\n\n".join([*parts, table(HEADER, rows)] if rows else parts)


def _written(argument: TyperArgument) -> str:
    """An argument as it is shown in a usage."""
    name = (argument.metavar or str(argument.name).upper()) + ("..." if argument.nargs < 0 else "")
    return name if argument.required else f"[{name}]"


def _option(option: TyperOption) -> tuple[str, str, str, str]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    variable = f"`{option.envvar}`" if option.envvar else ""
    several = " May be repeated." if option.multiple else ""
    return names, variable, _default(option.default), f"{option.help or ''}{several}"


def _default(value: Any) -> str:
    if isinstance(value, str | int | Path) and not isinstance(value, bool):
        return f"`{value}`"
    return ""  # a switch that is off, or nothing
