"""``python -m router.reference docs``: write the pages in that folder anew below their marks."""

from __future__ import annotations

import sys
from pathlib import Path

from router.reference.pages import PAGES, filled


def main() -> None:
    """Write the pages in the folder that the command line names."""
    for name, generate in PAGES.items():
        page = Path(sys.argv[1]) / name
        page.write_text(filled(page.read_text(encoding="utf-8"), generate), encoding="utf-8")


if __name__ == "__main__":
    main()
