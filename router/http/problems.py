"""Errors of HTTP requests as problem details (RFC 9457), in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import BaseModel, ConfigDict

from router.domain.errors import RouterError

PROBLEM_TYPE = "application/problem+json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)


class WrongValue(BaseModel):
    """One value of a request that cannot be used."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    loc: tuple[str | int, ...]
    """The way to the value: keys and list indexes."""
    message: str
    """What is wrong with it, and what would be right."""


class ProblemDetails(BaseModel):
    """What went wrong, for the person who must act."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    type: str = "about:blank"
    """No more is to be read about this kind of problem than its title."""
    title: str
    """The HTTP status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What happened, to what, and what to do."""
    errors: tuple[WrongValue, ...] = ()
    """Every wrong value, where the request was not understood."""


class RequestError(Exception):
    """A request that cannot be carried out, for a reason that only HTTP has."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[WrongValue] = (),
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def explaining(what_there_is: str) -> Middleware:
    """A middleware that turns every exception of a handler into an answer that explains it.

    ``what_there_is`` helps those who ask for something that there is not.
    """

    @web.middleware
    async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as problem:
            return problem_response(problem)
        except RouterError as error:
            return _response(HTTPStatus(error.http_status), str(error))
        except web.HTTPException as error:
            return _from_aiohttp(request, error, what_there_is)
        except Exception:  # the one place where a fault of a request ends
            log.exception("a request failed", method=request.method, path=request.path)
            return _response(
                HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its log says why and where"
            )

    return answer_problems


def problem_response(problem: RequestError) -> web.Response:
    """The answer to a request that cannot be carried out."""
    return _response(problem.status, problem.detail, problem.errors, problem.headers)


def _from_aiohttp(
    request: web.Request, error: web.HTTPException, what_there_is: str
) -> web.Response:
    headers: dict[str, str] = {}
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"{request.method} has no meaning at {request.path}; there is {allowed}"
            headers["Allow"] = allowed
        case web.HTTPNotFound():
            detail = f"there is nothing at {request.path}; {what_there_is}"
        case web.HTTPRequestEntityTooLarge():
            detail = "the body is larger than 1 MiB"
            headers["Connection"] = "close"
        case _:
            detail = error.text or error.reason
    return _response(HTTPStatus(error.status), detail, headers=headers)


def _response(
    status: HTTPStatus,
    detail: str,
    errors: Sequence[WrongValue] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    details = ProblemDetails(
        title=status.phrase, status=status, detail=detail, errors=tuple(errors)
    )
    text = details.model_dump_json(exclude=None if errors else {"errors"})
    return web.Response(text=text, status=status, content_type=PROBLEM_TYPE, headers=headers)
