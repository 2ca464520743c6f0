"""What the commands print: JSON for programs, tables for people; progress goes to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console()
messages = Console(stderr=True)

SHORT = 16
"""Characters of the longest value that counts as short: an AE title is."""
LEAST = 12
"""Characters that are left to each column of longer values, else all are folded."""
FRAME = 3
"""Characters that each column has around its values."""


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    console.print_json(json.dumps(value, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output; long words are folded, nothing is left out.

    Columns of short values are not folded as long as the terminal has room for the others.
    """
    console.print(_literal(title), style="bold", soft_wrap=True)
    lines = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(columns, *lines, strict=True)]
    short = [width for width in widths if width <= SHORT]
    room = console.width - sum(short) - FRAME * len(widths) - 1
    roomy = room >= LEAST * (len(widths) - len(short))
    table = Table()
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, overflow="fold", no_wrap=roomy and width <= SHORT)
    for line in lines:
        table.add_row(*map(_literal, line))
    console.print(table if lines else "  none")


def fail(message: str) -> None:
    """An error for the person at the terminal."""
    messages.print(_literal(message), style="bold red", soft_wrap=True)


def _literal(text: str) -> Text:
    """The text itself: values of data sets and peers must not style, or steer, a terminal."""
    return Text(
        "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
    )
