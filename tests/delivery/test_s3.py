"""Studies as objects in an S3-compatible store: moto's server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from yarl import URL

from router.clock import SystemClock
from router.delivery.destinations import s3
from router.delivery.destinations.s3 import S3Destination
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable, PeerTimeout
from router.domain.paths import parse_template
from router.domain.reach import Credentials, S3Reach, Secret
from router.net.exchange import RequestorTimeouts
from router.spool.log import LocalSpool
from tests.delivery.builders import delivery
from tests.delivery.object_store import Store, object_store
from tests.delivery.spooled import damage, item_of
from tests.delivery.web_writer import Handler, data_set_of, web_writer
from tests.interop.conftest import run_blocking
from tests.net.certificates import make_identity
from tests.spool.helpers import a_spool, data_set, store

STORED = Outcome(OutcomeKind.STORED, 0x0000, "")
TEMPLATE = parse_template("archive/{StudyInstanceUID}/{SOPInstanceUID}.dcm")
STUDY = "archive/1.2.3"
MIB = 1024**2


@dataclass
class Case:
    """A router's side of a bucket."""

    spool: LocalSpool
    folder: Path
    store: Store

    async def items(self, *sizes: int, first: int = 0) -> list[DeliveryItem]:
        """Instances of these sizes, in the spool."""
        return [
            item_of(await store(self.spool, number, data_set(number, size)), number)
            for number, size in enumerate(sizes, first)
        ]

    async def send(
        self,
        items: Sequence[DeliveryItem],
        response_s: float = 50.0,
        rate: int | None = None,
        **changes: Any,
    ) -> Sequence[Outcome]:
        """One transfer."""
        destination = S3Destination(
            self.spool, SystemClock(), RequestorTimeouts(2.0, 2.0, response_s)
        )
        credentials = Credentials(Secret(variable="S3_SECRET"), "router")
        reach = S3Reach(self.store.url, self.store.bucket, "us-east-1", credentials, TEMPLATE)
        candidate = Candidate("LAKE", "", 0, "s3", replace(reach, **changes), rate=rate)
        of_study = replace(delivery(), study_instance_uid="1.2.3")
        with anyio.fail_after(60):
            return await destination.transfer(candidate, of_study, items)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
async def case(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    monkeypatch.setenv("S3_SECRET", "secret")
    bucket = Store(server)
    bucket.make()
    async with a_spool(tmp_path / "spool") as spool:
        yield Case(spool, tmp_path / "spool", bucket)


async def test_a_study_is_published_with_its_manifest(case: Case) -> None:
    sizes = [1000, 20 * MIB, 0, 3000]
    items = await case.items(*sizes)

    assert await case.send(items) == [STORED] * 4

    assert case.store.holds(STUDY)
    assert case.store.uploads() == 0
    objects = case.store.objects()
    assert objects.keys() == {
        f"{STUDY}/_SUCCESS",
        *(f"{STUDY}/{item.sop_instance_uid}.dcm" for item in items),
    }
    assert [data_set_of(objects[f"{STUDY}/{item.sop_instance_uid}.dcm"]) for item in items] == [
        data_set(number, size) for number, size in enumerate(sizes)
    ]


@dataclass
class Passage:
    """What stands between the router and a store; at the second part of an upload, ``event``."""

    to: str
    event: Handler
    url: str = ""
    aborts: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, but for the second part."""
        if request.method == "PUT" and request.query.get("partNumber") == "2":
            return await self.event(request)
        self.aborts += request.method == "DELETE" and "uploadId" in request.query
        return await self.pass_on(request)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Ask the store."""
        headers = {key: value for key, value in request.headers.items() if key != "Host"}
        url, body = URL(self.to + request.raw_path, encoded=True), await request.read()
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, data=BytesIO(body), headers=headers) as answer,
        ):
            kept = {
                key: answer.headers[key]
                for key in ("ETag", "Content-Type")
                if key in answer.headers
            }
            return web.Response(body=await answer.read(), status=answer.status, headers=kept)


@asynccontextmanager
async def passage(to: str, event: Handler) -> AsyncIterator[Passage]:
    """A way to a store, on a free port."""
    made = Passage(to, event)
    app = web.Application(client_max_size=1024**3)
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def refuse_it(request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.Response(status=500)


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def nothing_is_left(case: Case) -> None:
    """Nothing of an upload stays in the store, nor a manifest that counts on it."""
    assert await run_blocking(case.store.uploads) == 0
    assert await run_blocking(case.store.objects) == {}


@pytest.mark.parametrize("event", [refuse_it, hang_up])
async def test_an_upload_whose_store_breaks_off_is_aborted(case: Case, event: Handler) -> None:
    items = await case.items(20 * MIB)

    async with passage(case.store.url, event) as way:
        with pytest.raises(CandidateUnavailable, match="LAKE at"):
            await case.send(items, url=way.url)

        await nothing_is_left(case)
        assert way.aborts  # so there was an upload


async def test_an_upload_whose_bytes_change_under_it_is_aborted(case: Case) -> None:
    size = 64 * MIB  # the middle is not read yet when two parts are under way
    items = await case.items(size)

    async def change(request: web.Request) -> web.StreamResponse:
        damage(case.folder, data_set(0, size))
        return await way.pass_on(request)

    async with passage(case.store.url, change) as way:
        outcomes = await case.send(items, url=way.url)

        assert {one.kind for one in outcomes} == {OutcomeKind.PERMANENT}
        assert "does not match the checksum" in outcomes[0].reason
        await nothing_is_left(case)
        assert way.aborts  # so there was an upload


async def test_an_upload_that_is_interrupted_shows_nothing_and_the_next_one_is_whole(
    case: Case,
) -> None:
    """Its parts may stay: the client aborts nothing when it is cancelled."""
    items, begun = await case.items(20 * MIB), anyio.Event()

    async def wait(_request: web.Request) -> web.StreamResponse:
        begun.set()
        await anyio.sleep_forever()
        return web.Response()

    async with passage(case.store.url, wait) as way, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(case.send, items, url=way.url))
        await begun.wait()
        tasks.cancel_scope.cancel()

    assert await run_blocking(case.store.objects) == {}
    assert await case.send(items) == [STORED]
    assert await run_blocking(case.store.holds, STUDY)
    assert len(await run_blocking(case.store.objects)) == 2


async def test_a_later_revision_joins_the_study_and_its_manifest(case: Case) -> None:
    await case.send(await case.items(1000, 1000))
    await case.send(await case.items(1000, first=2))

    assert case.store.holds(STUDY)
    assert len(case.store.objects()) == 4


async def test_an_object_may_take_as_long_as_the_rate_of_the_candidate_asks_for(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.delivery.destinations.s3.SLOWEST_BYTES_PER_S", 1e12)
    items = await case.items(20 * MIB)

    assert await case.send(items, response_s=8.0, rate=2 * MIB) == [STORED]  # takes 10 s

    assert case.store.holds(STUDY)


async def test_bytes_that_have_changed_keep_the_whole_study_back(case: Case) -> None:
    items = await case.items(1000, 1000, 1000)
    damage(case.folder, data_set(1))

    outcomes = await case.send(items)

    assert {one.kind for one in outcomes} == {OutcomeKind.PERMANENT}
    assert "does not match the checksum" in outcomes[1].reason
    assert case.store.objects() == {}


@pytest.mark.parametrize("call", range(6))
async def test_wherever_publishing_breaks_off_a_manifest_never_says_too_much(
    case: Case, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    await case.send(await case.items(1000, 1000))
    later = await case.items(1000, 1000, first=2)
    put, calls = s3._Bucket.put, count()

    async def break_off(bucket: Any, path: str, body: Any, length: int) -> None:
        if next(calls) >= call:
            raise CandidateUnavailable("the store has gone")
        await put(bucket, path, body, length)

    with monkeypatch.context() as patched:
        patched.setattr(s3._Bucket, "put", break_off)
        try:
            await case.send(later)
        except CandidateUnavailable as error:
            assert str(error) == "the store has gone"  # noqa: PT017
    assert case.store.holds(STUDY)

    await case.send(later)

    assert f"{STUDY}/_SUCCESS" in case.store.objects()
    assert case.store.holds(STUDY)
    assert len(case.store.objects()) == 5


async def test_a_bucket_that_is_not_there_says_so(case: Case) -> None:
    with pytest.raises(CandidateUnavailable, match=r"LAKE at .*/no-such-bucket: .*NoSuchBucket"):
        await case.send(await case.items(1000), bucket="no-such-bucket")


async def test_nobody_there_is_nobodys_fault(case: Case) -> None:
    with pytest.raises(CandidateUnavailable, match=r"LAKE at http://127.0.0.1:1/"):
        await case.send(await case.items(1000), url="http://127.0.0.1:1")


async def test_credentials_that_are_wrong_say_so(case: Case) -> None:
    said = "<Error><Code>SignatureDoesNotMatch</Code><Message>check your key</Message></Error>"

    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text=said, content_type="application/xml")

    async with web_writer() as writer:
        writer.to_knocks = refuse
        with pytest.raises(CandidateUnavailable, match="SignatureDoesNotMatch"):
            await case.send(await case.items(1000), url=writer.url)


async def test_a_store_over_tls_is_trusted_if_the_authority_that_is_named_issued_its_certificate(
    case: Case, tmp_path: Path
) -> None:
    site, other = make_identity(tmp_path, "site"), make_identity(tmp_path, "other")
    with object_store(tmp_path / "moto", make_identity(tmp_path, "store", issuer=site)) as url:
        case.store = Store(url, site.certificate)
        await run_blocking(case.store.make)
        items = await case.items(1000, 20 * MIB)

        for authority in ("", str(other.certificate)):
            with pytest.raises(CandidateUnavailable, match="its certificate is not trusted"):
                await case.send(items, authority=authority)
        assert await case.send(items, authority=str(site.certificate)) == [STORED] * 2

        assert await run_blocking(case.store.holds, STUDY)


async def test_an_authority_that_cannot_be_read_is_named(case: Case) -> None:
    with pytest.raises(CandidateUnavailable, match="a certificate cannot be used"):
        await case.send(await case.items(1000), authority="/no/such/file.pem")


async def test_a_secret_that_is_gone_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_SECRET")

    with pytest.raises(CandidateUnavailable, match="environment variable S3_SECRET cannot be read"):
        await case.send(await case.items(1000))


async def test_a_store_that_does_not_answer_is_waited_for_so_long(case: Case) -> None:
    over = anyio.Event()

    async def wait(_request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with web_writer() as writer:
        writer.to_knocks = wait
        with pytest.raises((PeerTimeout, CandidateUnavailable), match="LAKE at"):
            await case.send(await case.items(1000), response_s=0.5, url=writer.url)
        over.set()
