"""``docs/guarantees.md`` names a test for what it says; each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()


def test_guarantees_name_tests() -> None:
    assert len(NAMED.findall(GUARANTEES)) > 40


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(GUARANTEES))))
def test_a_test_that_proves_a_guarantee_is_there(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
