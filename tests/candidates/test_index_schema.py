"""The migrations lead to the schema that a new index has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from candidates.writer.errors import IndexFailed
from candidates.writer.index.migrate import MIGRATIONS
from candidates.writer.index.sqlite import SqliteDatabase
from candidates.writer.tags import MAIN_TAGS, Level, column_of


def normalised_schema(path: Path) -> dict[str, list[str]]:
    """Each table's and index's columns and constraints, whatever order they were written in."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        ).fetchall()
    return {
        name: sorted(line.strip().rstrip(",") for line in sql.splitlines() if line.strip())
        for name, sql in rows
    }


def migrated(path: Path) -> Path:
    """An index that has gone through every migration."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        MIGRATIONS.upgrade(connection)
    engine.dispose()
    return path


def opened(path: Path) -> Path:
    with closing(SqliteDatabase(path)) as database:
        database.prepare()
    return path


def test_the_migrations_lead_to_the_schema_that_a_new_index_has(tmp_path: Path) -> None:
    old, new = migrated(tmp_path / "migrated.db"), opened(tmp_path / "new.db")

    assert normalised_schema(old) == normalised_schema(new)


def test_an_index_that_is_migrated_opens_as_it_is(tmp_path: Path) -> None:
    path = migrated(tmp_path / "migrated.db")
    before = normalised_schema(path)

    assert normalised_schema(opened(path)) == before


def test_an_index_of_a_newer_writer_is_refused(tmp_path: Path) -> None:
    path = opened(tmp_path / "index.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(
        IndexFailed, match=f"knows up to '{MIGRATIONS.head}': run the writer that wrote it"
    ):
        opened(path)


def test_a_file_that_is_no_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"no database at all " * 100)

    with pytest.raises(IndexFailed, match="is no index of a writer"):
        opened(path)


def test_columns_are_called_as_keywords_are_read() -> None:
    assert [column_of(keyword) for keyword in MAIN_TAGS[Level.INSTANCE]][:3] == [
        "sop_instance_uid",
        "sop_class_uid",
        "instance_number",
    ]
