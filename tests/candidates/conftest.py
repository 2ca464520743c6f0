"""What holds for a writer holds with every kind of index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from candidates.writer.storage import INDEX
from tests.candidates.areas import Bucket, S3Server, s3_server
from tests.candidates.indexes import Index, InFile, a_schema_of
from tests.peers import PostgreSQL, postgresql

DATABASE = "writers"
NUMBERS = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server with a database."""
    with postgresql() as server:
        server.create(DATABASE)
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3-compatible server."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket, and the variables that let a writer in this process use it."""
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(s3)
    bucket.make()
    return bucket


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Index:
    """The index, to be, of a writer whose storage area is the folder ``writer``."""
    if request.param == "sqlite":
        (tmp_path / "writer").mkdir()
        return InFile(tmp_path / "writer" / INDEX)
    server: PostgreSQL = request.getfixturevalue("server")
    return a_schema_of(server.address(DATABASE), f"index_{next(NUMBERS)}")
