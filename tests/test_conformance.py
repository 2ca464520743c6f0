"""The DICOM Conformance Statement says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.conformance import filled

STATEMENT = Path(__file__).parents[1] / "docs" / "conformance-statement.md"


def test_the_committed_statement_is_the_one_of_the_code() -> None:
    committed = STATEMENT.read_text(encoding="utf-8")
    assert committed == filled(committed), "run: make conformance"


def test_every_table_has_rows() -> None:
    tables = re.findall(
        r"<!-- table: .*? -->(.*?)<!-- end -->", STATEMENT.read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(tables) == 13
    assert all(table.count("\n|") > 2 for table in tables)


def test_what_stands_between_the_marks_is_written_anew() -> None:
    document = "before\n<!-- table: commitment-reports -->\nby hand\n<!-- end -->\nafter"
    new = filled(document)
    assert "by hand" not in new
    assert "all instances are committed" in new
    assert (new[:7], new[-6:]) == ("before\n", "\nafter")


def test_a_table_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled("<!-- table: no-such -->\n<!-- end -->")
