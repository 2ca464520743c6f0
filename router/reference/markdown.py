"""Markdown as the reference pages have it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def prose(text: str) -> str:
    """A docstring as Markdown: a paragraph a line."""
    return text.replace("``", "`").replace("\n\n", "\r").replace("\n", " ").replace("\r", "\n\n")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what a cell holds may have pipes and lines."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
