"""WADO-RS: instances as they are kept, and their metadata (PS3.18 section 10.4).

Nothing is transcoded. A response that cannot be finished breaks its connection off, so that nobody
takes a part for the whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from http import HTTPStatus

import aiohttp
import anyio
import structlog
from aiohttp import web

from candidates.writer.archive import Archive
from candidates.writer.errors import IndexFailed
from candidates.writer.query.retrieval import Instance, TooMany, instances_of
from candidates.writer.web.accepting import DICOM, Form, form_for
from candidates.writer.web.bodies import Body, Multipart, file_of, metadata_of
from candidates.writer.web.requests import (
    INSTANCE,
    SERIES,
    STUDY,
    TOKEN,
    accepted,
    later,
    named_uids,
)
from router.dicomweb.accepting import JSON, takes_json
from router.domain.errors import PeerTimeout, RouterError
from router.http.problems import RequestError
from router.http.tokens import check_token

MAX_RETRIEVALS = 32
METADATA_READERS = 2
TAKEN_WITHIN_S = 60.0
"""So long the next 128 KiB of a response may take to be taken."""

log = structlog.get_logger(__name__)


class Retrieving:
    """The Retrieve transaction for studies, series and instances."""

    def __init__(
        self, archive: Archive, token: str | None = None, taken_within_s: float = TAKEN_WITHIN_S
    ):
        self._archive = archive
        self._token = token
        self._taken_within_s = taken_within_s
        self._running = 0
        self._readers = anyio.CapacityLimiter(METADATA_READERS)

    def add_to(self, application: web.Application) -> None:
        """Serve the resources there."""
        for path in (STUDY, SERIES, INSTANCE):
            application.router.add_route("GET", path, self._retrieve)
            application.router.add_route("GET", f"{path}/metadata", self._retrieve_metadata)

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        check_token(request, self._token, TOKEN)
        with self._turn():
            found = await self._found(request)
            form = _form(request, found)
            storage = self._archive.storage
            if form is Form.SINGLE:
                [one] = found
                content_type = f"{DICOM}; transfer-syntax={one.transfer_syntax_uid}"
                response = _response(content_type, one.attachment.size)
                return await self._send(request, response, file_of(storage, one))
            body = Multipart(found, uuid.uuid4().hex)
            response = _response(body.content_type, body.length)
            return await self._send(request, response, body.pieces(storage))

    async def _retrieve_metadata(self, request: web.Request) -> web.StreamResponse:
        check_token(request, self._token, TOKEN)
        if not takes_json(accepted(request)):
            raise RequestError(HTTPStatus.NOT_ACCEPTABLE, f"metadata comes as {JSON}")
        with self._turn():
            found = await self._found(request)
            pieces = metadata_of(self._archive.storage, found, self._readers)
            return await self._send(request, _response(JSON), pieces)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One of a bounded number of retrievals; raises ``RequestError`` (503)."""
        if self._running >= MAX_RETRIEVALS:
            raise later(f"{self._running} retrievals are running")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _found(self, request: web.Request) -> list[Instance]:
        """What the URL names; raises ``RequestError``."""
        keys = named_uids(request)
        try:
            found = await anyio.to_thread.run_sync(instances_of, self._archive, keys)
        except IndexFailed as error:
            log.error("a retrieval could not be answered", error=str(error))
            raise later("the index failed") from error
        except TooMany as error:
            detail = f"{error}; retrieve its series one by one"
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail) from error
        if not found:
            named = ", ".join(f"{keyword} {uid}" for keyword, uid in keys.items())
            raise RequestError(HTTPStatus.NOT_FOUND, f"the writer does not have {named}")
        return found

    async def _send(
        self, request: web.Request, response: web.StreamResponse, body: Body
    ) -> web.StreamResponse:
        """Send a body as fast as it is taken. Nothing has been sent when it raises."""
        async with aclosing(body):
            try:
                piece = await anext(body)
            except RouterError as error:
                log.error("a retrieval could not begin", path=request.path, error=str(error))
                raise RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
            with _broken_off_unless_whole(request):
                await response.prepare(request)
                with self._patience():
                    await response.write(piece)
                async for piece in body:
                    with self._patience():
                        await response.write(piece)
                with self._patience():
                    await response.write_eof()
        return response

    @contextmanager
    def _patience(self) -> Iterator[None]:
        try:
            with anyio.fail_after(self._taken_within_s):
                yield
        except TimeoutError:
            text = f"nothing was taken for {self._taken_within_s:g} s"
            raise PeerTimeout(text) from None


@contextmanager
def _broken_off_unless_whole(request: web.Request) -> Iterator[None]:
    """Close the connection at once if the block does not run to its end, for whatever cause."""
    transport = request.transport  # a server that stops takes it away before it says so
    is_whole = False
    try:
        yield
        is_whole = True
        log.info("retrieved", path=request.path, address=request.remote)
    except (RouterError, OSError, aiohttp.ClientError) as error:
        log.warning("a retrieval broke off", path=request.path, reason=str(error))
    finally:
        if transport is not None and not is_whole:
            transport.abort()


def _form(request: web.Request, found: list[Instance]) -> Form:
    syntaxes = {one.transfer_syntax_uid for one in found}
    is_instance = "instance" in request.match_info and len(found) == 1
    form = form_for(accepted(request), syntaxes, is_instance=is_instance)
    if form is None:
        raise RequestError(
            HTTPStatus.NOT_ACCEPTABLE,
            'instances come as multipart/related; type="application/dicom", as they are kept: '
            f"in transfer syntax {', '.join(sorted(syntaxes))}",
        )
    return form


def _response(content_type: str, length: int | None = None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    if length is not None:
        response.content_length = length
    return response
