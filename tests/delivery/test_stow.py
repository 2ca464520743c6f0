"""STOW-RS as a candidate sees it, and what its answers mean for a delivery.

The candidate is a stand-in, an HTTP server that a test owns; real ones are in
``tests/interop/test_stow.py``.
"""

from __future__ import annotations

import ssl
import tracemalloc
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from router.clock import SystemClock
from router.delivery.destinations.secrets import tls_context
from router.delivery.destinations.stow import StowDestination
from router.delivery.destinations.web import Web
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import AssociationLost, CandidateUnavailable, PeerTimeout
from router.domain.reach import Credentials, Secret, TlsFiles, WebReach
from router.net.exchange import RequestorTimeouts
from router.spool.log import LocalSpool
from tests.delivery.builders import delivery
from tests.delivery.spooled import damage, item_of
from tests.delivery.web_writer import WebWriter, data_set_of, web_writer
from tests.net.certificates import Identity, make_identity
from tests.spool.helpers import a_spool, data_set, store

STORED = Outcome(OutcomeKind.STORED, 0x0000, "")


@dataclass
class Case:
    """A router's side: a spool, and the destination over it."""

    spool: LocalSpool
    folder: Path
    timeouts: RequestorTimeouts

    async def items(self, count: int = 3, size: int = 1000) -> list[DeliveryItem]:
        """So many instances, in the spool."""
        return [
            item_of(await store(self.spool, number, data_set(number, size)), number)
            for number in range(count)
        ]

    async def send(
        self,
        writer: WebWriter,
        items: Sequence[DeliveryItem],
        credentials: Credentials | None = None,
        tls: TlsFiles | None = None,
        url: str = "",
    ) -> Sequence[Outcome]:
        """One transfer."""
        destination = StowDestination(self.spool, Web(self.timeouts), SystemClock())
        reach = WebReach(url or writer.url, credentials, tls)
        candidate = Candidate("VNA", "127.0.0.1", 443, "stow-rs", reach)
        with anyio.fail_after(60):
            return await destination.transfer(candidate, delivery(), items)


@asynccontextmanager
async def a_case(folder: Path, response_s: float = 20.0) -> AsyncIterator[Case]:
    async with a_spool(folder / "spool") as spool:
        yield Case(spool, folder / "spool", RequestorTimeouts(5.0, 5.0, response_s))


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with a_case(tmp_path) as made:
        yield made


@pytest.fixture
async def writer() -> AsyncIterator[WebWriter]:
    async with web_writer() as made:
        yield made


def response(
    stored: Sequence[DeliveryItem] = (),
    failed: Sequence[tuple[DeliveryItem, int]] = (),
    warned: Sequence[tuple[DeliveryItem, int]] = (),
) -> dict[str, Any]:
    """A Store Instances Response in DICOM JSON (PS3.18 annex F)."""

    def entry(item: DeliveryItem, reason: str = "", status: int = 0) -> dict[str, Any]:
        named = {"00081155": {"vr": "UI", "Value": [item.sop_instance_uid]}}
        return {**named, **({reason: {"vr": "US", "Value": [status]}} if reason else {})}

    held = [entry(item) for item in stored]
    held += [entry(item, "00081196", status) for item, status in warned]
    lost = [entry(item, "00081197", status) for item, status in failed]
    return {
        "00081190": {"vr": "UR", "Value": ["http://vna/studies/1.2.3"]},
        **({"00081199": {"vr": "SQ", "Value": held}} if held else {}),
        **({"00081198": {"vr": "SQ", "Value": lost}} if lost else {}),
    }


# -- what is sent --------------------------------------------------------------------------------


async def test_a_revision_is_one_request_of_part_10_files(case: Case, writer: WebWriter) -> None:
    items = await case.items(3, size=300_000)
    writer.answers.append(writer.answer(200, response(items)))

    assert await case.send(writer, items) == [STORED] * 3

    (request,) = writer.requests
    assert (request.method, request.path) == ("POST", "/dicom-web/studies")
    assert request.headers["Content-Length"] == str(len(request.body))
    assert request.headers["Content-Type"].startswith(
        'multipart/related; type="application/dicom"; boundary='
    )
    assert [data_set_of(part) for part in request.parts] == [
        data_set(number, 300_000) for number in range(3)
    ]


async def test_a_large_instance_is_never_in_memory_as_a_whole(
    case: Case, writer: WebWriter
) -> None:
    items = await case.items(1, size=48 * 1024**2)

    async def count(request: web.Request) -> web.StreamResponse:
        read = 0
        async for piece in request.content.iter_any():
            read += len(piece)
        assert read == request.content_length
        return web.json_response(response(items))

    writer.answers.append(count)
    tracemalloc.start()
    try:
        assert await case.send(writer, items) == [STORED]
        _, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert highest < 8 * 1024**2


@pytest.mark.parametrize("wrong", ["bearer", "basic"])
async def test_credentials_are_shown_and_read_anew_for_each_transfer(
    case: Case, writer: WebWriter, tmp_path: Path, wrong: str
) -> None:
    items = await case.items(1)
    secret = tmp_path / "secret"
    user = "" if wrong == "bearer" else "röuter"
    shown = []
    for text in ("first", "second"):
        secret.write_text(f"{text}\n")
        writer.answers.append(writer.answer(200, response(items)))
        await case.send(writer, items, Credentials(Secret(file=str(secret)), user))
        shown.append(writer.requests[-1].headers["Authorization"])

    if user:
        assert shown == [
            f"Basic {b64encode(f'röuter:{text}'.encode()).decode()}" for text in ("first", "second")
        ]
    else:
        assert shown == ["Bearer first", "Bearer second"]


async def test_a_secret_may_stand_in_the_environment(
    case: Case, writer: WebWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = await case.items(1)
    monkeypatch.setenv("VNA_TOKEN", "abc")
    writer.answers.append(writer.answer(200, response(items)))

    await case.send(writer, items, Credentials(Secret(variable="VNA_TOKEN")))

    assert writer.requests[0].headers["Authorization"] == "Bearer abc"


# -- what the answers mean -----------------------------------------------------------------------


async def test_each_instance_has_the_outcome_that_the_answer_gives_it(
    case: Case, writer: WebWriter
) -> None:
    items = await case.items(5)
    stored, warned, full, refused, forgotten = items
    said = response([stored], [(full, 0xA700), (refused, 0x0122)], [(warned, 0xB000)])
    writer.answers.append(writer.answer(202, said))

    outcomes = await case.send(writer, items)

    assert [(one.kind, one.status) for one in outcomes] == [
        (OutcomeKind.STORED, 0x0000),
        (OutcomeKind.STORED, 0xB000),
        (OutcomeKind.TEMPORARY, 0xA700),
        (OutcomeKind.PERMANENT, 0x0122),
        (OutcomeKind.TEMPORARY, None),
    ]
    assert "does not mention" in outcomes[4].reason
    assert forgotten.sop_instance_uid not in str(said)


async def test_a_conflict_is_read_per_instance_too(case: Case, writer: WebWriter) -> None:
    items = await case.items(2)
    writer.answers.append(writer.answer(409, response((), [(item, 0xC000) for item in items])))

    outcomes = await case.send(writer, items)

    assert {one.kind for one in outcomes} == {OutcomeKind.PERMANENT}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "does not accept our credentials"),
        (403, "does not accept our credentials"),
        (404, "does not serve this path"),
        (429, "takes nothing at present"),
        (503, "takes nothing at present"),
    ],
)
async def test_a_candidate_that_takes_nothing_speaks_against_no_instance(
    case: Case, writer: WebWriter, status: int, said: str
) -> None:
    writer.answers.append(writer.answer(status, {"why": "because"}))

    with pytest.raises(
        CandidateUnavailable, match=rf"^VNA at {writer.url} {said} \({status}: .*because"
    ):
        await case.send(writer, await case.items(1))


@pytest.mark.parametrize("status", [400, 413, 415, 500, 502])
async def test_a_request_that_any_of_its_instances_may_have_spoiled_is_lost(
    case: Case, writer: WebWriter, status: int
) -> None:
    writer.answers.append(writer.answer(status, {"why": "because"}))

    with pytest.raises(AssociationLost, match=f"answered {status}: .*because"):
        await case.send(writer, await case.items(2))


async def test_a_redirect_is_not_followed_and_says_where_to(case: Case, writer: WebWriter) -> None:
    loop = writer.answer(307, None, Location=f"{writer.url}/studies")
    writer.answers.extend([loop, loop])

    with pytest.raises(CandidateUnavailable, match=r"redirects to '.*/dicom-web/studies'"):
        await case.send(writer, await case.items(1))

    assert len(writer.requests) == 1


async def test_a_web_page_is_no_answer(case: Case, writer: WebWriter) -> None:
    page = "<html><style>p {}</style><body><h1>Welcome!</h1> <p>Please log in.</p></body></html>"
    writer.answers.append(writer.answer(200, page))

    with pytest.raises(CandidateUnavailable, match=r"\(200: Welcome! Please log in\.\)"):
        await case.send(writer, await case.items(1))


@pytest.mark.parametrize("body", [None, [1], {}, "not even a page"])
async def test_success_that_names_no_instance_is_none(
    case: Case, writer: WebWriter, body: Any
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await writer.read(request)
        if isinstance(body, str):
            return web.Response(text=body)
        return web.json_response(body)

    writer.answers.append(answer)
    items = await case.items(1)
    try:
        outcomes = await case.send(writer, items)
    except AssociationLost as error:
        assert "does not say which instances it has stored" in str(error)  # noqa: PT017
    else:
        assert [one.kind for one in outcomes] == [OutcomeKind.TEMPORARY]


# -- what breaks ---------------------------------------------------------------------------------


async def hang_up(request: web.Request) -> web.StreamResponse:
    await request.content.readany()
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_a_connection_that_breaks_may_be_the_fault_of_an_instance(
    case: Case, writer: WebWriter
) -> None:
    writer.answers.append(hang_up)

    with pytest.raises(AssociationLost, match="the connection broke"):
        await case.send(writer, await case.items(2, size=2_000_000))

    assert [knock.path for knock in writer.knocks] == ["/dicom-web/studies?limit=1"]


async def test_a_connection_that_breaks_is_nobodys_fault_if_the_candidate_is_not_well(
    case: Case, writer: WebWriter
) -> None:
    async def starting(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    writer.answers.append(hang_up)
    writer.to_knocks = starting

    with pytest.raises(CandidateUnavailable, match="takes nothing at present"):
        await case.send(writer, await case.items(2, size=2_000_000))


async def test_nobody_there_is_nobodys_fault(case: Case, writer: WebWriter) -> None:
    with pytest.raises(CandidateUnavailable, match=r"no connection: .*refused"):
        await case.send(writer, await case.items(1), url="http://127.0.0.1:1/dicom-web")


async def test_a_candidate_that_does_not_answer_is_waited_for_so_long(
    tmp_path: Path, writer: WebWriter
) -> None:
    over = anyio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        await writer.read(request)
        await over.wait()
        return web.Response()

    writer.answers.append(wait)
    async with a_case(tmp_path, response_s=0.3) as case:
        with pytest.raises(PeerTimeout, match="did not answer within"):
            await case.send(writer, await case.items(1))
    over.set()


async def test_a_candidate_that_stops_reading_is_waited_for_so_long(
    tmp_path: Path, writer: WebWriter
) -> None:
    over = anyio.Event()

    async def stall(_request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    writer.answers.append(stall)
    async with a_case(tmp_path, response_s=0.5) as case:
        with pytest.raises(PeerTimeout, match="did not answer within"):
            await case.send(writer, await case.items(1, size=24 * 1024**2))
    over.set()


async def test_bytes_that_have_changed_never_leave_whole(case: Case, writer: WebWriter) -> None:
    items = await case.items(3)
    damage(case.folder, data_set(1))
    writer.answers.append(writer.answer(200, response(items)))

    outcomes = await case.send(writer, items)

    assert [one.kind for one in outcomes] == [
        OutcomeKind.TEMPORARY,
        OutcomeKind.PERMANENT,
        OutcomeKind.TEMPORARY,
    ]
    assert "does not match the checksum" in outcomes[1].reason
    assert items[1].sop_instance_uid in outcomes[0].reason
    assert writer.requests == []


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "server")


async def test_a_client_certificate_is_shown(case: Case, server: Identity, tmp_path: Path) -> None:
    router = make_identity(tmp_path, "router")
    files = TlsFiles(str(server.certificate), str(router.certificate), str(router.key))
    items = await case.items(1)
    async with web_writer(server.server_context(trusts=router)) as writer:
        writer.answers.append(writer.answer(200, response(items)))

        assert await case.send(writer, items, tls=files) == [STORED]


async def test_a_candidate_that_does_not_know_our_certificate_takes_nothing(
    case: Case, server: Identity, tmp_path: Path
) -> None:
    router = make_identity(tmp_path, "router")
    context = server.server_context(trusts=router)
    async with web_writer(context) as writer:
        with pytest.raises(CandidateUnavailable, match=r"not accept the certificate that we show"):
            await case.send(writer, await case.items(1), tls=TlsFiles(str(server.certificate)))


async def test_a_certificate_that_is_not_trusted_gets_nothing(case: Case, server: Identity) -> None:
    async with web_writer(server.server_context()) as writer:
        with pytest.raises(CandidateUnavailable, match=r"is not trusted: self.signed"):
            await case.send(writer, await case.items(1))

        assert writer.begun == 0


async def test_a_certificate_file_that_is_gone_is_named(case: Case, tmp_path: Path) -> None:
    async with web_writer(make_identity(tmp_path, "server").server_context()) as writer:
        with pytest.raises(CandidateUnavailable, match="a certificate cannot be used"):
            await case.send(writer, await case.items(1), tls=TlsFiles("/no/such/authority.pem"))


def test_nothing_but_a_verified_certificate_is_enough() -> None:
    context = tls_context(TlsFiles())

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
