"""Bearer tokens of those who may change something over HTTP."""

from __future__ import annotations

import hmac
from http import HTTPStatus

from aiohttp import web

from router.http.problems import RequestError


def check_token(request: web.Request, token: str | None, which: str) -> None:
    """Raise ``RequestError`` (401) unless the request carries the token; None: none is needed.

    It is compared in constant time, so that the answer's delay says nothing of the token.
    """
    if token is None:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not matches:
        raise RequestError(
            HTTPStatus.UNAUTHORIZED,
            f"{which} is missing or wrong: send Authorization: Bearer <token>",
            headers={"WWW-Authenticate": "Bearer"},
        )
