"""What the requests of DICOMweb have in common."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from candidates.writer.scp import can_be_kept
from router.dicomweb.accepting import MediaRange, media_ranges
from router.dicomweb.application import PATH, RETRY_AFTER_S
from router.http.problems import RequestError

STUDY = PATH + "/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
_KEYS = {
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
}
TOKEN = "--http-token"  # noqa: S105 - what it is called


def named_uids(request: web.Request) -> dict[str, str]:
    """The UIDs that the path names, by keyword; raises ``RequestError`` (400)."""
    for uid in request.match_info.values():
        if not can_be_kept(uid):
            raise RequestError(HTTPStatus.BAD_REQUEST, f"{uid} is no UID")
    return {_KEYS[name]: uid for name, uid in request.match_info.items()}


def accepted(request: web.Request) -> list[MediaRange]:
    """What the client takes; the query parameter outranks the header (PS3.18 section 8.3.3.1)."""
    return media_ranges(request.query.getall("accept", request.headers.getall("Accept", [])))


def later(reason: str) -> RequestError:
    """The answer to a request that may succeed later."""
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{reason}; ask again later",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
