"""Serves an aiohttp application inside a task group, and stops it gracefully."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from aiohttp import web

from router.domain.errors import ConfigurationError

STOP_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address of its root."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@asynccontextmanager
async def serve_http(
    application: web.Application, host: str, port: int, *, stop_within_s: float = STOP_WITHIN_S
) -> AsyncIterator[HttpServer]:
    """Serve while the context lasts; port 0 takes a free one.

    On the way out no connection is accepted any more, requests that have begun are answered, and
    after ``stop_within_s`` they are cut. Raises ``ConfigurationError`` if the address is taken or
    not this machine's.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=stop_within_s)
    await runner.setup()
    try:
        yield HttpServer(host, await _listen(runner, host, port))
    finally:
        with anyio.move_on_after(stop_within_s + 1, shield=True):
            await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigurationError(
            f"router.http: cannot listen on {host}:{port}: {error.strerror or error}"
        ) from error
    chosen: int = runner.addresses[0][1]
    return chosen
