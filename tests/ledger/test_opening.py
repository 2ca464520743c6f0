from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from router.domain.errors import ConfigurationError, LedgerFailed
from router.ledger.ledger import SqlLedger, open_ledger
from router.ports import Ledger, LedgerViews
from tests.ledger.builders import instance

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    """Hold SQLite's write lock in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield
        process.communicate("", timeout=10)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fill_with_garbage(path: Path, start: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(size))


async def open_and_close(path: Path | str) -> None:
    async with open_ledger(path, busy_timeout_s=0.1):
        pass


async def test_it_is_what_the_services_and_the_desk_need(ledger: SqlLedger) -> None:
    port: Ledger = ledger
    views: LedgerViews = ledger.views
    assert (port, type(views).__name__) == (ledger, "SqlLedgerViews")


async def test_what_was_recorded_is_there_when_the_ledger_is_opened_again(path: Path) -> None:
    async with open_ledger(path) as ledger:
        keys = await ledger.record([instance(0)])
    async with open_ledger(path) as ledger:
        assert [revision.key for revision in await ledger.open_revisions()] == keys


async def test_a_path_and_a_url_open_the_same_ledger(path: Path) -> None:
    async with open_ledger(str(path)) as ledger:
        await ledger.record([instance(0)])
    async with open_ledger(f"sqlite:///{path}") as ledger:
        assert len(await ledger.open_revisions()) == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://db/router", "://"])
async def test_a_url_of_anything_but_a_sqlite_file_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"SQLite|not a database URL"):
        await open_and_close(url)


async def test_only_the_owner_may_read_the_file(path: Path) -> None:
    await open_and_close(path)
    assert mode_of(path) == 0o600


async def test_a_ledger_locked_by_another_process_does_not_open_and_says_so(path: Path) -> None:
    await open_and_close(path)
    with (
        locked_by_another_process(path),
        pytest.raises(LedgerFailed, match=r"ledger\.db.*another process holds it"),
    ):
        await open_and_close(path)


async def test_a_lock_while_recording_is_an_error_and_recording_goes_on_after_it(
    path: Path,
) -> None:
    async with open_ledger(path, busy_timeout_s=0.1) as ledger:
        with locked_by_another_process(path):
            with pytest.raises(LedgerFailed, match="another process holds it"):
                await ledger.record([instance(0)])
            assert await ledger.open_revisions() == []
        (key,) = await ledger.record([instance(0)])
        assert key is not None


async def test_a_ledger_of_a_newer_schema_does_not_open_and_is_left_alone(path: Path) -> None:
    await open_and_close(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerFailed, match=r"'9999' is newer than this router"):
        await open_and_close(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("9999",)]


async def test_a_file_that_is_no_ledger_does_not_open_and_says_what_to_do(path: Path) -> None:
    await open_and_close(path)
    fill_with_garbage(path, 0, 8192)
    with pytest.raises(LedgerFailed, match="rebuilds the ledger from the spool"):
        await open_and_close(path)


async def test_a_damaged_ledger_says_what_to_do(path: Path) -> None:
    async with open_ledger(path) as ledger:
        await ledger.record([instance(number, study=f"1.{number}") for number in range(500)])
    fill_with_garbage(path, 4096, 65536)
    with pytest.raises(LedgerFailed, match="rebuilds the ledger from the spool"):
        await open_and_close(path)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerFailed, match=r"missing/ledger\.db.*No such file or directory"):
        await open_and_close(tmp_path / "missing" / "ledger.db")


async def test_the_log_is_written_ahead_and_foreign_keys_are_enforced(path: Path) -> None:
    async with open_ledger(path) as ledger:
        await ledger.record([instance(0)])
        modes = await ledger._database.read(
            lambda connection: [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "foreign_keys")
            ]
        )
    assert modes == ["wal", 1]
