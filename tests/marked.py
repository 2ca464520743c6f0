"""Tables that are made by a program and kept in a document, between two comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "interoperability.md"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', ' ') for cell in row)} |" for row in lines)


def put(document: Path, mark: str, content: str) -> None:
    """Put content between the comments of a mark; raises ``ValueError`` where they are missing."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    text = document.read_text()
    if begin not in text or end not in text:
        raise ValueError(f"{document} has no place that is marked {mark}")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    document.write_text(pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text))
