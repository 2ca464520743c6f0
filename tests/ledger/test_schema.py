from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Dialect, create_engine, create_mock_engine, make_url

from router.ledger.dialect import upsert
from router.ledger.ledger import open_ledger
from router.ledger.migrate import MIGRATIONS
from router.ledger.schema import metadata, registration
from router.sql.columns import UtcDateTime


def dialect_named(name: str) -> Dialect:
    """Load a dialect; no driver is needed to write its SQL."""
    return make_url(f"{name}://").get_dialect()()


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


def version_of(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def migrated(path: Path) -> Path:
    """A ledger that has gone through every migration."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        MIGRATIONS.upgrade(connection)
    engine.dispose()
    return path


async def opened(path: Path) -> Path:
    async with open_ledger(path):
        return path


async def test_the_migrations_lead_to_the_schema_that_a_new_ledger_has(tmp_path: Path) -> None:
    old, new = migrated(tmp_path / "migrated.db"), await opened(tmp_path / "new.db")

    assert normalised_schema(old) == normalised_schema(new)
    assert version_of(old) == version_of(new) == [(MIGRATIONS.head,)]


async def test_a_ledger_is_migrated_from_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "behind.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE older (id INTEGER)")

    await opened(path)

    expected = normalised_schema(migrated(tmp_path / "migrated.db"))
    assert normalised_schema(path) == expected | {"older": ["CREATE TABLE older (id INTEGER)"]}
    assert version_of(path) == [(MIGRATIONS.head,)]


async def test_a_ledger_that_is_migrated_opens_as_it_is(tmp_path: Path) -> None:
    path = migrated(tmp_path / "migrated.db")
    before = normalised_schema(path)

    await opened(path)

    assert normalised_schema(path) == before


def test_every_table_and_index_can_be_put_to_postgresql() -> None:
    put: list[str] = []
    dialect = dialect_named("postgresql")
    engine = create_mock_engine(
        "postgresql://", lambda statement, *_: put.append(str(statement.compile(dialect=dialect)))
    )

    metadata.create_all(engine, checkfirst=False)

    assert len([one for one in put if "CREATE TABLE" in one]) == len(metadata.tables)
    assert len([one for one in put if "INDEX" in one and "WHERE" in one]) == 4


@pytest.mark.parametrize("dialect_name", ["sqlite", "postgresql"])
def test_each_dialect_has_its_upsert(dialect_name: str) -> None:
    statement = upsert(dialect_name, registration).on_conflict_do_nothing()
    assert "ON CONFLICT DO NOTHING" in str(statement.compile(dialect=dialect_named(dialect_name)))


def test_times_are_kept_in_utc_whatever_zone_they_come_in() -> None:
    noon_in_berlin = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    kept = UtcDateTime().process_bind_param(noon_in_berlin, dialect_named("postgresql"))
    assert kept is not None
    assert (kept.isoformat(), kept) == ("2026-03-01T11:00:00+00:00", noon_in_berlin)


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 3, 1, 12)  # noqa: DTZ001
    with pytest.raises(ValueError, match="aware"):
        UtcDateTime().process_bind_param(naive, dialect_named("postgresql"))
