"""One router and one writer for the tests of a module; each test has studies of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dicomweb.uploading import StowRouter, a_router_and_its_writer
from tests.e2e.stack import WriterProcess

SETTINGS = {
    "router": {"timeouts": {"message": "10s"}},
    "discard": ["PATIENT_ID|EQUAL|NOBODY"],
    "completion": {"quiet_after": "300ms", "stable_after": "10m"},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StowRouter, WriterProcess]]:
    folder = tmp_path_factory.mktemp("stow")
    with a_router_and_its_writer(folder, SETTINGS, max_instance="1MiB") as both:
        yield both


@pytest.fixture
def router(stack: tuple[StowRouter, WriterProcess]) -> StowRouter:
    return stack[0]


@pytest.fixture
def writer(stack: tuple[StowRouter, WriterProcess]) -> WriterProcess:
    return stack[1]
