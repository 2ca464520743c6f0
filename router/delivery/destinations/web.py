"""HTTP requests to candidates, and what their failures mean for a delivery.

Of everything that can go wrong, this module tells apart what is nobody's fault but the candidate's
(``CandidateUnavailable``: address, certificate, credentials, overload) and what any instance of the
request may have caused (``AssociationLost``).
"""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import anyio

from router import __version__
from router.delivery.destinations.secrets import NOT_ACCEPTED, read_secret, tls_fault, tls_for
from router.delivery.destinations.streams import patient
from router.domain.candidate import Candidate
from router.domain.errors import AssociationLost, CandidateUnavailable, PeerTimeout
from router.domain.reach import Credentials, TlsFiles, WebReach
from router.net.exchange import RequestorTimeouts

MAX_ANSWER_BYTES = 16 * 1024**2
LONGER_FOR_EACH_S = 0.1
"""The answer may come so much later for each instance that it is about."""
EXCERPT = 200  # characters of an answer that are shown to a person

_UNAUTHORISED = frozenset({401, 403, 407})
_NOT_THERE = frozenset({404, 405, 410, 501})
_OVERLOADED = frozenset({429, 503, 507})


class Body(Protocol):
    """What is sent with a request, piece by piece."""

    @property
    def length(self) -> int:
        """Bytes in all."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        """The pieces."""
        ...


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """An answer, whole."""

    status: int
    content_type: str
    content: bytes
    location: str = ""

    @property
    def is_page(self) -> bool:
        """Whether it is made for a person's browser: no server of ours answers so."""
        return self.content_type in ("text/html", "application/xhtml+xml")

    def __str__(self) -> str:
        """The status, and the beginning of what a person would read."""
        text = self.content[: 20 * EXCERPT].decode("utf-8", "replace")
        if self.is_page:
            text = re.sub(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:EXCERPT]
        return f"{self.status}: {text}" if text else str(self.status)


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A short body."""

    content: bytes

    @property
    def length(self) -> int:
        return len(self.content)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content


class Web:
    """Makes sessions with candidates; see :class:`WebSession`."""

    def __init__(self, timeouts: RequestorTimeouts):
        self._timeouts = timeouts

    @asynccontextmanager
    async def session(self, candidate: Candidate) -> AsyncIterator[WebSession]:
        """Connections to one candidate, kept alive as long as the block runs.

        Raises ``CandidateUnavailable`` when a certificate or a secret cannot be read.
        """
        reach = candidate.reach
        assert isinstance(reach, WebReach), f"{candidate.ae_title} has no URL"
        who = f"{candidate.ae_title} at {reach.url}"
        context, authorization = await anyio.to_thread.run_sync(_prepare, who, reach)
        connector = aiohttp.TCPConnector(ssl=context if context else True, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s)
        headers = {"User-Agent": f"dicom-router/{__version__}", **authorization}
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=headers, trust_env=False
        ) as session:
            yield WebSession(session, reach.url, who, self._timeouts.response_s)


class WebSession:
    """Asks one candidate. Redirects are not followed: what is sent goes where the YAML says."""

    def __init__(self, session: aiohttp.ClientSession, url: str, who: str, response_s: float):
        self._session = session
        self._url = url
        self._response_s = response_s
        self.who = who
        """The candidate, for a person."""

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Body | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        longer_s: float = 0.0,
    ) -> WebAnswer:
        """Send a request and hear the whole answer, whatever its status is.

        The next bytes must be taken, and the answer must come, in the time that is configured for
        an answer; ``longer_s``: so much more for the answer. Raises ``CandidateUnavailable``,
        ``AssociationLost`` and ``PeerTimeout``.
        """
        try:
            with anyio.fail_after(self._response_s) as scope:
                more, sent = dict(headers or {}), None
                if isinstance(body, bytes):
                    body = _Bytes(body)
                if body is not None:
                    more["Content-Length"] = str(body.length)
                    sent = patient(body, scope, self._response_s, longer_s)
                async with self._session.request(
                    method, self._url + path, data=sent, headers=more, allow_redirects=False
                ) as response:
                    return await self._heard(response)
        except TimeoutError as error:
            raise self._timed_out(error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(error) from error

    async def _heard(self, response: aiohttp.ClientResponse) -> WebAnswer:
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise CandidateUnavailable(
                    f"{self.who} answers with more than {MAX_ANSWER_BYTES} bytes"
                )
        return WebAnswer(
            response.status,
            response.content_type,
            bytes(content),
            response.headers.get("Location", ""),
        )

    def judge(self, answer: WebAnswer) -> WebAnswer:
        """The answer, if the candidate has dealt with what it was sent (2xx, 409); else raises.

        Whatever the body of the request was, it takes nothing: ``CandidateUnavailable``. Any
        instance of it may be the reason: ``AssociationLost``.
        """
        status = answer.status
        if status in _OVERLOADED:
            raise CandidateUnavailable(f"{self.who} takes nothing at present ({answer})")
        if status in _UNAUTHORISED:
            raise CandidateUnavailable(f"{self.who} does not accept our credentials ({answer})")
        if 300 <= status < 400:
            raise CandidateUnavailable(
                f"{self.who} redirects to {answer.location[:EXCERPT]!r} ({status}); redirects are "
                "not followed: put the right address into url"
            )
        if status in _NOT_THERE:
            raise CandidateUnavailable(f"{self.who} does not serve this path ({answer})")
        if answer.is_page and status < 500:
            raise CandidateUnavailable(
                f"{self.who} answers with a web page, so url is the address of something else "
                f"({answer})"
            )
        if status == 409 or 200 <= status < 300:
            return answer
        raise AssociationLost(f"{self.who} answered {answer}")

    async def knock(self, path: str, accept: str) -> WebAnswer | None:
        """Ask whether the candidate is there, and would listen to us; None: it cannot be asked so.

        Raises ``CandidateUnavailable`` if not, ``PeerTimeout`` if it does not answer.
        """
        try:
            answer = await self.ask("GET", path, headers={"Accept": accept})
        except PeerTimeout:
            raise
        except AssociationLost as error:
            hint = NOT_ACCEPTED if self._url.startswith("https:") else ""
            raise CandidateUnavailable(f"{error}{hint}") from error
        if answer.status == 400 or answer.status in _NOT_THERE:
            return None
        try:
            return self.judge(answer)
        except AssociationLost as error:
            raise CandidateUnavailable(str(error)) from error

    def _timed_out(self, error: TimeoutError) -> CandidateUnavailable | PeerTimeout:
        if isinstance(error, aiohttp.ServerTimeoutError):
            return CandidateUnavailable(f"{self.who}: no connection within the time for it")
        return PeerTimeout(f"{self.who} did not answer within {self._response_s:g} s")

    def _failed(
        self, error: aiohttp.ClientError | OSError
    ) -> CandidateUnavailable | AssociationLost:
        if fault := tls_fault(error):
            return CandidateUnavailable(f"{self.who}: {fault}")
        if isinstance(error, aiohttp.ClientConnectorError):
            errno = error.os_error.errno
            reason = os.strerror(errno) if errno else error.os_error.strerror or error.os_error
            return CandidateUnavailable(f"{self.who}: no connection: {reason}")
        reason = str(error) or type(error).__name__
        return AssociationLost(f"{self.who}: the connection broke: {reason}")


def _prepare(who: str, reach: WebReach) -> tuple[ssl.SSLContext | None, Mapping[str, str]]:
    """TLS and credentials, read anew each time, so that those that were renewed count."""
    context = tls_for(who, reach.tls or TlsFiles()) if reach.url.startswith("https:") else None
    return context, {} if reach.credentials is None else _authorization(who, reach.credentials)


def _authorization(who: str, credentials: Credentials) -> Mapping[str, str]:
    secret = read_secret(who, credentials.secret)
    if not credentials.user:
        return {"Authorization": f"Bearer {secret}"}
    basic = b64encode(f"{credentials.user}:{secret}".encode()).decode("ascii")
    return {"Authorization": f"Basic {basic}"}
