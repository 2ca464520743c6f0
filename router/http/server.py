"""Serves an aiohttp application inside a task group, and stops it gracefully."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiohttp import web

from router.domain.errors import ConfigurationError

STOP_WITHIN_S = 5.0
NEXT_REQUEST_WITHIN_S = 75.0
"""So long a connection may take for the headers of its first request, and be idle between two:
longer than the proxies that keep connections open, or the slow would be cut by the quick."""


class HttpServer:
    """A server that listens."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, stop_within_s: float):
        self._runner = runner
        self._stop_within_s = stop_within_s
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """The address of its root."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def stop_listening(self) -> None:
        """Accept no connection any more; those that are open go on."""
        for site in list(self._runner.sites):
            await site.stop()

    async def drain(self) -> None:
        """Accept no connection any more, answer what has come whole, cut what takes longer."""
        with anyio.move_on_after(self._stop_within_s + 1, shield=True):
            await self._runner.cleanup()


@asynccontextmanager
async def serve_http(
    application: web.Application,
    host: str,
    port: int,
    *,
    key: str = "router.http",
    stop_within_s: float = STOP_WITHIN_S,
) -> AsyncIterator[HttpServer]:
    """Serve while the context lasts; port 0 takes a free one.

    On the way out no connection is accepted any more, requests that have come are answered, and
    after ``stop_within_s`` they are cut; of a body that is still coming nothing more is read.
    Raises ``ConfigurationError`` if the address, which the routing YAML gives under ``key``, is
    taken or not this machine's.
    """
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=stop_within_s,
        keepalive_timeout=NEXT_REQUEST_WITHIN_S,
    )
    await runner.setup()
    server = HttpServer(runner, host, port, stop_within_s)
    try:
        server.port = await _listen(runner, host, port, key)
        yield server
    finally:
        await server.drain()


async def _listen(runner: web.AppRunner, host: str, port: int, key: str) -> int:
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigurationError(
            f"{key}: cannot listen on {host}:{port}: {error.strerror or error}"
        ) from error
    chosen: int = runner.addresses[0][1]
    return chosen
