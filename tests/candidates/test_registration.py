"""A writer stays registered, whatever its router does: over real HTTP, against a stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from aiohttp import web

from candidates.writer.registration import Announcement, Registrar, RegistrationRefused
from router.http.server import serve_http
from tests.e2e.stack import free_port

WITHIN_S = 20
XRAY = Announcement("XRAY", "xray-writer", 4242, r"MODALITY\|IN\|CR,DX")
BACKUP = Announcement("BACKUP", "backup-writer", 4242, None)


@dataclass
class StandInRouter:
    """A router's registration, as far as a writer sees it."""

    status: int = 200
    page: str | None = None  # answered in place of a lease
    registrations: list[Any] = field(default_factory=list)
    heartbeats: list[str] = field(default_factory=list)
    authorization: str | None = None
    _heard: anyio.Event = field(default_factory=anyio.Event)

    @property
    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/candidates", self._register)
        application.router.add_post("/candidates/{aet}/heartbeat", self._take_heartbeat)
        return application

    def serve(self, port: int = 0) -> AbstractAsyncContextManager[Any]:
        return serve_http(self.application, "127.0.0.1", port)

    async def _register(self, request: web.Request) -> web.Response:
        self.registrations.append(await request.json())
        self.authorization = request.headers.get("Authorization")
        return self._answer(self.status)

    async def _take_heartbeat(self, request: web.Request) -> web.Response:
        ae_title = request.match_info["aet"]
        self.heartbeats.append(ae_title)
        known = {said["aet"] for said in self.registrations}
        return self._answer(self.status if ae_title in known else 404)

    def _answer(self, status: int) -> web.Response:
        self._heard.set()
        self._heard = anyio.Event()
        if self.page is not None:
            return web.Response(text=self.page, status=status)
        return web.json_response({"status": "ok", "lease_s": 1, "heartbeat_s": 0.01}, status=status)

    async def hears(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(WITHIN_S):
            while not condition():
                await self._heard.wait()


@asynccontextmanager
async def registering(
    url: str, announcement: Announcement = BACKUP, token: str | None = None
) -> AsyncIterator[None]:
    """A writer that registers itself as long as the block lasts."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Registrar(url, announcement, token).run)
        yield
        tasks.cancel_scope.cancel()


@pytest.fixture
def router() -> StandInRouter:
    return StandInRouter()


async def test_a_writer_says_who_and_where_it_is_and_what_it_wants(router: StandInRouter) -> None:
    async with router.serve() as server, registering(server.url, XRAY):
        await router.hears(lambda: bool(router.registrations))

    assert router.registrations == [
        {
            "aet": "XRAY",
            "host": "xray-writer",
            "port": 4242,
            "routingCriteria": r"MODALITY\|IN\|CR,DX",
        }
    ]


async def test_a_backup_writer_says_nothing_of_criteria(router: StandInRouter) -> None:
    async with router.serve() as server, registering(server.url, BACKUP):
        await router.hears(lambda: bool(router.registrations))

    assert router.registrations == [{"aet": "BACKUP", "host": "backup-writer", "port": 4242}]


async def test_a_slash_at_the_end_of_the_address_does_no_harm(router: StandInRouter) -> None:
    async with router.serve() as server, registering(server.url + "/"):
        await router.hears(lambda: bool(router.registrations))


async def test_the_token_is_sent(router: StandInRouter) -> None:
    async with router.serve() as server, registering(server.url, token="secret"):
        await router.hears(lambda: bool(router.registrations))

    assert router.authorization == "Bearer secret"


async def test_heartbeats_follow_the_registration(router: StandInRouter) -> None:
    async with router.serve() as server, registering(server.url):
        await router.hears(lambda: len(router.heartbeats) >= 3)

    assert len(router.registrations) == 1
    assert set(router.heartbeats) == {"BACKUP"}


async def test_an_ae_title_with_a_space_and_a_slash_has_heartbeats_too(
    router: StandInRouter,
) -> None:
    odd = Announcement("CT ROOM/1", "writer", 4242, None)

    async with router.serve() as server, registering(server.url, odd):
        await router.hears(lambda: len(router.heartbeats) >= 2)

    assert set(router.heartbeats) == {"CT ROOM/1"}
    assert len(router.registrations) == 1


async def test_a_writer_that_is_forgotten_registers_again(router: StandInRouter) -> None:
    async with router.serve() as server, registering(server.url):
        await router.hears(lambda: bool(router.heartbeats))
        router.registrations.clear()

        await router.hears(lambda: bool(router.registrations))


async def test_a_writer_that_is_started_first_waits_for_its_router(router: StandInRouter) -> None:
    port = free_port()

    async with registering(f"http://127.0.0.1:{port}"), router.serve(port):
        await router.hears(lambda: bool(router.registrations))


async def test_a_writer_outlives_its_router_and_registers_with_the_next() -> None:
    port = free_port()
    first, second = StandInRouter(), StandInRouter()

    async with registering(f"http://127.0.0.1:{port}"):
        async with first.serve(port):
            await first.hears(lambda: bool(first.heartbeats))
        async with second.serve(port):
            await second.hears(lambda: bool(second.registrations) and bool(second.heartbeats))


@pytest.mark.parametrize("status", [404, 409, 429, 500, 503])
async def test_a_router_that_cannot_register_now_is_asked_again(
    router: StandInRouter, status: int
) -> None:
    router.status = status

    async with router.serve() as server, registering(server.url):
        await router.hears(lambda: len(router.registrations) >= 2)
        router.status = 200

        await router.hears(lambda: bool(router.heartbeats))


@pytest.mark.parametrize(
    "page", ["It works!", "{}", '{"lease_s": 60, "heartbeat_s": 0}', '{"lease_s": 1e999}']
)
async def test_an_answer_that_is_no_routers_is_not_taken_for_a_registration(
    router: StandInRouter, page: str
) -> None:
    router.page = page

    async with router.serve() as server, registering(server.url):
        await router.hears(lambda: len(router.registrations) >= 2)

    assert router.heartbeats == []


@pytest.mark.parametrize("status", [400, 401, 403, 422])
async def test_a_router_that_refuses_is_not_asked_again(router: StandInRouter, status: int) -> None:
    router.status = status

    async with router.serve() as server:
        with pytest.raises(RegistrationRefused, match=rf"candidates: {status} "):
            await Registrar(server.url, BACKUP).run()

    assert len(router.registrations) == 1


async def test_a_heartbeat_that_is_refused_ends_the_writer(router: StandInRouter) -> None:
    async with router.serve() as server, anyio.create_task_group() as tasks:
        tasks.start_soon(expect_refusal, server.url)
        await router.hears(lambda: bool(router.heartbeats))
        router.status = 401

    assert len(router.registrations) == 1


async def expect_refusal(url: str) -> None:
    with anyio.fail_after(WITHIN_S), pytest.raises(RegistrationRefused, match="heartbeat: 401"):
        await Registrar(url, BACKUP).run()


async def test_a_failing_heartbeat_is_survived(router: StandInRouter) -> None:
    async with router.serve() as server, registering(server.url):
        await router.hears(lambda: bool(router.heartbeats))
        router.status = 503
        failed = len(router.heartbeats) + 2
        await router.hears(lambda: len(router.heartbeats) >= failed)
        router.status = 200

        await router.hears(lambda: len(router.heartbeats) >= failed + 2)

    assert len(router.registrations) == 1
