from __future__ import annotations

import re

import aiohttp
import anyio
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator
from structlog.testing import capture_logs

from router.admin.api import ROUTES, create_app
from router.admin.routes import Api
from router.completion.declaring import Declarations
from router.domain.errors import ConfigurationError, LedgerFailed
from router.http.problems import explaining
from router.http.server import serve_http
from router.ledger.ledger import SqlLedger
from tests.admin.conftest import Client, interventions


async def test_the_loop_is_alive(client: Client) -> None:
    answer = await client.get("/healthz")
    assert (answer.status, answer.body) == (200, {"status": "ok"})


async def test_a_router_is_ready_when_nothing_speaks_against_it(client: Client) -> None:
    assert (await client.get("/readyz")).status == 200


async def test_a_router_that_is_not_ready_says_why(client: Client) -> None:
    client.not_ready.extend(["the spool is full", "it is stopping"])
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert answer.body["detail"] == "not ready: the spool is full; it is stopping"


async def test_the_description_is_valid_openapi(client: Client) -> None:
    answer = await client.get("/openapi.json")
    OpenAPIV31SpecValidator(answer.body).validate()


async def test_the_description_lists_exactly_what_is_served(
    client: Client, ledger: SqlLedger
) -> None:
    document = (await client.get("/openapi.json")).body
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    application = create_app(
        Api(
            client.registry,
            ledger.views,
            interventions(client.registry, ledger),
            Declarations(ledger.views, client.arriving.complete_now),
            list,
        )
    )
    served = {
        (route.method, route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None
    }
    assert described == served


async def test_every_operation_can_be_found_and_is_explained(client: Client) -> None:
    document = (await client.get("/openapi.json")).body
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(ROUTES)
    assert all(operation["summary"] for operation in operations)
    parameters = [one for operation in operations for one in operation["parameters"]]
    assert [one for one in parameters if not one["description"]] == []


async def test_the_description_of_a_registration_names_every_field(client: Client) -> None:
    document = (await client.get("/openapi.json")).body
    schema = document["components"]["schemas"]["RegistrationRequest"]
    assert {"aet", "host", "port", "routingCriteria"} < set(schema["properties"])
    assert [name for name, one in schema["properties"].items() if "description" not in one] == []


async def test_an_unknown_path_is_explained(client: Client) -> None:
    answer = await client.get("/candidate")
    assert answer.status == 404
    assert answer.content_type == "application/problem+json"
    assert "/openapi.json" in answer.body["detail"]


async def test_an_unknown_method_is_told_what_there_is(client: Client) -> None:
    answer = await client.ask("PUT", "/candidates")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, POST"
    assert answer.body["detail"] == "PUT has no meaning at /candidates; there is GET, POST"


async def test_an_unforeseen_fault_is_logged_and_not_shown() -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise KeyError("an inner detail")

    application = web.Application(middlewares=[explaining("nothing else")])
    application.router.add_get("/", fail)
    with capture_logs() as logs:
        async with (
            serve_http(application, "127.0.0.1", 0) as server,
            aiohttp.ClientSession(server.url) as session,
            session.get("/") as response,
        ):
            text = await response.text()

    assert response.status == 500
    assert "inner detail" not in text
    assert [line["event"] for line in logs] == ["a request failed"]


async def test_a_fault_that_the_router_explains_keeps_its_status() -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise LedgerFailed("the ledger is locked")

    application = web.Application(middlewares=[explaining("nothing else")])
    application.router.add_get("/", fail)
    async with (
        serve_http(application, "127.0.0.1", 0) as server,
        aiohttp.ClientSession(server.url) as session,
        session.get("/") as response,
    ):
        problem = await response.json(content_type="application/problem+json")

    assert problem == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "the ledger is locked",
    }


async def test_requests_that_have_begun_are_answered_when_the_server_stops() -> None:
    begun, stopping = anyio.Event(), anyio.Event()

    async def slow(_request: web.Request) -> web.Response:
        begun.set()
        await stopping.wait()
        return web.Response(text="finished")

    application = web.Application()
    application.router.add_get("/", slow)
    application.on_shutdown.append(lambda _application: _set(stopping))
    answers: list[str] = []

    async def ask(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            answers.append(await response.text())

    async with (
        anyio.create_task_group() as tasks,
        serve_http(application, "127.0.0.1", 0) as server,
    ):
        tasks.start_soon(ask, server.url)
        await begun.wait()

    assert answers == ["finished"]


async def _set(event: anyio.Event) -> None:
    event.set()


async def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    async with serve_http(web.Application(), "127.0.0.1", 0) as first:
        with pytest.raises(ConfigurationError, match=re.escape(f"127.0.0.1:{first.port}")):
            async with serve_http(web.Application(), "127.0.0.1", first.port):
                pass
