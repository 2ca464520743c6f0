"""What holds after every test of connections, however they ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from anyio.lowlevel import checkpoint


async def open_now() -> tuple[int, int]:
    """Descriptors of this process, and those that the event loop looks after."""
    for _ in range(10):  # connections are closed in the next rounds of the loop
        await checkpoint()
    loop: Any = asyncio.get_running_loop()
    return psutil.Process().num_fds(), len(loop._selector.get_map())


@pytest.fixture(autouse=True)
async def raised(anyio_backend: str) -> AsyncIterator[list[dict[str, Any]]]:
    """What callbacks have raised: nothing, or what the test takes from it.

    And behind every test no descriptor and no reader is left.
    """
    loop = asyncio.get_running_loop()
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    before = await open_now()
    yield contexts
    assert await open_now() == before
    loop.set_exception_handler(None)
    assert contexts == []
