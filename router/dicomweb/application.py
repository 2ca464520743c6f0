"""STOW-RS over HTTP: who may store, what kind of request it is, and how long it is waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Generic, Protocol, TypeVar

import aiohttp
import anyio
import structlog
from aiohttp import StreamReader, web

from router.dicom import uids
from router.dicom.multipart import MultipartReader
from router.dicomweb.accepting import JSON, media_ranges, takes_json
from router.dicomweb.results import http_status, response_module
from router.dicomweb.storing import BodyBrokenOff, Outcome, store
from router.http.problems import RequestError, explaining, problem_response
from router.http.tokens import check_token
from router.ingress.uploads import PartTaker
from router.net.patience import MIN_PROGRESS_BYTES
from router.ports import Clock

PATH = "/dicom-web/studies"
RETRY_AFTER_S = 5
_BREAKS = (OSError, aiohttp.ClientError, web.RequestPayloadError, aiohttp.http.HttpProcessingError)
"""What reading a body raises when its connection is lost, or its framing is wrong."""

T = TypeVar("T", bound=PartTaker, covariant=True)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StowLimits:
    """What is taken at most. ``message_s``: so long the next bytes of a body are waited for."""

    max_requests: int = 64
    max_instance_bytes: int | None = None
    message_s: float = 60.0


class Openings(Protocol[T]):
    """What a request is stored by."""

    @property
    def is_behind(self) -> bool:
        """Whether nothing more can be taken in for now."""
        ...

    def open(self, address: str, study_instance_uid: str) -> T:
        """A request begins, for this study (empty: for any)."""
        ...


async def _as_it_is(_upload: PartTaker, outcome: Outcome) -> Outcome:
    return outcome


async def _nothing(_upload: PartTaker, _outcome: Outcome) -> None:
    return


class Stow(Generic[T]):
    """The Store transaction (PS3.18 section 10.5)."""

    def __init__(
        self,
        uploads: Openings[T],
        clock: Clock,
        limits: StowLimits,
        readiness: Callable[[], Sequence[str]],
        token: str | None = None,
        conclude: Callable[[T, Outcome], Awaitable[Outcome]] = _as_it_is,
        afterwards: Callable[[T, Outcome], Awaitable[None]] = _nothing,
        token_name: str = "stow.token_file",  # noqa: S107 - what it is called
    ):
        """``conclude`` has the last word about what became of a request.

        ``afterwards`` is called when that has been answered, whether or not the answer arrived.
        ``token_name`` is what people know the token by.
        """
        self._uploads = uploads
        self._clock = clock
        self._limits = limits
        self._readiness = readiness
        self._token = token
        self._token_name = token_name
        self._conclude = conclude
        self._afterwards = afterwards
        self._requests = 0
        self._idle = anyio.Event()

    def application(
        self, there_is: str = f"instances are stored by POST {PATH}"
    ) -> web.Application:
        """What :func:`router.http.server.serve_http` serves.

        ``there_is`` helps those who ask for something that there is not.
        """
        problems = explaining(there_is)
        application = web.Application(middlewares=[problems])
        for path in (PATH, PATH + "/{study}"):
            application.router.add_route("POST", path, self._store, expect_handler=self._expect)
        return application

    async def _expect(self, request: web.Request) -> web.Response | None:
        """Answer what will be refused anyway before its body is sent (RFC 9110 section 10.1.1)."""
        try:
            self._examine(request)
        except RequestError as problem:
            problem.headers["Connection"] = "close"
            return problem_response(problem)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # of the answer itself
        return None

    async def _store(self, request: web.Request) -> web.Response:
        reader = self._examine(request)
        self._requests += 1
        try:
            study = request.match_info.get("study", "")
            upload = self._uploads.open(request.remote or "", study)
            limit = self._limits.max_instance_bytes
            outcome = await store(self._body(request.content), reader, upload, limit)
            outcome = await self._conclude(upload, outcome)
            try:
                response = await _answer(request, outcome)
                with suppress(ConnectionError):  # it has left: what is stored is stored
                    await response.prepare(request)
                    await response.write_eof()
            finally:
                await self._afterwards(upload, outcome)
            return response
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()
                self._idle = anyio.Event()

    async def finish(self, within_s: float) -> None:
        """Wait until the requests that have begun are answered; no others must be let in."""
        with anyio.move_on_after(within_s):
            while self._requests:
                await self._idle.wait()

    def _examine(self, request: web.Request) -> MultipartReader:
        """The reader of a body that can be taken. Raises ``RequestError``."""
        check_token(request, self._token, self._token_name)
        study = request.match_info.get("study")
        if study is not None and not uids.is_valid_uid(study):
            raise RequestError(HTTPStatus.BAD_REQUEST, f"{study} is no Study Instance UID")
        reader = _reader(request)
        if not takes_json(media_ranges(request.headers.getall("Accept", ()))):
            raise RequestError(HTTPStatus.NOT_ACCEPTABLE, f"the answer is {JSON}")
        busy = self._busy()
        if busy:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{busy}; send again later",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        return reader

    def _busy(self) -> str:
        reasons = self._readiness()
        if reasons:
            return f"the router is {'; '.join(reasons)}"
        if self._uploads.is_behind:
            return "the ledger lags behind"
        if self._requests >= self._limits.max_requests:
            return f"{self._requests} requests are being stored"
        return ""

    async def _body(self, content: StreamReader) -> AsyncIterator[bytes]:
        """The bytes of a body as they arrive. Raises ``BodyBrokenOff``.

        As in the middle of a message of an association, something has to come of it within
        ``message_s``; only the time that is waited for the sender counts.
        """
        message_s = self._limits.message_s
        waited, received = 0.0, 0
        while True:
            began = self._clock.monotonic()
            try:
                with anyio.fail_after(max(message_s - waited, 0)):
                    chunk = await content.readany()
            except TimeoutError:
                raise BodyBrokenOff(
                    f"the body stood still: {received} bytes in {message_s:g} s"
                ) from None
            except _BREAKS as error:
                raise BodyBrokenOff(f"the body cannot be read: {error}") from error
            if not chunk:
                return
            waited += self._clock.monotonic() - began
            received += len(chunk)
            if received >= MIN_PROGRESS_BYTES:
                waited, received = 0.0, 0
            yield chunk


async def _answer(request: web.Request, outcome: Outcome) -> web.Response:
    status = http_status(outcome.results)
    stored = sum(result.is_stored for result in outcome.results)
    log.info(
        "request stored",
        address=request.remote,
        instances=len(outcome.results),
        stored=stored,
        status=int(status),
        broken=outcome.broken,
    )
    headers = {"Connection": "close"} if outcome.broken else {}
    if not outcome.results:
        detail = f"no part was found in the body: {outcome.broken or 'it has none'}"
        raise RequestError(status, detail, headers=headers)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    module = await anyio.to_thread.run_sync(response_module, outcome.results)
    return web.Response(body=module, status=status, content_type=JSON, headers=headers)


def _reader(request: web.Request) -> MultipartReader:
    """For the body that the headers describe (PS3.18 section 8.6.1.2)."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must not be encoded ({encoding}): instances are stored as they are",
            headers={"Accept-Encoding": "identity"},
        )
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    media_type = str(header.get_param("type", "application/dicom"))
    if header.get_content_type() != "multipart/related" or (
        media_type.lower() != "application/dicom"
    ):
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            'the body must be multipart/related; type="application/dicom"',
            headers={"Accept": 'multipart/related; type="application/dicom"'},
        )
    try:
        return MultipartReader(str(header.get_boundary("")))
    except ValueError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"Content-Type: {error}") from error
