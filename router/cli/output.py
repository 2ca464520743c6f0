"""What the commands print: JSON for programs, tables for people; progress goes to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console()
messages = Console(stderr=True)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    console.print_json(json.dumps(value, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output; long words are folded, nothing is left out."""
    console.print(_literal(title), style="bold", soft_wrap=True)
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else _literal(str(cell)) for cell in row))
    console.print(table if table.row_count else "  none")


def fail(message: str) -> None:
    """An error for the person at the terminal."""
    messages.print(_literal(message), style="bold red", soft_wrap=True)


def _literal(text: str) -> Text:
    """The text itself: values of data sets and peers must not style, or steer, a terminal."""
    return Text(
        "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
    )
