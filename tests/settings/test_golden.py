"""The text of every configuration error, kept as files: ``golden/*.yaml`` and its ``.txt``.

After a change of wording: ``python -m tests.settings.test_golden`` writes the texts anew; read
them before committing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from router.settings.load import examine_text

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("*.yaml"))


def _report(case: Path) -> str:
    text = case.read_text(encoding="utf-8")
    return examine_text(text, case.name, Path("folder")).report + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_problem_is_reported_with_its_place_and_a_suggestion(case: Path) -> None:
    assert _report(case) == case.with_suffix(".txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for golden in CASES:
        golden.with_suffix(".txt").write_text(_report(golden), encoding="utf-8")
