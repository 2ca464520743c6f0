"""An HTTP server that a test owns: it answers as it is told to, and writes down what it got."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from router.dicom.part10 import read_file_header

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Request:
    """A request as it came, whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def parts(self) -> list[bytes]:
        """The bodies of a multipart message."""
        boundary = self.headers["Content-Type"].rpartition("boundary=")[2].encode()
        first, *parts, last = self.body.split(b"\r\n--" + boundary)
        assert (first, last) == (b"", b"--\r\n")
        heads = {part.partition(b"\r\n\r\n")[0] for part in parts}
        assert heads == {b"\r\nContent-Type: application/dicom"}
        return [part.partition(b"\r\n\r\n")[2] for part in parts]


def data_set_of(file: bytes) -> bytes:
    """What stands behind the head of a Part 10 file."""
    return file[read_file_header(file).data_set_offset :]


@dataclass
class WebWriter:
    """What it does next, and what came."""

    url: str = ""
    answers: deque[Handler] = field(default_factory=deque)
    """To the next POST and PUT requests."""
    to_knocks: Handler | None = None
    to_all: Handler | None = None
    """Instead of all else."""
    requests: list[Request] = field(default_factory=list)
    """Those that came whole, but for GETs."""
    knocks: list[Request] = field(default_factory=list)
    begun: int = 0
    """Requests that were begun, but for GETs."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if self.to_all is not None:
            return await self.to_all(request)
        if request.method == "GET":
            self.knocks.append(Request("GET", request.path_qs, dict(request.headers), b""))
            return await self.to_knocks(request) if self.to_knocks else web.json_response([])
        self.begun += 1
        answer = self.answers.popleft()
        return await answer(request)

    async def read(self, request: web.Request) -> Request:
        """Take a request whole."""
        came = Request(request.method, request.path_qs, dict(request.headers), await request.read())
        self.requests.append(came)
        return came

    def answer(self, status: int = 200, body: Any = None, **headers: str) -> Handler:
        """Read the request, then answer with JSON, or with text."""

        async def handle(request: web.Request) -> web.StreamResponse:
            await self.read(request)
            if isinstance(body, str):
                return web.Response(status=status, text=body, content_type="text/html")
            return web.json_response(body, status=status, headers=headers)

        return handle


@asynccontextmanager
async def web_writer(context: ssl.SSLContext | None = None) -> AsyncIterator[WebWriter]:
    """A server on a free port of this machine, as long as the block runs."""
    writer = WebWriter()
    app = web.Application(client_max_size=1024**3)
    app.router.add_route("*", "/{tail:.*}", writer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    writer.url = f"{'https' if context else 'http'}://127.0.0.1:{port}/dicom-web"
    try:
        yield writer
    finally:
        await runner.cleanup()
