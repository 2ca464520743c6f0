"""The pages, and what stands on them below their marks; what stands above is for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.reference.api import http_reference
from router.reference.commands import commands_reference
from router.reference.settings import yaml_reference

MARK = "<!-- generated: make reference -->\n"

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": commands_reference,
    "http.md": http_reference,
    "yaml.md": yaml_reference,
}
"""What each page is made by."""


def filled(document: str, generate: Callable[[], str]) -> str:
    """The page with what stands below its mark made anew. Raises ``ValueError`` without a mark."""
    by_hand, mark, _ = document.partition(MARK)
    if not mark:
        raise ValueError(f"the page has no line {MARK.strip()}")
    return f"{by_hand}{MARK}\n{generate()}\n"
