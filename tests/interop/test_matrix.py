"""Every peer in every encoding, through the router: see docs/interoperability.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.interop import expected
from tests.interop.measuring import Column, Files, measure_sender, measure_writers, the_router
from tests.interop.report import DOCUMENT, table_of
from tests.interop.senders import SENDERS
from tests.interop.writers import WRITERS, Writer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    """The router, and what its embedded writer holds."""
    with the_router(tmp_path_factory.mktemp("router")) as receiver:
        yield receiver


@pytest.mark.parametrize("name", SENDERS)
def test_what_a_peer_sends_is_held_by_the_embedded_writer_byte_for_byte(
    name: str, router: Writer, tmp_path: Path
) -> None:
    files = Files(tmp_path / "files")
    with SENDERS[name](tmp_path) as sender:
        assert measure_sender(sender, router, files) == expected.column_of_sender(name)


@pytest.fixture(scope="module")
def behind_the_router(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Column]:
    """What peers hold of what the router sends them, all at the same time."""
    folder = tmp_path_factory.mktemp("writers")
    return measure_writers(folder, Files(folder / "files"), list(WRITERS))


@pytest.mark.parametrize("name", WRITERS)
def test_what_the_router_sends_is_held_by_a_peer(
    name: str, behind_the_router: Mapping[str, Column]
) -> None:
    assert behind_the_router[name] == expected.column_of_writer(name)


@pytest.mark.parametrize(
    "table",
    [
        table_of({name: expected.column_of_sender(name) for name in SENDERS}),
        table_of({name: expected.column_of_writer(name) for name in WRITERS}),
    ],
    ids=["senders", "writers"],
)
def test_the_document_shows_what_is_expected(table: str) -> None:
    """After a change: make interop INTEROP_ARGS=--write."""
    assert table in DOCUMENT.read_text()
