"""What the commands print: JSON for programs, tables for people; progress goes to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

console = Console()
messages = Console(stderr=True)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    console.print_json(json.dumps(value, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def fail(message: str) -> None:
    """An error for the person at the terminal."""
    messages.print(message, style="bold red", markup=False, highlight=False)
