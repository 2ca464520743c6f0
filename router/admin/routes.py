"""What a route of the HTTP API is: the same value is mounted and documented."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import anyio
from aiohttp import web
from pydantic import BaseModel, ValidationError

from router.completion.declaring import Declarations
from router.delivery.interventions import Interventions
from router.http.problems import RequestError, WrongValue
from router.http.tokens import check_token
from router.ports import LedgerViews
from router.registry.service import Registry
from router.settings.explanation import explain, known_keys

Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)
A = TypeVar("A", bound=BaseModel)

MAX_BODY_BYTES = 1024**2
BODY_TIMEOUT_S = 10.0


class Nothing(BaseModel):
    """No query, or no body."""


@dataclass(frozen=True, slots=True)
class Api:
    """What the handlers work on.

    ``readiness`` gives the reasons why the router is not ready; none: it is. ``token`` is asked
    for by routes that change something; None: by none.
    """

    registry: Registry
    views: LedgerViews
    interventions: Interventions
    declarations: Declarations
    readiness: Callable[[], Sequence[str]]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """A request that has been understood."""

    path: Mapping[str, str]
    query: Q
    body: B


@dataclass(frozen=True, slots=True)
class Route(Generic[Q, B, A]):
    """One operation: where it is, what it takes, what it answers, who carries it out."""

    method: str
    path: str
    query: type[Q]
    body: type[B]
    answer: type[A]
    carry_out: Callable[[Api, Call[Q, B]], Awaitable[A]]
    problems: tuple[HTTPStatus, ...] = ()
    guarded: bool = False

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.carry_out.__name__

    @property
    def summary(self) -> str:
        """What the operation does, in a line."""
        return (self.carry_out.__doc__ or "").strip().partition("\n")[0]

    @property
    def description(self) -> str:
        """What else there is to know."""
        rest = (self.carry_out.__doc__ or "").strip().partition("\n")[2]
        return " ".join(rest.split())

    def mount(self, application: web.Application, api: Api) -> None:
        """Serve the operation."""

        async def serve(request: web.Request) -> web.Response:
            if self.guarded:
                check_token(request, api.token, "the registration token")
            call = Call(
                path=request.match_info,
                query=_query(request, self.query),
                body=await _body(request, self.body),
            )
            answer = await self.carry_out(api, call)
            return web.Response(
                text=answer.model_dump_json(by_alias=True), content_type="application/json"
            )

        application.router.add_route(self.method, self.path, serve, name=self.name)


def _query(request: web.Request, model: type[Q]) -> Q:
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise misunderstood("query", model, error) from error


async def _body(request: web.Request, model: type[B]) -> B:
    if issubclass(model, Nothing):
        return model()
    if request.content_type != "application/json":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must be application/json, not {request.content_type}",
        )
    content = _json(await _read(request))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise misunderstood("body", model, error) from error


async def _read(request: web.Request) -> bytes:
    try:
        with anyio.fail_after(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise RequestError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {BODY_TIMEOUT_S:g} s",
            headers={"Connection": "close"},
        ) from None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error


def misunderstood(what: str, model: type[BaseModel], error: ValidationError) -> RequestError:
    """A body or query that does not fit its model: 422 with every wrong value."""
    errors = []
    for finding in explain(error, lambda path: known_keys(model, path)):
        loc = finding.path if finding.key is None else (*finding.path, finding.key)
        hint = f" ({finding.hint})" if finding.hint else ""
        errors.append(WrongValue(loc=loc, message=finding.message + hint))
    names = ", ".join(".".join(map(str, wrong.loc)) or what for wrong in errors)
    return RequestError(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"the {what} cannot be used: look at {names}", errors
    )
