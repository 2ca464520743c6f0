"""What the answers of an Orthanc mean for an instance."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from router.clock import SystemClock
from router.delivery.destinations.orthanc import OrthancDestination
from router.delivery.destinations.web import Web
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import AssociationLost, CandidateUnavailable
from router.domain.reach import WebReach
from router.net.exchange import RequestorTimeouts
from router.spool.log import LocalSpool
from tests.delivery.spooled import damage, item_of
from tests.delivery.web_writer import WebWriter, data_set_of, web_writer
from tests.spool.helpers import a_spool, data_set, store


async def an_orthanc(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"Version": "1.10.1"})


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[LocalSpool]:
    async with a_spool(tmp_path / "spool") as made:
        yield made


@pytest.fixture
async def writer() -> AsyncIterator[WebWriter]:
    async with web_writer() as made:
        made.to_knocks = an_orthanc
        yield made


async def instances(spool: LocalSpool, count: int) -> list[DeliveryItem]:
    return [item_of(await store(spool, number), number) for number in range(count)]


async def send(spool: LocalSpool, writer: WebWriter, items: list[DeliveryItem]) -> list[Outcome]:
    """All of them over one connection."""
    destination = OrthancDestination(spool, Web(RequestorTimeouts(5, 5, 20)), SystemClock())
    candidate = Candidate("ORTHANC", "127.0.0.1", 80, "orthanc-rest", WebReach(writer.url))
    async with destination.open(candidate, items) as session:
        return [await session.send(item) for item in items]


async def test_instances_go_one_by_one_over_a_connection_that_is_kept(
    spool: LocalSpool, writer: WebWriter
) -> None:
    sources = set()

    async def take(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        sources.add(request.transport.get_extra_info("peername"))
        await writer.read(request)
        return web.json_response({"Status": "Success"})

    writer.answers.extend([take] * 3)

    outcomes = await send(spool, writer, await instances(spool, 3))

    assert {one.kind for one in outcomes} == {OutcomeKind.STORED}
    assert [data_set_of(request.body) for request in writer.requests] == [
        data_set(number) for number in range(3)
    ]
    assert {request.headers["Content-Type"] for request in writer.requests} == {"application/dicom"}
    assert len(sources) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (200, {"Status": "AlreadyStored"}, OutcomeKind.STORED, ""),
        (200, {"Status": "FilteredOut"}, OutcomeKind.PERMANENT, "Orthanc did not store it"),
        (400, {"Message": "Bad file format"}, OutcomeKind.PERMANENT, "400: .*Bad file format"),
        (503, {}, OutcomeKind.TEMPORARY, "takes nothing at present"),
        (507, {}, OutcomeKind.TEMPORARY, "takes nothing at present"),
        (401, {}, OutcomeKind.TEMPORARY, "does not accept our credentials"),
    ],
)
async def test_an_answer_is_an_outcome(
    spool: LocalSpool,
    writer: WebWriter,
    status: int,
    body: Any,
    kind: OutcomeKind,
    reason: str,
) -> None:
    writer.answers.append(writer.answer(status, body))

    (outcome,) = await send(spool, writer, await instances(spool, 1))

    assert outcome.kind is kind
    assert re.search(reason, outcome.reason)


@pytest.mark.parametrize(("status", "body"), [(500, {}), (200, []), (204, None)])
async def test_what_is_no_answer_speaks_against_the_instance(
    spool: LocalSpool, writer: WebWriter, status: int, body: Any
) -> None:
    writer.answers.append(writer.answer(status, body))

    with pytest.raises(AssociationLost):
        await send(spool, writer, await instances(spool, 1))


async def test_a_login_page_at_the_address_gets_nothing(
    spool: LocalSpool, writer: WebWriter
) -> None:
    async def log_in(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<h1>Log in</h1>", content_type="text/html")

    writer.to_knocks = log_in

    with pytest.raises(CandidateUnavailable, match=r"answers with a web page.*Log in"):
        await send(spool, writer, await instances(spool, 1))

    assert writer.begun == 0


async def test_bytes_that_have_changed_never_leave_whole(
    spool: LocalSpool, writer: WebWriter, tmp_path: Path
) -> None:
    items = await instances(spool, 1)
    damage(tmp_path / "spool", data_set(0))
    writer.answers.append(writer.answer(200, {"Status": "Success"}))

    (outcome,) = await send(spool, writer, items)

    assert outcome.kind is OutcomeKind.PERMANENT
    assert "does not match the checksum" in outcome.reason
    assert writer.requests == []
