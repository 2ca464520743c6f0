"""The index on a PostgreSQL server: whose it is, what it takes, what happens without a server."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import anyio
import psycopg
import pytest
from sqlalchemy import create_engine, make_url

from candidates.writer.archive import Archive, Leftovers
from candidates.writer.errors import ArchiveInUse, IndexFailed, IndexUnavailable
from candidates.writer.index.address import PostgresAddress, parse_index
from candidates.writer.index.migrate import MIGRATIONS
from candidates.writer.index.postgresql import PostgresDatabase
from candidates.writer.storage import INCOMING, Storage
from candidates.writer.tags import Level
from router.dicom import statuses
from tests.candidates.arrivals import arrived
from tests.candidates.conftest import DATABASE, NUMBERS
from tests.candidates.holdings import held_in, root_of
from tests.candidates.indexes import OnServer, a_schema_of, option
from tests.candidates.sources import PausingModality
from tests.candidates.test_cli import WITHIN_S, says, started
from tests.candidates.writers import running_writer
from tests.corpus import make_ct_series
from tests.e2e.stack import free_port
from tests.peers import PostgreSQL, postgresql

COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, collation_name, is_nullable,
       column_default
FROM information_schema.columns WHERE table_schema = current_schema()
"""
TREES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
CONSTRAINTS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = current_schema()::regnamespace
"""
END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'dicom-writer%' AND datname = current_database()
"""


@pytest.fixture
def index(server: PostgreSQL) -> OnServer:
    return a_schema_of(server.address(DATABASE), f"index_{next(NUMBERS)}")


@pytest.fixture
def archive(tmp_path: Path, index: OnServer) -> Iterator[Archive]:
    archive = Archive.open(Storage(tmp_path / "writer"), index.address)
    yield archive
    archive.close()


def schema_of(index: OnServer) -> list[str]:
    """Every column, index and constraint."""
    rows = [str(row) for look in (COLUMNS, TREES, CONSTRAINTS) for row in index.query(look)]
    return sorted(row.replace(index.schema, "schema") for row in rows)


def incoming(archive: Archive) -> list[Path]:
    return list((root_of(archive) / INCOMING).iterdir())


# -- the schema ----------------------------------------------------------------------------------


def test_the_migrations_lead_to_the_schema_that_a_new_index_has(
    server: PostgreSQL, archive: Archive, index: OnServer
) -> None:
    other = a_schema_of(server.address(DATABASE), f"index_{next(NUMBERS)}")
    engine = create_engine(make_url(other.address.url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        MIGRATIONS.upgrade(connection)
    engine.dispose()

    assert schema_of(other) == schema_of(index)
    PostgresDatabase(other.address).close()


def test_an_index_of_a_newer_writer_is_refused(tmp_path: Path, index: OnServer) -> None:
    Archive.open(Storage(tmp_path / "writer"), index.address).close()
    index.change("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(IndexFailed, match="run the writer that wrote it"):
        Archive.open(Storage(tmp_path / "writer"), index.address)


def test_a_schema_of_another_program_is_left_alone(tmp_path: Path, index: OnServer) -> None:
    index.change("CREATE TABLE patients (id int)")
    before = schema_of(index)

    with pytest.raises(IndexFailed, match="tables that are none of a writer's"):
        Archive.open(Storage(tmp_path / "writer"), index.address)

    assert schema_of(index) == before


def test_a_database_that_is_not_utf_8_is_refused(server: PostgreSQL, tmp_path: Path) -> None:
    ascii_only = ("--encoding", "SQL_ASCII", "--template", "template0")
    server.create("ascii", *ascii_only, "--locale-provider", "libc", "--locale", "C")

    with pytest.raises(IndexFailed, match="encoding of the database is SQL_ASCII"):
        Archive.open(Storage(tmp_path / "writer"), PostgresAddress(server.address("ascii")))


def test_a_search_path_without_a_schema_is_refused(server: PostgreSQL, tmp_path: Path) -> None:
    nowhere = OnServer(server.address(DATABASE), "nowhere")

    with pytest.raises(IndexFailed, match="names no schema that is there"):
        Archive.open(Storage(tmp_path / "writer"), nowhere.address)


# -- what cannot be reached ----------------------------------------------------------------------


def test_a_database_that_is_not_there_is_named_without_its_password(
    server: PostgreSQL, tmp_path: Path
) -> None:
    url = server.address("missing").replace("writer@", "writer:secret@")

    with pytest.raises(
        IndexFailed, match=r"writer:\*\*\*@.*missing.* are database, user and password"
    ) as caught:
        Archive.open(Storage(tmp_path / "writer"), parse_index(url))

    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(IndexUnavailable, match="is the server running"):
        Archive.open(
            Storage(tmp_path / "writer"), PostgresAddress(f"postgresql://writer@127.0.0.1:{port}/x")
        )


# -- one owner -----------------------------------------------------------------------------------


def test_the_owner_of_an_index_is_named(archive: Archive, tmp_path: Path, index: OnServer) -> None:
    owner = rf"in use by dicom-writer, process {os.getpid()} on .* \(connected"

    with pytest.raises(ArchiveInUse, match=owner):
        Archive.open(Storage(tmp_path / "other"), index.address)


def test_writers_may_share_a_database_in_schemas_of_their_own(
    server: PostgreSQL, archive: Archive, tmp_path: Path
) -> None:
    other = a_schema_of(server.address(DATABASE), f"index_{next(NUMBERS)}")

    second = Archive.open(Storage(tmp_path / "other"), other.address)
    second.commit([arrived(second.storage, b"data set")])

    assert (second.index.count(Level.INSTANCE), archive.index.count(Level.INSTANCE)) == (1, 0)
    second.close()


def test_a_connection_that_the_server_ended_is_made_anew(archive: Archive, index: OnServer) -> None:
    archive.commit([arrived(archive.storage, b"one", "1.1")])
    index.query(END_ALL)

    archive.commit([arrived(archive.storage, b"two", "1.2")])

    assert [one.instance for one in held_in(root_of(archive), index)] == ["1.1", "1.2"]


def test_an_index_that_another_process_had_meanwhile_is_written_to_no_more(
    archive: Archive, tmp_path: Path, index: OnServer
) -> None:
    archive.commit([arrived(archive.storage, b"one", "1.1")])
    shutil.copytree(root_of(archive), tmp_path / "mounted elsewhere")
    index.query(END_ALL)
    other = Archive.open(Storage(tmp_path / "mounted elsewhere"), index.address)
    other.close()

    with pytest.raises(ArchiveInUse, match="taken over by another process"):
        archive.commit([arrived(archive.storage, b"two", "1.2")])

    assert index.query("SELECT sop_instance_uid FROM instance") == [("1.1",)]


# -- a server that comes and goes ----------------------------------------------------------------


def test_instances_are_refused_while_the_server_is_away_and_taken_when_it_is_back(
    tmp_path: Path,
) -> None:
    with postgresql() as server:
        server.create(DATABASE)
        index = a_schema_of(server.address(DATABASE), "index")
        archive = Archive.open(Storage(tmp_path / "writer"), index.address)
        archive.commit([arrived(archive.storage, b"one", "1.1")])
        server.stop()
        for _ in range(2):
            with pytest.raises(IndexUnavailable):
                archive.commit([arrived(archive.storage, b"two", "1.2")])
            assert incoming(archive) == []
        server.start()

        archive.commit([arrived(archive.storage, b"two", "1.2")])

        assert [one.instance for one in held_in(root_of(archive), index)] == ["1.1", "1.2"]
        archive.close()


async def test_a_modality_is_told_to_try_again_later_while_the_server_is_away(
    tmp_path: Path,
) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=64, columns=64)
    with postgresql() as server:
        server.create(DATABASE)
        index = a_schema_of(server.address(DATABASE), "index")
        async with running_writer(tmp_path / "writer", index=index) as writer:
            server.stop()
            away = await writer.store_file(path)
            server.start()
            back = await writer.store_file(path)

        assert (away, back) == (statuses.OUT_OF_RESOURCES, statuses.SUCCESS)
        assert len(writer.held()) == 1


async def test_a_writer_that_has_lost_its_index_ends_and_says_why(
    tmp_path: Path, index: OnServer
) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=64, columns=64)
    port = free_port()
    async with started(tmp_path, PORT=str(port), INDEX=option(index)) as writer:
        await says(tmp_path, "writer ready")
        index.change("UPDATE area SET owner = 'somebody on another machine'")
        index.query(END_ALL)
        with PausingModality(port, path) as modality:
            modality.send_first_half()
            with pytest.raises((AssertionError, ConnectionError)):
                modality.send_second_half()
        with anyio.fail_after(WITHIN_S):
            assert await writer.wait() == 1

    log = (tmp_path / "log").read_text()
    assert "has been taken over by another process" in log
    assert "Traceback" not in log


def test_a_transaction_that_dies_with_its_connection_leaves_nothing(
    archive: Archive, index: OnServer
) -> None:
    index.change(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    )
    index.change("CREATE TRIGGER dies AFTER INSERT ON change EXECUTE FUNCTION die()")

    with pytest.raises(IndexFailed):
        archive.commit([arrived(archive.storage, b"one", "1.1")])

    assert incoming(archive) == []
    index.change("DROP TRIGGER dies ON change")
    archive.commit([arrived(archive.storage, b"one", "1.1")])
    assert len(held_in(root_of(archive), index)) == 1


@contextmanager
def losing_the_answer_to(word: bytes, port: int) -> Iterator[tuple[int, threading.Event]]:
    """A way to the server; when the event is set it breaks with the answer to the next ``word``."""
    armed = threading.Event()

    def ask(client: socket.socket, upstream: socket.socket, is_lost: threading.Event) -> None:
        with suppress(OSError), closing(client), closing(upstream):
            while data := client.recv(65536):
                if armed.is_set() and word in data:
                    armed.clear()
                    is_lost.set()
                upstream.sendall(data)

    def answer(client: socket.socket, upstream: socket.socket, is_lost: threading.Event) -> None:
        with suppress(OSError), closing(client), closing(upstream):
            while (data := upstream.recv(65536)) and not is_lost.is_set():
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                ends = client, socket.create_connection(("127.0.0.1", port)), threading.Event()
                for pump in (ask, answer):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], armed
        listener.shutdown(socket.SHUT_RDWR)


def test_what_was_committed_though_the_answer_was_lost_is_kept_and_not_acknowledged(
    server: PostgreSQL, tmp_path: Path, index: OnServer
) -> None:
    with losing_the_answer_to(b"COMMIT", server.port) as (port, armed):
        address = PostgresAddress(index.address.url.replace(f":{server.port}", f":{port}"))
        archive = Archive.open(Storage(tmp_path / "writer"), address)
        one = arrived(archive.storage, b"one", "1.1")
        armed.set()

        with pytest.raises(IndexFailed):
            archive.commit([one])

        assert incoming(archive) == []
        assert [held.instance for held in held_in(root_of(archive), index)] == ["1.1"]
        archive.commit([arrived(archive.storage, b"one", "1.1")])
        archive.close()
        again = Archive.open(Storage(tmp_path / "writer"), address)
        assert again.leftovers == Leftovers(0, 0, 0)
        again.close()


@contextmanager
def that_can_be_cut(port: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """A way to the server, and what cuts it so that only the client notices."""
    clients: list[socket.socket] = []
    servers: list[socket.socket] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                clients.append(client)
                servers.append(server)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    def cut() -> None:
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], cut
        cut()
        for ended in (*clients, *servers):
            ended.close()
        listener.shutdown(socket.SHUT_RDWR)


def test_an_owner_whose_connection_only_the_server_believes_in_takes_the_index_back(
    server: PostgreSQL, tmp_path: Path, index: OnServer
) -> None:
    with that_can_be_cut(server.port) as (port, cut):
        address = PostgresAddress(index.address.url.replace(f":{server.port}", f":{port}"))
        archive = Archive.open(Storage(tmp_path / "writer"), address)
        archive.commit([arrived(archive.storage, b"one", "1.1")])
        cut()

        archive.commit([arrived(archive.storage, b"two", "1.2")])

        assert [one.instance for one in held_in(root_of(archive), index)] == ["1.1", "1.2"]
        archive.close()


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://host",
        "postgresql://host/",
        "postgresql://host:port/database",
        "mysql://host/database",
        "sqlite:///index.db",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write postgresql://USER@HOST/DATABASE"):
        parse_index(text)


def test_an_address_is_a_path_or_a_database() -> None:
    assert parse_index("some where/index.db") == Path("some where/index.db")
    assert str(parse_index("postgresql:///archive?host=/run/postgresql")) == (
        "postgresql:///archive?host=/run/postgresql"
    )


def test_a_client_of_the_server_sees_who_the_writer_is(archive: Archive, index: OnServer) -> None:
    with psycopg.connect(index.address.url) as connection:
        names = connection.execute("SELECT application_name FROM pg_stat_activity").fetchall()

    assert any(name.startswith(f"dicom-writer, process {os.getpid()} on ") for (name,) in names)
