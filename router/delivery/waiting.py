"""Waiting for an event, but not longer than until a point in time."""

from __future__ import annotations

import math

import anyio
from anyio.lowlevel import checkpoint

from router.ports import Clock

NEVER = math.inf
"""A point in time (monotonic) that does not come."""


async def wait_until(event: anyio.Event, deadline: float, clock: Clock) -> bool:
    """Wait for ``event`` until ``deadline`` (monotonic seconds); whether the event is set."""
    delay_s = deadline - clock.monotonic()
    if math.isinf(delay_s):
        await event.wait()
    elif not event.is_set() and delay_s > 0:
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                await clock.sleep(delay_s)
                tasks.cancel_scope.cancel()

            tasks.start_soon(give_up)
            await event.wait()
            tasks.cancel_scope.cancel()
    else:
        await checkpoint()
    return event.is_set()
