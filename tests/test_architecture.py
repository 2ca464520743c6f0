"""The architecture is enforced, not described: imports, sizes, and what must not be committed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HARD_LIMIT = 600


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listing.stdout.splitlines()]


def test_imports_point_down_the_layers() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    result = subprocess.run(
        [str(linter), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout


def test_no_module_outgrows_a_head() -> None:
    lengths = {
        path: len(path.read_text().splitlines())
        for path in tracked("router/*.py", "candidates/*.py")
    }

    assert [path for path, lines in lengths.items() if lines > HARD_LIMIT] == []


def test_no_file_names_a_package_index() -> None:
    address = re.compile(r"^--(extra-)?index-url|https?://[^ \"]*/simple\b", re.MULTILINE)

    found = [
        path
        for path in tracked("requirements", "*.toml", "*.sh", "Makefile")
        if address.search(path.read_text())
    ]

    assert found == []


def test_every_locked_dependency_has_a_hash() -> None:
    for path in tracked("requirements/*.txt"):
        text = path.read_text().replace("\\\n", " ")
        unhashed = [line for line in text.splitlines() if line.strip() and "--hash" not in line]

        assert unhashed == [], path
