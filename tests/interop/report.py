"""The matrix as Markdown tables, and where they stand in the documentation. Pure."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.interop.cells import Cell, Mark
from tests.interop.measuring import ECHO, Column

DOCUMENT = Path(__file__).parents[2] / "docs" / "interoperability.md"


def table_of(columns: Mapping[str, Column]) -> str:
    """Encodings down, peers across; what there is to be said about a cell stands below."""
    letters: dict[str, str] = {}

    def short(cell: Cell) -> str:
        if not cell.note:
            return str(cell.mark)
        letter = letters.setdefault(cell.note, string.ascii_lowercase[len(letters)])
        return f"{cell.mark} {letter}"

    rows = list(next(iter(columns.values())))
    lines = [[row, *(short(column[row]) for column in columns.values())] for row in rows]
    notes = "; ".join(f"*{letter}* {note}" for note, letter in letters.items())
    return _table(["", *columns], lines) + (f"\nNotes: {notes}.\n" if notes else "")


def comparison_of(receivers: Mapping[str, Mapping[str, Column]]) -> str:
    """Senders down, receivers across: how many encodings arrive as they were sent.

    Counted are the encodings that a sender sends to the first receiver.
    """
    senders = next(iter(receivers.values()))
    lines = [
        [
            name,
            *(
                f"{len(sent) - len(_lost(columns[name], sent))} of {len(sent)}"
                for columns in receivers.values()
            ),
        ]
        for name, sent in ((name, _sent(column)) for name, column in senders.items())
    ]
    losses = [
        f"- {receiver}: {text}\n"
        for receiver, columns in receivers.items()
        if (text := _losses(columns, senders))
    ]
    return _table(["from", *receivers], lines) + ("\n" + "".join(losses) if losses else "")


def _sent(column: Column) -> list[str]:
    """Encodings that a peer sends."""
    return [name for name, cell in column.items() if name != ECHO and cell.mark is not Mark.ABSENT]


def _lost(column: Column, sent: Sequence[str]) -> list[str]:
    return [name for name in sent if column[name].mark in (Mark.LOST, Mark.ABSENT)]


def _losses(columns: Mapping[str, Column], senders: Mapping[str, Column]) -> str:
    """What did not arrive: equal losses of several senders are told together."""
    told: dict[tuple[str, str], list[str]] = {}
    for sender, column in columns.items():
        by_note: dict[str, list[str]] = {}
        for encoding in _lost(column, _sent(senders[sender])):
            by_note.setdefault(column[encoding].note, []).append(encoding)
        for note, encodings in by_note.items():
            told.setdefault((", ".join(encodings), note), []).append(sender)
    return "; ".join(
        f"{encodings} from {', '.join(names)}: *{note}*"
        for (encodings, note), names in told.items()
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def written(document: str, place: str, text: str) -> str:
    """A document with a text in its place, between the comments that mark it."""
    begin, end = f"<!-- {place}: generated -->\n", f"<!-- {place}: end -->"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not found.search(document):
        raise ValueError(f"no place for {place}")
    return found.sub(lambda _: f"{begin}\n{text}\n{end}", document)
