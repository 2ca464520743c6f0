"""What holds for a writer holds with every kind of index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from candidates.writer.archive import INDEX
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


@pytest.fixture(params=["sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Index:
    """The index, to be, of a writer whose storage area is the folder ``writer``."""
    if request.param == "sqlite":
        return InFile(tmp_path / "writer" / INDEX)
    server: PostgreSQL = request.getfixturevalue("server")
    return a_schema_of(server.address(DATABASE), f"index_{next(NUMBERS)}")
