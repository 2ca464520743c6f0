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


def test_a_lock_file_holds_pins_with_their_hashes_and_nothing_else() -> None:
    pin = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+ *")
    locks = tracked("requirements/*.txt")
    assert locks

    for path in locks:
        lines = path.read_text().replace("\\\n", " ").splitlines()
        assert [line for line in lines if line.strip() and not pin.fullmatch(line)] == [], path


def test_what_sets_the_project_up_names_no_address() -> None:
    found = [path for path in tracked("*.toml", "*.sh", "Makefile") if "://" in path.read_text()]

    assert found == []
