"""What a delivery says, and whether it is tried again, when something else stands at its address.

A whole router sends a study to a candidate of each kind that is reached over HTTP.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.corpus import make_ct_series
from tests.delivery.web_writer import Handler, WebWriter, web_writer
from tests.e2e.stack import free_port
from tests.interop.conftest import LiveRouter, dcmsend, live_router
from tests.net.certificates import make_identity

SECRET = "the-secret-of-this-test"
KINDS = {
    "VNA": "stow-rs",
    "ORTHANC": "orthanc-rest",
    "TRANSFERS": "orthanc-transfers",
    "LAKE": "s3",
}
PAGE = "<html><head><title>x</title></head><body><h1>Somebody else</h1></body></html>"


def page(status: int) -> Handler:
    """A page for a person's browser, whatever is asked."""

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, text=PAGE, content_type="text/html")

    return handle


def refusing(status: int) -> Handler:
    """An answer as a service gives it to who shows the wrong credentials."""

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        said = "<Error><Code>InvalidAccessKeyId</Code><Message>who are you?</Message></Error>"
        return web.Response(status=status, text=said, content_type="application/xml")

    return handle


async def redirect_to_itself(request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.Response(status=307, headers={"Location": str(request.url)})


ANSWERS: dict[str, tuple[Handler, dict[str, str]]] = {
    "wrong credentials (401)": (
        refusing(401),
        {"": r"does not accept our credentials \(401", "s3": "401|[Uu]nauth"},
    ),
    "wrong credentials (403)": (
        refusing(403),
        {"": r"does not accept our credentials \(403", "s3": "InvalidAccessKeyId"},
    ),
    "a redirect loop": (
        redirect_to_itself,
        {"": r"redirects to 'http://.*'; redirects|redirects to", "s3": "redirect"},
    ),
    "a web page (200)": (
        page(200),
        {"": r"answers with a web page.*Somebody else", "s3": "does not answer as an object store"},
    ),
    "a web page (404)": (
        page(404),
        {"": "does not serve this path", "orthanc-rest": "is no Orthanc", "s3": "404"},
    ),
    "a web page (502)": (page(502), {"": r"answered 502: .*Somebody else", "s3": "502"}),
    "a web page (503)": (page(503), {"": r"takes nothing at present \(503", "s3": "503"}),
}


def candidates(writer: WebWriter, folder: Path, more: dict[str, Any] | None = None) -> str:
    """One of each kind, all at one address, in YAML."""
    (folder / "secret").write_text(SECRET)
    auth = {"user": "router", "password_file": str(folder / "secret")}
    sections: dict[str, Any] = {
        name: {"kind": kind, "url": writer.url, "auth": auth} for name, kind in KINDS.items()
    }
    sections["LAKE"]["bucket"] = "studies"
    for section in sections.values():
        section.update(more or {})
    return json.dumps(sections)


async def tried_twice(router: LiveRouter) -> dict[str, dict[str, Any]]:
    """Kind to delivery, when each has come to nothing, or for the second time."""

    def tried(answer: Any) -> bool:
        found = answer["deliveries"]
        return len(found) == len(KINDS) and all(
            one["attempts"] >= 2 or one["state"] == "dead" for one in found
        )

    answer = await router.until("every delivery is tried twice", tried, "/deliveries")
    assert SECRET not in json.dumps(answer)
    return {KINDS[one["ae_title"]]: one for one in answer["deliveries"]}


def reasons(found: dict[str, dict[str, Any]], says: dict[str, str]) -> dict[str, str]:
    """Kind to reason of those that do not say what they should."""
    return {
        kind: one["reason"]
        for kind, one in found.items()
        if not re.search(says.get(kind, says[""]), one["reason"])
    }


def ended(found: dict[str, dict[str, Any]]) -> set[tuple[str, str]]:
    """Kind and state of what will not be tried again by itself."""
    return {
        (kind, one["state"])
        for kind, one in found.items()
        if one["state"] not in ("retrying", "active")
    }


@pytest.mark.parametrize("fault", ANSWERS)
async def test_something_else_at_the_address_is_said_and_tried_again(
    fault: str, tmp_path: Path
) -> None:
    answer, says = ANSWERS[fault]
    make_ct_series(tmp_path / "in", instances=3, rows=8, columns=8)
    async with web_writer() as writer:
        writer.to_all = answer
        async with live_router(tmp_path / "router", candidates(writer, tmp_path)) as router:
            await dcmsend(router, tmp_path / "in")
            found = await tried_twice(router)

    assert reasons(found, says) == {}
    assert ended(found) == set()
    assert {one["delivered"] for one in found.values()} == {0}


async def test_a_certificate_that_is_not_trusted_is_said_and_tried_again(tmp_path: Path) -> None:
    make_ct_series(tmp_path / "in", instances=3, rows=8, columns=8)
    server, other = make_identity(tmp_path, "server"), make_identity(tmp_path, "other")
    authority = {"tls": {"authority": str(other.certificate)}}
    async with web_writer(server.server_context()) as writer:
        sections = candidates(writer, tmp_path, authority)
        async with live_router(tmp_path / "router", sections) as router:
            await dcmsend(router, tmp_path / "in")
            found = await tried_twice(router)

        assert writer.begun == 0
    assert reasons(found, {"": "its certificate is not trusted"}) == {}
    assert ended(found) == set()


async def test_nobody_at_the_address_is_said_and_tried_again(tmp_path: Path) -> None:
    make_ct_series(tmp_path / "in", instances=3, rows=8, columns=8)
    nobody = WebWriter(f"http://127.0.0.1:{free_port()}")
    async with live_router(tmp_path / "router", candidates(nobody, tmp_path)) as router:
        await dcmsend(router, tmp_path / "in")
        found = await tried_twice(router)

    assert reasons(found, {"": "no connection: .*refused"}) == {}
    assert ended(found) == set()


async def test_where_only_the_study_meets_a_web_page_it_is_dead_or_tried_again_by_kind(
    tmp_path: Path,
) -> None:
    """As a proxy answers with a limit of its own, or for a server that broke on what it got."""
    make_ct_series(tmp_path / "in", instances=3, rows=8, columns=8)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"Version": "1.12"})
        return await page(502)(request)

    async with web_writer() as writer:
        writer.to_all = answer
        async with live_router(tmp_path / "router", candidates(writer, tmp_path)) as router:
            await dcmsend(router, tmp_path / "in")
            await router.until(
                "those that send instances alone have given up",
                lambda answer: sum(one["state"] == "dead" for one in answer["deliveries"]) == 2,
                "/deliveries",
            )
            found = await tried_twice(router)

    assert reasons(found, {"": "502.*Somebody else", "s3": "502|web page"}) == {}
    assert ended(found) == {("stow-rs", "dead"), ("orthanc-rest", "dead")}
