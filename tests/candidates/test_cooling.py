"""A quiet study leaves a writer when an archive has all of it, and only then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from candidates.writer.archive import Archive
from candidates.writer.cooling import Cooler
from candidates.writer.settings import CoolingPolicy
from candidates.writer.storage import Storage
from candidates.writer.wiring import running_service
from router.domain.criteria import parse_criteria
from router.domain.errors import InvalidCriteria
from router.http.server import serve_http
from tests.candidates.arrivals import arrived
from tests.candidates.holdings import held_in
from tests.candidates.indexes import Index
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, WriterProcess, running, wait_until
from tests.peers import dcmtk

STUDY = "1.2"
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
AN_HOUR = CoolingPolicy(timedelta(hours=1), frozenset({"ARCHIVE", "VAULT"}))


def delivered(archive: str = "ARCHIVE", count: int = 2, state: str = "delivered") -> dict[str, Any]:
    return {"ae_title": archive, "state": state, "delivered": count}


def revision(*deliveries: dict[str, Any], instances: int = 2) -> dict[str, Any]:
    return {"instances": instances, "deliveries": list(deliveries)}


@asynccontextmanager
async def a_router_that_says(studies: dict[str, Any], status: int = 200) -> AsyncIterator[str]:
    """The API of a router that knows these studies; its address."""

    async def answer(request: web.Request) -> web.Response:
        if status != 200:
            return web.Response(status=status)
        known = studies.get(request.match_info["uid"])
        return web.json_response(known or {}, status=200 if known else 404)

    application = web.Application()
    application.router.add_get("/studies/{uid}", answer)
    async with serve_http(application, "127.0.0.1", 0) as server:
        yield server.url


async def left_after_a_look(
    root: Path,
    *revisions: dict[str, Any],
    policy: CoolingPolicy = AN_HOUR,
    at: datetime = YESTERDAY,
    index: Index | None = None,
) -> int:
    """How many of the two instances of a study are left, when this is what the router says."""
    archive = Archive.open(Storage(root), index.address if index else None)
    archive.commit(
        [arrived(archive.storage, b"", f"1.{n}", at=at, Modality="CT") for n in range(2)]
    )
    studies = {STUDY: {"revisions": list(revisions)}} if revisions else {}
    async with (
        a_router_that_says(studies) as url,
        running_service("WRITER", archive, {}, {}) as service,
        aiohttp.ClientSession() as session,
    ):
        await Cooler(service, url, policy).look(session)
    archive.close()
    return len(held_in(root, index))


@pytest.mark.parametrize(
    "revisions",
    [
        [revision(delivered())],
        [revision(delivered("OTHER"), delivered("VAULT"))],
        [revision(delivered(count=1), instances=1), revision(delivered(count=1), instances=1)],
    ],
)
async def test_a_study_that_an_archive_has_is_removed(
    tmp_path: Path, revisions: list[dict[str, Any]]
) -> None:
    assert await left_after_a_look(tmp_path / "writer", *revisions) == 0


@pytest.mark.parametrize(
    "revisions",
    [
        [],
        [revision()],
        [revision(delivered("OTHER"))],
        [revision(delivered(state="committing"))],
        [revision(delivered(count=1))],
        [revision(delivered()), revision()],
        [revision(delivered(count=1), instances=1)],
        [revision(delivered("ARCHIVE")), revision(delivered("VAULT"))],
    ],
    ids=[
        "unknown to the router",
        "delivered to nobody",
        "delivered to others",
        "not committed yet",
        "delivered in part",
        "the second revision is not",
        "the router has seen less of it",
        "no archive has both revisions",
    ],
)
async def test_a_study_that_no_archive_has_whole_stays(
    tmp_path: Path, revisions: list[dict[str, Any]]
) -> None:
    assert await left_after_a_look(tmp_path / "writer", *revisions) == 2


async def test_a_hot_study_stays(tmp_path: Path) -> None:
    now = datetime.now(UTC)

    assert await left_after_a_look(tmp_path / "writer", revision(delivered()), at=now) == 2


@pytest.mark.parametrize(("criteria", "left"), [("MODALITY|IN|CT", 0), ("MODALITY|IN|CR", 2)])
async def test_only_studies_that_match_are_removed(
    tmp_path: Path, index: Index, criteria: str, left: int
) -> None:
    policy = CoolingPolicy(AN_HOUR.hot_for, AN_HOUR.archives, parse_criteria(criteria))

    found = await left_after_a_look(
        tmp_path / "writer", revision(delivered()), policy=policy, index=index
    )

    assert found == left


def test_criteria_about_what_the_index_does_not_know_are_refused() -> None:
    with pytest.raises(InvalidCriteria, match="KVP: not in the index; there are AccessionNumber"):
        CoolingPolicy(AN_HOUR.hot_for, AN_HOUR.archives, parse_criteria("KVP|EQUAL|120"))


async def test_a_router_that_fails_says_nothing(tmp_path: Path) -> None:
    archive = Archive.open(Storage(tmp_path / "writer"))
    archive.commit([arrived(archive.storage, b"", at=YESTERDAY)])
    async with (
        a_router_that_says({}, status=500) as url,
        running_service("WRITER", archive, {}, {}) as service,
        aiohttp.ClientSession() as session,
    ):
        await Cooler(service, url, AN_HOUR).look(session)
    archive.close()

    assert len(held_in(tmp_path / "writer")) == 1


def test_a_routers_word_is_enough_to_let_a_study_go(tmp_path: Path) -> None:
    settings = {"completion": {"quiet_after": "500ms", "stable_after": "3s"}}
    router = RouterProcess(tmp_path / "router", settings)
    archive = WriterProcess(tmp_path, "ARCHIVE", router.url, None)
    hot = WriterProcess(tmp_path, "HOT", router.url, None)
    hot.environment |= {"HOT_FOR": "3s", "COLD_AT": "ARCHIVE"}
    sent = make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)

    with running(router, archive, hot):
        both = {"ARCHIVE", "HOT"}
        wait_until(lambda: router.candidates() == both, "both writers are registered")
        dcmtk("dcmsend", "-aec", "ROUTER", "127.0.0.1", str(router.dicom_port), *map(str, sent))
        wait_until(lambda: "a cold study was removed" in hot.log.read_text(), "it is let go")
        left = hot.count()

    assert left == 0
    assert archive.count() == 3
