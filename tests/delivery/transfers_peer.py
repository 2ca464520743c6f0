"""The receiving side of Orthanc's transfers accelerator, written after the source of the plugin.

``Plugin/Plugin.cpp`` (CreatePush, StorePush, CommitPush, DiscardPush), ``TransferBucket.cpp`` and
``DownloadArea.cpp``: what those refuse is refused here. What is committed goes to a real Orthanc if
there is one behind it, to which everything else is passed on as well.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web

from tests.delivery.web_writer import Handler

BAD_FILE_FORMAT = 400
UNKNOWN_RESOURCE = 404


@dataclass
class Transaction:
    """What ``ActivePushTransactions::Transaction`` holds."""

    instances: dict[str, bytearray]
    sums: dict[str, str]
    buckets: list[list[tuple[str, int, int]]]
    is_compressed: bool

    @classmethod
    def parsed(cls, query: Any) -> Transaction:
        """Take a request as ``CreatePush`` does; raises on what it refuses."""
        made = cls({}, {}, [], {"none": False, "gzip": True}[query["Compression"]])
        for entry in query["Instances"]:
            name, size, md5 = (entry[key] for key in ("ID", "Size", "MD5"))
            assert all(isinstance(value, str) for value in (name, size, md5))
            assert name not in made.instances
            made.instances[name] = bytearray(int(size))
            made.sums[name] = md5
        for chunks in query["Buckets"]:
            made.buckets.append([made._chunk(chunk) for chunk in chunks])
        return made

    def _chunk(self, chunk: Any) -> tuple[str, int, int]:
        name, offset, size = (chunk[key] for key in ("ID", "Offset", "Size"))
        assert all(isinstance(value, str) for value in (name, offset, size))
        assert int(offset) + int(size) <= len(self.instances[name])
        return name, int(offset), int(size)

    def store(self, number: int, body: bytes) -> None:
        """Write a bucket as ``DownloadArea::WriteBucket`` does."""
        data = gzip.decompress(body) if self.is_compressed else body
        assert len(data) == sum(size for _, _, size in self.buckets[number])
        position = 0
        for name, offset, size in self.buckets[number]:
            self.instances[name][offset : offset + size] = data[position : position + size]
            position += size


@dataclass
class TransfersPeer:
    """A receiver, and what it was asked."""

    url: str = ""
    orthanc: str = ""
    """Where what is committed goes, and everything else."""
    open: dict[str, Transaction] = field(default_factory=dict)
    committed: list[dict[str, bytes]] = field(default_factory=list)
    discarded: int = 0
    instead: dict[str, Handler] = field(default_factory=dict)
    """What happens instead, by method and end of the path: ``PUT /1``."""
    on_the_way: Callable[[bytes], bytes] = bytes
    """What becomes of the body of each bucket before it is here."""
    puts: list[int] = field(default_factory=list)
    """Bytes of each bucket, as it came."""
    at_once: int = 0
    at_once_at_most: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        for what, handler in self.instead.items():
            method, _, end = what.partition(" ")
            if request.method == method and request.path.endswith(end):
                return await handler(request)
        parts = request.path.strip("/").split("/")
        match (request.method, parts):
            case ("GET", ["plugins"]):
                return web.json_response(["explorer.js", "transfers"])
            case ("POST", ["transfers", "push"]):
                return await self._create(request)
            case ("PUT", ["transfers", "push", name, number]) if name in self.open:
                return await self._store(request, self.open[name], int(number))
            case ("POST", ["transfers", "push", name, "commit"]) if name in self.open:
                return await self._commit(name)
            case ("DELETE", ["transfers", "push", name]) if name in self.open:
                del self.open[name]
                self.discarded += 1
                return web.json_response({})
            case (_, ["transfers", *_]):
                return web.json_response({"Message": "Unknown resource"}, status=UNKNOWN_RESOURCE)
        return await self._pass_on(request)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        try:
            transaction = Transaction.parsed(await request.json())
        except (AssertionError, KeyError, ValueError):
            return web.json_response({"Message": "Bad file format"}, status=BAD_FILE_FORMAT)
        name = str(uuid4())
        self.open[name] = transaction
        return web.json_response({"ID": name, "Path": f"/transfers/push/{name}"})

    async def _store(
        self, request: web.Request, transaction: Transaction, number: int
    ) -> web.StreamResponse:
        self.at_once += 1
        self.at_once_at_most = max(self.at_once, self.at_once_at_most)
        body = await request.read()
        self.at_once -= 1
        self.puts.append(len(body))
        transaction.store(number, self.on_the_way(body))
        return web.json_response({})

    async def _commit(self, number: str) -> web.StreamResponse:
        transaction = self.open[number]
        for name, content in transaction.instances.items():
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != transaction.sums[name]:
                message = f"Bad MD5 sum in a transfered DICOM instance: {name}"
                return web.json_response({"Details": message}, status=BAD_FILE_FORMAT)
        if self.orthanc:
            async with aiohttp.ClientSession(raise_for_status=True) as session:
                for content in transaction.instances.values():
                    body = BytesIO(content)
                    async with session.post(f"{self.orthanc}/instances", data=body):
                        pass
        del self.open[number]  # as the plugin does it: one that is refused stays
        self.committed.append({name: bytes(one) for name, one in transaction.instances.items()})
        return web.json_response({})

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        url, body = f"{self.orthanc}{request.path_qs}", await request.read()
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, data=body) as answer,
        ):
            return web.Response(
                body=await answer.read(), status=answer.status, content_type=answer.content_type
            )


@asynccontextmanager
async def transfers_peer(orthanc: str = "") -> AsyncIterator[TransfersPeer]:
    """A receiver on a free port of this machine, as long as the block runs."""
    peer = TransfersPeer(orthanc=orthanc)
    app = web.Application(client_max_size=1024**3)
    app.router.add_route("*", "/{tail:.*}", peer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield peer
    finally:
        await runner.cleanup()
