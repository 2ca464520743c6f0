"""Fixtures for every test."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# On a loaded machine a deadline says nothing of the code. CI tries what it tried before.
settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "everywhere")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what shares a fixture of its module to one worker, so that it is set up once.

    ``--dist loadgroup`` reads these marks.
    """
    for item in items:
        if isinstance(item, pytest.Function):
            chosen = (each[-1] for each in item._fixtureinfo.name2fixturedefs.values())
            if any(fixture.scope == "module" for fixture in chosen):
                item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the router does."""
    return "asyncio"
