"""The architecture is enforced, not described: imports, sizes, and what must not be committed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
HARD_LIMIT = 600
MODULES = {"google-re2": "re2", "nats-py": "nats", "pyyaml": "yaml"}
"""Packages whose module has another name."""
NOT_ASKED_FOR = {"router", "candidates", "orthanc", "dicom_router_agent", "pydantic_core"}
"""The project itself, what an Orthanc has beside its script, and what comes with pydantic."""


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


def test_whoever_installs_the_router_gets_what_it_imports_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = modules_of(project["dependencies"])
    extra = modules_of(one for part in project["optional-dependencies"].values() for one in part)
    source = "\n".join(path.read_text() for path in tracked("router/*.py", "candidates/*.py"))
    imported = set(re.findall(r"^ *(?:import|from) (\w+)", source, re.M))

    assert needed <= imported
    assert imported - sys.stdlib_module_names - NOT_ASKED_FOR <= needed | extra


def modules_of(requirements: Iterable[str]) -> set[str]:
    packages = (re.split(r"[^\w-]", one)[0] for one in requirements)
    return {MODULES.get(package, package) for package in packages}


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
