from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Connection, insert, select

from router.ledger.database import READERS, Database
from router.ledger.ledger import SqlLedger, open_ledger
from router.ledger.schema import segment
from tests.ledger.builders import instance

DEADLINE_S = 20


def write_and_wait(
    started: threading.Event, release: threading.Event
) -> Callable[[Connection], None]:
    """Write, and keep the transaction open until it is released."""

    def work(connection: Connection) -> None:
        connection.execute(insert(segment).values(name="held", recorded_through=1))
        started.set()
        assert release.wait(DEADLINE_S)

    return work


def copy_files(source: Path, target: Path) -> None:
    """Take the ledger's files as a killed process would leave them."""
    target.mkdir()
    for file in source.glob("ledger.db*"):
        shutil.copy(file, target)


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(segment.c.name)).scalars())


async def test_readers_go_on_while_a_transaction_writes(path: Path) -> None:
    started, release = threading.Event(), threading.Event()
    database = await Database.open(path, 1.0)
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(database.write, write_and_wait(started, release))
            await anyio.to_thread.run_sync(started.wait, DEADLINE_S)
            assert await database.read(names) == []
            release.set()
        assert await database.read(names) == ["held"]
    await database.close()


async def test_recording_goes_on_while_every_reader_is_busy(ledger: SqlLedger) -> None:
    release = threading.Event()
    busy = threading.Barrier(READERS + 1)

    def read_and_wait(connection: Connection) -> None:
        names(connection)
        busy.wait(DEADLINE_S)
        assert release.wait(DEADLINE_S)

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            for _ in range(READERS):
                tasks.start_soon(ledger._database.read, read_and_wait)
            await anyio.to_thread.run_sync(busy.wait, DEADLINE_S)
            (key,) = await ledger.record([instance(0)])
            assert key is not None
            release.set()


async def test_listing_while_recording_sees_whole_batches_only(ledger: SqlLedger) -> None:
    sizes: list[int] = []
    done = anyio.Event()

    async def list_until_done() -> None:
        while not done.is_set():
            sizes.append((await ledger.views.counts()).instances)

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(list_until_done)
            for start in range(0, 2000, 100):
                await ledger.record([instance(start + number) for number in range(100)])
            done.set()
    assert sizes == sorted(sizes)
    assert {size % 100 for size in sizes} == {0}


async def test_a_transaction_that_has_begun_ends_before_its_cancellation_shows(
    path: Path,
) -> None:
    started, release = threading.Event(), threading.Event()
    database = await Database.open(path, 1.0)
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(database.write, write_and_wait(started, release))
            await anyio.to_thread.run_sync(started.wait, DEADLINE_S)
            tasks.cancel_scope.cancel()
            release.set()
        assert await database.read(names) == ["held"]
    await database.close()


async def test_a_call_cancelled_before_its_turn_does_nothing(path: Path) -> None:
    started, release = threading.Event(), threading.Event()
    database = await Database.open(path, 1.0)
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(database.write, write_and_wait(started, release))
            await anyio.to_thread.run_sync(started.wait, DEADLINE_S)
            with anyio.move_on_after(0):
                await database.write(write_and_wait(threading.Event(), threading.Event()))
            release.set()
        assert await database.read(names) == ["held"]
    await database.close()


async def test_a_transaction_that_fails_leaves_nothing_behind(path: Path) -> None:
    database = await Database.open(path, 1.0)

    def write_and_fail(connection: Connection) -> None:
        connection.execute(insert(segment).values(name="half", recorded_through=1))
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(write_and_fail)
    assert await database.read(names) == []
    await database.close()


async def test_a_crash_keeps_what_was_committed_and_nothing_of_what_was_not(
    path: Path, tmp_path: Path
) -> None:
    started, release = threading.Event(), threading.Event()
    crashed = tmp_path / "crashed"
    async with open_ledger(path) as ledger:
        keys = await ledger.record([instance(0)])
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ledger._database.write, write_and_wait(started, release))
                await anyio.to_thread.run_sync(started.wait, DEADLINE_S)
                copy_files(tmp_path, crashed)
                release.set()
    async with open_ledger(crashed / "ledger.db") as survivor:
        assert [revision.key for revision in await survivor.open_revisions()] == keys
        assert set(await survivor.recorded_through()) == {"segment-1"}
