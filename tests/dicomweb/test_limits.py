"""Who may store, how many at a time, and for how long the router waits for them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import anyio

from router.clock import SystemClock
from router.dicom.negotiation import AcceptancePolicy
from router.dicomweb.application import Stow, StowLimits
from router.http.server import serve_http
from router.ingress.uploads import UploadPolicy, Uploads
from tests.dicomweb.uploading import (
    MULTIPART,
    PATIENCE_S,
    FullRouter,
    StowRouter,
    begin,
    body_of,
    file_of,
    part,
    post,
    post_files,
    study_of,
)
from tests.e2e.stack import running, wait_until
from tests.ingress.doorway import DeadLedger, a_doorway


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    router = StowRouter(tmp_path / "router", {}, token_file=str(token))
    [one] = study_of(1)
    body = body_of([file_of(one)])
    with running(router):
        without = post(router, body)
        wrong = post(router, body, headers={"Authorization": "Bearer guess"})
        right = post(router, body, headers={"Authorization": "Bearer secret"})

    assert (without.status, wrong.status, right.status) == (401, 401, 200)
    assert without.headers["WWW-Authenticate"] == "Bearer"


def test_requests_beyond_the_limit_are_asked_to_come_again(tmp_path: Path) -> None:
    router = StowRouter(tmp_path / "router", {}, max_requests=1)
    [one] = study_of(1)
    with running(router):
        with closing(begin(router, 1000)) as first:
            first.sendall(part(b""))
            refused = wait_until(
                lambda: (answer := post_files(router, [file_of(one)])).status == 503 and answer,
                "the limit is reached",
            )
        wait_until(lambda: post_files(router, [file_of(one)]).status == 200, "there is room again")

    assert int(refused.headers["Retry-After"]) > 0


def test_a_full_spool_is_out_of_resources_and_asks_to_come_again(tmp_path: Path) -> None:
    router = FullRouter(tmp_path / "router", {"spool": {"min_free": "1000TB"}})
    study = study_of(2)
    with running(router):
        answer = post_files(router, [file_of(one) for one in study])

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert {reason for reason, _ in answer.failed.values()} == {0xA700}


def test_a_body_that_stands_still_is_given_up_and_what_is_whole_is_kept(tmp_path: Path) -> None:
    router = StowRouter(tmp_path / "router", {"router": {"timeouts": {"message": "500ms"}}})
    whole, torn = study_of(2)
    with running(router), closing(begin(router, 100_000)) as connection:
        connection.sendall(part(file_of(whole)) + part(file_of(torn))[:900])
        answer = connection.recv(100_000)

        assert answer.startswith(b"HTTP/1.1 202 ")
        assert b"stood still" in answer
        assert router.study(whole.StudyInstanceUID)["instances"] == 1


def test_a_router_that_stops_finishes_the_requests_that_have_begun(tmp_path: Path) -> None:
    router = StowRouter(tmp_path / "router", {})
    study = study_of(2)
    body = body_of([file_of(one) for one in study])
    with running(router), closing(begin(router, len(body))) as connection:
        connection.sendall(body[:3000])
        wait_until(lambda: router.study(study[0].StudyInstanceUID), "the request has begun")
        router.child.terminate()
        wait_until(lambda: "stopping" in router.log.read_text(), "it stops")
        connection.sendall(body[3000:])

        assert connection.recv(100_000).startswith(b"HTTP/1.1 200 ")
        assert router.child.wait(30) == 0


def test_a_router_that_stops_begins_no_other_request(tmp_path: Path) -> None:
    router = StowRouter(tmp_path / "router", {})
    [one] = study_of(1)
    body = body_of([file_of(one)])
    kept = HTTPConnection("127.0.0.1", router.stow_port, timeout=PATIENCE_S)
    with running(router), closing(begin(router, len(body))) as first, closing(kept):
        first.sendall(body[:100])
        kept.request("POST", "/dicom-web/studies", body, {"Content-Type": MULTIPART})
        assert kept.getresponse().read()
        router.child.terminate()
        wait_until(lambda: "stopping" in router.log.read_text(), "it stops")
        kept.request("POST", "/dicom-web/studies", body, {"Content-Type": MULTIPART})
        refused = kept.getresponse()

        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert b"the router is stopping" in refused.read()
        first.sendall(body[100:])
        assert first.recv(100_000).startswith(b"HTTP/1.1 200 ")


@dataclass(frozen=True)
class Served:
    """STOW-RS of this process."""

    stow_port: int


async def test_while_the_ledger_lags_too_far_requests_are_asked_to_come_again(
    tmp_path: Path,
) -> None:
    body = body_of([file_of(one) for one in study_of(2)])
    async with a_doorway(tmp_path, ledger=DeadLedger(), limit=2) as doorway:
        uploads = Uploads(
            doorway.door,
            doorway.watched,
            AcceptancePolicy(),
            UploadPolicy("STOW", "ROUTER"),
        )
        stow = Stow(uploads, SystemClock(), StowLimits(), readiness=list)
        async with serve_http(stow.application(), "127.0.0.1", 0) as server:
            taken = await anyio.to_thread.run_sync(post, Served(server.port), body)
            refused = await anyio.to_thread.run_sync(post, Served(server.port), body)

    assert (taken.status, refused.status) == (200, 503)
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.detail == "the ledger lags behind; send again later"
