"""QIDO-RS: the matches of C-FIND over HTTP (PS3.18 section 10.6)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import anyio
import structlog
from aiohttp import web

from candidates.writer.archive import Archive
from candidates.writer.errors import IndexFailed
from candidates.writer.query.finder import told
from candidates.writer.query.identifiers import data_set_of
from candidates.writer.query.statements import columns, find
from candidates.writer.web.metadata import json_model
from candidates.writer.web.requests import SERIES, STUDY, TOKEN, accepted, later, named_uids
from candidates.writer.web.searches import Search, read_search
from router.dicom.query import QueryLevel
from router.dicomweb.accepting import JSON, takes_json
from router.dicomweb.application import PATH
from router.http.problems import RequestError
from router.http.tokens import check_token

SEARCHERS = 4

_ROOT = PATH.rpartition("/")[0]
_RESOURCES = {
    PATH: QueryLevel.STUDY,
    f"{_ROOT}/series": QueryLevel.SERIES,
    f"{STUDY}/series": QueryLevel.SERIES,
    f"{_ROOT}/instances": QueryLevel.IMAGE,
    f"{STUDY}/instances": QueryLevel.IMAGE,
    f"{SERIES}/instances": QueryLevel.IMAGE,
}
_RETRIEVED_BY = {
    QueryLevel.STUDY: "{StudyInstanceUID}",
    QueryLevel.SERIES: "{StudyInstanceUID}/series/{SeriesInstanceUID}",
    QueryLevel.IMAGE: "{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}",
}

log = structlog.get_logger(__name__)


class Searching:
    """The Search transaction for studies, series and instances."""

    def __init__(self, archive: Archive, token: str | None = None):
        self._archive = archive
        self._token = token
        self._searchers = anyio.CapacityLimiter(SEARCHERS)

    def add_to(self, application: web.Application) -> None:
        """Serve the resources there."""
        for path, level in _RESOURCES.items():
            application.router.add_route("GET", path, self._handler(level))

    def _handler(self, level: QueryLevel) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def search(request: web.Request) -> web.Response:
            return await self._search(request, level)

        return search

    async def _search(self, request: web.Request, level: QueryLevel) -> web.Response:
        check_token(request, self._token, TOKEN)
        if not takes_json(accepted(request)):
            raise RequestError(HTTPStatus.NOT_ACCEPTABLE, f"matches come as {JSON}")
        known = columns(level)
        parameters = [*request.query.items(), *named_uids(request).items()]
        try:
            search = read_search(parameters, known)
        except ValueError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from error
        url = f"{request.scheme}://{request.host}{PATH}"
        try:
            found, warnings = await anyio.to_thread.run_sync(
                self._find, level, search, url, limiter=self._searchers
            )
        except IndexFailed as error:
            log.error("a search could not be answered", error=str(error))
            raise later("the index failed") from error
        return _response(found, warnings)

    def _find(self, level: QueryLevel, search: Search, url: str) -> tuple[bytes, list[str]]:
        """The matches as JSON, empty if there are none; and what is to be said beside them."""
        known = columns(level)
        statement = find(level, search.keys, known).limit(search.limit + 1).offset(search.offset)
        with self._archive.index.database.reading() as connection:
            rows = connection.execute(statement).mappings().all()
        matches = [_match(level, told(row, known), url) for row in rows[: search.limit]]
        warnings = list(search.warnings)
        if len(rows) > search.limit:
            warnings.append("there are more matches: ask again with an offset")
        return json.dumps(matches).encode() if matches else b"", warnings


def _match(level: QueryLevel, values: Mapping[str, str], url: str) -> dict[str, Any]:
    """A match in the DICOM JSON model, with what retrieves it."""
    where = f"{url}/{_RETRIEVED_BY[level].format_map(values)}"
    more = {"RetrieveURL": where, "InstanceAvailability": "ONLINE"}
    return json_model(data_set_of({**values, **more}))


def _response(found: bytes, warnings: list[str]) -> web.Response:
    headers = [("Warning", f'299 dicom-writer "{text}"') for text in warnings]
    if not found:
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)
    return web.Response(body=found, content_type=JSON, headers=headers)
