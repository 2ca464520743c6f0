"""Real DICOMweb servers as candidates of kind stow-rs, and how they let the router in.

Orthanc with its DICOMweb plugin, and the embedded writer. No server here is a stand-in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from router.clock import SystemClock
from router.delivery.destinations.stow import StowDestination
from router.delivery.destinations.web import Web
from router.domain.candidate import Candidate
from router.domain.delivery import OutcomeKind
from router.domain.instance import Identity
from router.domain.reach import WebReach
from router.net.exchange import RequestorTimeouts
from router.spool.log import LocalSpool
from tests.candidates.writers import running_stow_writer
from tests.corpus import make_ct_series, make_dx
from tests.delivery.builders import delivery
from tests.delivery.spooled import item_of, put
from tests.e2e.stack import WriterProcess, data_set_of, free_port, running, wait_until
from tests.ingress.doorway import CT, PLAIN, SERIES, STUDY, attributes, encoded
from tests.interop.conftest import dcmsend, live_router
from tests.net.certificates import Identity as Certified
from tests.net.certificates import make_identity
from tests.peers import haproxy, listens, orthanc, orthanc_plugin


async def test_a_dicomweb_server_holds_the_same_bytes(data_folder: Path, tmp_path: Path) -> None:
    paths = [*make_ct_series(tmp_path / "in", instances=40, rows=64, columns=64)]
    paths.append(make_dx(tmp_path / "in", rows=2048, columns=2048))  # more than one piece
    plugin = orthanc_plugin("OrthancDicomWeb")
    with orthanc(tmp_path / "orthanc", Plugins=[plugin]) as peer:
        candidate = f"{{VNA: {{kind: stow-rs, url: '{peer.url}/dicom-web/'}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, tmp_path / "in")
            await router.settled(studies=2)
            listed = (await router.get("/deliveries"))["deliveries"]

        assert sorted(one["delivered"] for one in listed) == [1, 40]
        assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))


# -- who is let in -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Door:
    """A server that lets in who shows the right thing."""

    candidate: str
    held: Callable[[], dict[str, bytes]]
    put_right: Callable[[], object]
    """Give the router what it needs in place of something wrong."""
    refusal: str
    """What a delivery says until then."""


@contextmanager
def the_writer_with_a_bearer_token(folder: Path) -> Iterator[Door]:
    token, port = folder / "token", free_port()
    token.write_text("guess\n")
    writer = WriterProcess(folder, "WRITER", "", None)
    del writer.environment["ROUTER_URL"]
    writer.arguments.extend(["--http", f"127.0.0.1:{port}", "--http-token", "secret"])
    with running(writer):
        wait_until(lambda: listens(port), "the writer listens")
        yield Door(
            f"url: 'http://127.0.0.1:{port}/dicom-web', auth: {{token_file: {token}}}",
            writer.data_sets,
            lambda: token.write_text("secret\n"),
            "does not accept our credentials (401",
        )


@contextmanager
def orthanc_with_a_password(folder: Path) -> Iterator[Door]:
    password = folder / "password"
    password.write_text("guess\n")
    users: dict[str, Any] = {"AuthenticationEnabled": True, "RegisteredUsers": {"router": "secret"}}
    with orthanc(folder, Plugins=[orthanc_plugin("OrthancDicomWeb")], **users) as peer:
        yield Door(
            f"url: '{peer.url}/dicom-web', auth: {{user: router, password_file: {password}}}",
            peer.data_sets,
            lambda: password.write_text("secret\n"),
            "does not accept our credentials (401",
        )


@contextmanager
def orthanc_behind_a_proxy_that_knows_certificates(folder: Path) -> Iterator[Door]:
    """Debian's Orthanc ends in a segmentation fault when it is shown one."""
    server, right, wrong = (make_identity(folder, name) for name in ("server", "right", "wrong"))
    both = folder / "both.pem"
    both.write_bytes(server.certificate.read_bytes() + server.key.read_bytes())
    shown = folder / "shown.pem"

    def show(identity: Certified) -> None:
        shown.write_bytes(identity.certificate.read_bytes() + identity.key.read_bytes())

    show(wrong)
    with (
        orthanc(folder, Plugins=[orthanc_plugin("OrthancDicomWeb")]) as peer,
        haproxy(folder / "proxy", url_port(peer.url), both, right.certificate) as port,
    ):
        tls = f"{{authority: {server.certificate}, certificate: {shown}}}"
        yield Door(
            f"url: 'https://127.0.0.1:{port}/dicom-web', tls: {tls}",
            peer.data_sets,
            lambda: show(right),
            "does not accept the certificate that we show",
        )


def url_port(url: str) -> int:
    """The port that a URL names."""
    port = urlsplit(url).port
    assert port is not None
    return port


DOORS: dict[str, Callable[[Path], AbstractContextManager[Door]]] = {
    "bearer token, the embedded writer": the_writer_with_a_bearer_token,
    "basic, Orthanc": orthanc_with_a_password,
    "certificate, HAProxy before Orthanc": orthanc_behind_a_proxy_that_knows_certificates,
}


@pytest.mark.parametrize("door", DOORS)
async def test_who_shows_the_wrong_thing_stores_nothing_until_it_is_put_right(
    data_folder: Path, tmp_path: Path, door: str
) -> None:
    paths = make_ct_series(tmp_path / "in", instances=3, rows=8, columns=8)
    (tmp_path / "site").mkdir()
    with DOORS[door](tmp_path / "site") as site:
        async with live_router(data_folder, f"{{VNA: {{kind: stow-rs, {site.candidate}}}}}") as it:
            await dcmsend(it, tmp_path / "in")
            await it.until("it is refused", lambda said: site.refusal in str(said), "/deliveries/1")
            assert site.held() == {}
            site.put_right()
            await it.settled(studies=1)

        assert sorted(site.held().values()) == sorted(map(data_set_of, paths))


# -- a server that stores all or nothing ---------------------------------------------------------


async def test_the_conflict_of_the_embedded_writer_is_read_per_instance(
    spool: LocalSpool, tmp_path: Path
) -> None:
    items = []
    for number, changes in enumerate(({}, {"StudyInstanceUID": None}, {})):
        made = attributes(number, **changes)
        named = Identity(CT, made.SOPInstanceUID, STUDY, SERIES, PLAIN)
        items.append(item_of(await put(spool, named, encoded(made)), number))
    destination = StowDestination(spool, Web(RequestorTimeouts(5.0, 5.0, 20.0)), SystemClock())
    async with running_stow_writer(tmp_path / "writer") as writer:
        reach = WebReach(f"http://127.0.0.1:{writer.stow_port}/dicom-web", None, None)
        candidate = Candidate("VNA", "127.0.0.1", writer.stow_port, "stow-rs", reach)
        together = await destination.transfer(candidate, delivery(), items)
        held_before = writer.held()
        again = await destination.transfer(candidate, delivery(), [items[0], items[2]])
        held = {one.instance for one in writer.held()}

    assert [(one.kind, one.status) for one in together] == [
        (OutcomeKind.TEMPORARY, 0x0110),
        (OutcomeKind.PERMANENT, 0xC000),
        (OutcomeKind.TEMPORARY, 0x0110),
    ]
    assert held_before == []
    assert {one.kind for one in again} == {OutcomeKind.STORED}
    assert held == {items[0].sop_instance_uid, items[2].sop_instance_uid}
