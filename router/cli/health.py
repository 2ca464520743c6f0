"""The command ``health``: asked by container engines every few seconds, so it imports little."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from router.domain.errors import RouterError

WITHIN_S = 4.0
MOST_BYTES = 64 * 1024


def ask_health(url: str, path: str) -> None:
    """Return if the router at ``url`` says that it is well; raise ``RouterError`` with the reason.

    ``path`` is what is asked: ``/readyz`` or ``/healthz``. No proxy is used: a router is asked
    about itself, not what stands before it.
    """
    where = url.rstrip("/") + path
    try:
        with build_opener(ProxyHandler({})).open(where, timeout=WITHIN_S) as response:
            status, body = response.status, response.read(MOST_BYTES)
    except HTTPError as error:
        with error:
            status, body = error.code, error.read(MOST_BYTES)
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RouterError(f"{where}: no router answers there ({reason})") from error
    if status != HTTPStatus.OK:
        raise RouterError(f"{where}: {_detail(body) or status}")


def _detail(body: bytes) -> str:
    """What a problem document says; empty where the body is none."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    return str(answer.get("detail", "")) if isinstance(answer, dict) else ""
