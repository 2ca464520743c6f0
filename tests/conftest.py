"""Fixtures for every test."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# On a loaded machine a deadline says nothing of the code. CI tries what it tried before.
settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "everywhere")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the router does."""
    return "asyncio"
