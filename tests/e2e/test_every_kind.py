"""Every kind of candidate through a whole router: from dcmtk's C-STORE to its destination.

One made from a protocol's source instead of the real server says so in its name.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nats
import pytest

from router.domain.lonk import DONE
from tests import peers, rabbitmq
from tests.corpus import make_ct_series, make_dx
from tests.delivery import cube_backend
from tests.delivery.object_store import Store, object_store
from tests.delivery.transfers_peer import transfers_peer
from tests.e2e.stack import RouterProcess, data_set_of, free_port, running, wait_until
from tests.interop.conftest import run_blocking
from tests.net.certificates import make_identity

SECRET = rabbitmq.PASSWORD
"""Of every destination that wants one."""
USERS: dict[str, Any] = {"AuthenticationEnabled": True, "RegisteredUsers": {"router": SECRET}}
"""Whom an Orthanc lets in."""
SETTINGS = {
    "completion": {"quiet_after": "500ms", "stable_after": "5s"},
    "delivery": {"retry": {"first": "200ms", "max": "1s"}},
}


@dataclass(frozen=True)
class Site:
    """A destination: how the routing YAML names it, and the data sets that it holds."""

    candidate: dict[str, Any]
    held: Callable[[], Iterable[bytes]]


# -- the destinations ----------------------------------------------------------------------------


def password_file(folder: Path) -> str:
    """Where the YAML says that the secret is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text(SECRET)
    return str(folder / "password")


@asynccontextmanager
async def a_folder(folder: Path) -> AsyncIterator[Site]:
    folder.mkdir()
    yield Site(
        {"kind": "folder", "path": str(folder)},
        lambda: map(data_set_of, folder.rglob("*.dcm")),
    )


@asynccontextmanager
async def a_bucket(folder: Path) -> AsyncIterator[Site]:
    auth = {"user": "router", "password_file": password_file(folder)}
    with object_store(folder) as url:
        store = Store(url)
        store.make()

        def held() -> Iterable[bytes]:
            for number, (name, content) in enumerate(store.objects().items()):
                if name.endswith(".dcm"):
                    (folder / str(number)).write_bytes(content)
                    yield data_set_of(folder / str(number))

        yield Site({"kind": "s3", "url": url, "bucket": store.bucket, "auth": auth}, held)


@asynccontextmanager
async def an_orthanc(folder: Path) -> AsyncIterator[Site]:
    auth = {"user": "router", "password_file": password_file(folder)}
    with peers.orthanc(folder, **USERS) as peer:
        yield Site(
            {"kind": "orthanc-rest", "url": peer.url, "auth": auth},
            lambda: peer.data_sets().values(),
        )


@asynccontextmanager
async def a_dicomweb_server(folder: Path) -> AsyncIterator[Site]:
    auth = {"user": "router", "password_file": password_file(folder)}
    plugin = peers.orthanc_plugin("OrthancDicomWeb")
    with peers.orthanc(folder, Plugins=[plugin], **USERS) as peer:
        yield Site(
            {"kind": "stow-rs", "url": f"{peer.url}/dicom-web", "auth": auth},
            lambda: peer.data_sets().values(),
        )


@asynccontextmanager
async def transfers_after_the_source_of_the_plugin(folder: Path) -> AsyncIterator[Site]:
    with peers.orthanc(folder) as peer:
        async with transfers_peer(peer.url) as front:
            yield Site(
                {"kind": "orthanc-transfers", "url": front.url, "gzip": True},
                lambda: peer.data_sets().values(),
            )


@asynccontextmanager
async def storescp_over_tls(folder: Path) -> AsyncIterator[Site]:
    folder.mkdir()
    server, router = make_identity(folder, "server"), make_identity(folder, "router")
    keys = ("+tls", str(server.key), str(server.certificate))
    mutual = ("-rc", "+cf", str(router.certificate))
    stored, port = folder / "stored", free_port()
    stored.mkdir()
    command = [str(peers.PROGRAMS["dcmtk"]), "-od", str(stored), "+B", "+xa", *keys, *mutual]
    with peers.process([*command, str(port)], folder / "storescp.log"):
        await run_blocking(wait_until, lambda: peers.listens(port), "storescp listens")
        tls = {"authority": server.certificate, "certificate": router.certificate}
        files = {name: str(path) for name, path in {**tls, "key": router.key}.items()}
        yield Site(
            {"host": "127.0.0.1", "port": port, "tls": files},
            lambda: map(data_set_of, stored.iterdir()),
        )


@asynccontextmanager
async def chris_after_the_source_of_oxidicom(folder: Path) -> AsyncIterator[Site]:
    """With RabbitMQ and NATS over TLS, and passwords for both."""
    password = password_file(folder)
    server, site = make_identity(folder, "server"), make_identity(folder, "site")
    router = make_identity(folder, "router", issuer=site)
    tls = {"authority": server.certificate, "certificate": router.certificate, "key": router.key}
    files = {name: str(path) for name, path in tls.items()}
    door = (
        f'authorization {{ user: router, password: "{SECRET}" }}\n'
        f"tls {{ cert_file: {server.certificate}, key_file: {server.key} }}\n"
    )
    with (
        rabbitmq.rabbitmq(folder / "rabbitmq", server, trusts=site) as broker,
        peers.nats_server(folder / "nats", door) as nats_port,
    ):
        known = f"{rabbitmq.USER}:{quote(SECRET, safe='')}@127.0.0.1:{broker.port}"
        url = f"tls://127.0.0.1:{nats_port}"
        watcher = await nats.connect(
            url, user="router", password=SECRET, tls=router.client_context(trusts=server)
        )
        subscription = await watcher.subscribe("oxidicom.>")
        await watcher.flush()
        with cube_backend.cube(folder / "cube", f"amqp://{known}//") as cube:
            yield Site(
                {
                    "kind": "chris",
                    "path": str(cube.files),
                    "broker": f"amqps://127.0.0.1:{broker.tls_port}",
                    "auth": {"user": rabbitmq.USER, "password_file": password},
                    "tls": files,
                    "nats": url,
                    "nats_auth": {"user": "router", "password_file": password},
                    "nats_tls": {"authority": files["authority"]},
                },
                lambda: wait_until(lambda: len(cube.told()) == 2 and cube.shown(), "CUBE is told"),
            )
        await watcher.publish("oxidicom.end")
        told = []
        while (message := await subscription.next_msg(20)).subject != "oxidicom.end":
            told.append(message.data)
        await watcher.close()
        assert told.count(DONE) == 2


SITES: dict[str, Callable[[Path], AbstractAsyncContextManager[Site]]] = {
    "folder": a_folder,
    "s3": a_bucket,
    "orthanc-rest": an_orthanc,
    "stow-rs": a_dicomweb_server,
    "orthanc-transfers after the source of the plugin": transfers_after_the_source_of_the_plugin,
    "dimse over TLS": storescp_over_tls,
    "chris after the source of oxidicom": chris_after_the_source_of_oxidicom,
}


# -- what holds for each of them -----------------------------------------------------------------


def deliveries(router: RouterProcess, count: int) -> list[dict[str, Any]]:
    """So many deliveries, all of them delivered, each as the API shows it in full."""

    def delivered() -> list[Any]:
        found = router.get("/deliveries")["deliveries"]
        done = len(found) == count and all(one["state"] == "delivered" for one in found)
        return found if done else []

    return [router.get(f"/deliveries/{one['id']}") for one in wait_until(delivered, "delivered")]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", SITES)
async def test_studies_arrive_byte_for_byte_and_no_secret_is_shown(
    kind: str, tmp_path: Path
) -> None:
    paths = [*make_ct_series(tmp_path / "in", instances=10, rows=64, columns=64)]
    paths.append(make_dx(tmp_path / "in", rows=2048, columns=2304))  # more than 8 MiB
    async with SITES[kind](tmp_path / "site") as site:
        router = RouterProcess(
            tmp_path / "router", {**SETTINGS, "candidates": {"SITE": site.candidate}}
        )
        with running(router):
            send = ("dcmsend", "+sd", *peers.ROUTER, str(router.dicom_port), str(tmp_path / "in"))
            assert (await run_blocking(peers.dcmtk, *send)).returncode == 0
            delivered = await run_blocking(deliveries, router, 2)
            candidates = await run_blocking(router.get, "/candidates")
            held = list(await run_blocking(site.held))

        assert sorted(held) == sorted(map(data_set_of, paths))
        assert sorted(one["delivery"]["delivered"] for one in delivered) == [1, 10]
        shown = json.dumps([delivered, candidates]).encode()
        kept = b"".join(path.read_bytes() for path in (tmp_path / "router").rglob("ledger*"))
        assert kept
        for text in (shown, router.log.read_bytes(), kept):
            assert SECRET.encode() not in text
