"""Progress over NATS: whom a real server lets in, and what is said when it does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest
from structlog.testing import capture_logs

from router.clock import SystemClock
from router.delivery.destinations.progress import telling
from router.domain.lonk import DONE
from router.domain.reach import Credentials, NatsKey, Progress, Secret, TlsFiles
from tests import peers
from tests.delivery.nats_keys import USER, Key, operated
from tests.e2e.stack import free_port
from tests.net.certificates import Identity, make_identity

SERIES = ("PACS", "1.2.3")
PASSWORD, WRONG = "the password of NATS", "not the password"
PATIENCE_S = 20.0


async def told(progress: Progress) -> list[str]:
    """Tell that a series is done; what the log says of it, but for its fixed words."""
    with capture_logs() as logs:
        async with telling("CHRIS", progress, SystemClock(), PATIENCE_S) as teller:
            await teller.done(SERIES, 3)
    assert not any(secret in str(logs) for secret in (PASSWORD, WRONG))
    assert all(log["ae_title"] == "CHRIS" for log in logs)
    return [log["error"] for log in logs]


@asynccontextmanager
async def watching(url: str, **known: Any) -> AsyncIterator[list[bytes]]:
    """All that is told while the block runs, for who looks after it."""
    heard: list[bytes] = []
    client = await nats.connect(url, **known)
    try:
        subscription = await client.subscribe("oxidicom.>")
        await client.flush()
        yield heard
        await client.publish("oxidicom.end")
        while (message := await subscription.next_msg(PATIENCE_S)).subject != "oxidicom.end":
            heard.append(message.data)
    finally:
        await client.close()


@dataclass(frozen=True)
class Door:
    """A server's configuration, what opens it, what does not, and what another client shows."""

    configuration: str
    right: Credentials | NatsKey
    wrong: Credentials | NatsKey
    known: dict[str, Any]


def in_file(folder: Path, name: str, text: str) -> Secret:
    (folder / name).write_text(f"{text}\n")
    return Secret(str(folder / name))


def password(folder: Path) -> Door:
    right, wrong = in_file(folder, "right", PASSWORD), in_file(folder, "wrong", WRONG)
    return Door(
        f'authorization {{ user: router, password: "{PASSWORD}" }}',
        Credentials(right, "router"),
        Credentials(wrong, "router"),
        {"user": "router", "password": PASSWORD},
    )


def token(folder: Path) -> Door:
    right, wrong = in_file(folder, "right", PASSWORD), in_file(folder, "wrong", WRONG)
    configuration = f'authorization {{ token: "{PASSWORD}" }}'
    return Door(configuration, Credentials(right), Credentials(wrong), {"token": PASSWORD})


def nkey(folder: Path) -> Door:
    key, other = Key.made(USER), Key.made(USER)
    return Door(
        f"authorization {{ users: [ {{ nkey: {key.public} }} ] }}",
        NatsKey(in_file(folder, "right", key.seed)),
        NatsKey(in_file(folder, "wrong", other.seed)),
        {"nkeys_seed_str": key.seed},
    )


def creds(folder: Path) -> Door:
    configuration, file = operated()
    _, foreign = operated()
    right = in_file(folder, "right.creds", file)
    return Door(
        configuration,
        NatsKey(right, has_jwt=True),
        NatsKey(in_file(folder, "wrong.creds", foreign), has_jwt=True),
        {"user_credentials": right.file},
    )


@pytest.mark.parametrize("kind", [password, token, nkey, creds], ids=lambda kind: kind.__name__)
async def test_a_server_hears_whom_it_lets_in(kind: Callable[[Path], Door], tmp_path: Path) -> None:
    door = kind(tmp_path)
    with peers.nats_server(tmp_path / "nats", door.configuration) as port:
        url = f"nats://127.0.0.1:{port}"
        async with watching(url, **door.known) as heard:
            assert await told(Progress(url, "oxidicom", door.right)) == []
            for other in (door.wrong, None):
                (said,) = await told(Progress(url, "oxidicom", other))
                assert "Authorization Violation" in said

    assert heard.count(DONE) == 1


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "server")


@pytest.fixture
def router(tmp_path: Path) -> Identity:
    return make_identity(tmp_path, "router")


@contextmanager
def over_tls(folder: Path, server: Identity, router: Identity) -> Iterator[int]:
    """A NATS server that wants a certificate and a password."""
    tls = f"cert_file: {server.certificate}, key_file: {server.key}, ca_file: {router.certificate}"
    configuration = f"{password(folder).configuration}\ntls {{ {tls}, verify: true }}\n"
    with peers.nats_server(folder / "nats", configuration) as port:
        yield port


async def test_over_tls_with_certificates_on_both_sides(
    tmp_path: Path, server: Identity, router: Identity
) -> None:
    files = TlsFiles(str(server.certificate), str(router.certificate), str(router.key))
    door = password(tmp_path)
    with over_tls(tmp_path, server, router) as port:
        url = f"tls://127.0.0.1:{port}"
        context = router.client_context(trusts=server)
        async with watching(url, tls=context, **door.known) as heard:
            assert await told(Progress(url, "oxidicom", door.right, files)) == []
            (said,) = await told(Progress(url, "oxidicom", door.wrong, files))
            assert "Authorization Violation" in said

    assert heard.count(DONE) == 1


async def test_a_certificate_that_is_not_trusted_is_told_nothing(
    tmp_path: Path, server: Identity, router: Identity
) -> None:
    door = password(tmp_path)
    other = TlsFiles(str(router.certificate))
    own = TlsFiles(str(server.certificate), str(router.certificate), str(router.key))
    with over_tls(tmp_path, server, router) as port:
        for files in (None, other):
            progress = Progress(f"tls://127.0.0.1:{port}", "oxidicom", door.right, files)
            assert await told(progress) == [
                "its certificate is not trusted: self-signed certificate"
            ]
        (said,) = await told(Progress(f"tls://localhost:{port}", "oxidicom", door.right, own))
        assert "its certificate is not trusted: Hostname mismatch" in said


async def test_without_our_certificate_a_server_that_wants_one_is_not_told(
    tmp_path: Path, server: Identity, router: Identity
) -> None:
    files = TlsFiles(str(server.certificate))
    with over_tls(tmp_path, server, router) as port:
        url = f"tls://127.0.0.1:{port}"
        (said,) = await told(Progress(url, "oxidicom", password(tmp_path).right, files))

    assert re.search("certificate that we show", said)  # who hangs up first differs


@dataclass(frozen=True)
class Between:
    """Somebody who answers as a server without TLS would, and hears all that is said."""

    port: int
    heard: bytearray


@asynccontextmanager
async def somebody_between() -> AsyncIterator[Between]:
    heard = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.9.0","nonce":"abc","headers":true}\r\n')
        while piece := await reader.read(4096):
            heard.extend(piece)
            writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Between(server.sockets[0].getsockname()[1], heard)


@pytest.mark.parametrize("kind", [password, token, nkey, creds], ids=lambda kind: kind.__name__)
async def test_where_tls_is_asked_for_nothing_is_said_without_it(
    kind: Callable[[Path], Door], tmp_path: Path
) -> None:
    door = kind(tmp_path)
    async with somebody_between() as between:
        for credentials in (door.right, None):
            (said,) = await told(
                Progress(f"tls://127.0.0.1:{between.port}", "oxidicom", credentials)
            )
            assert said == "nats: secure connection not available"
        assert between.heard == b""


# -- what is not there ---------------------------------------------------------------------------


async def test_nobody_there_is_said(tmp_path: Path) -> None:
    (said,) = await told(Progress(f"nats://127.0.0.1:{free_port()}", "oxidicom"))

    assert "refused" in said


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (Credentials(Secret("/no/such/file"), "router"), "file /no/such/file cannot be read"),
        (NatsKey(Secret(variable="NOT_SET")), "environment variable NOT_SET cannot be read"),
        (NatsKey(Secret(__file__)), "is no secret of one line"),
        (NatsKey(Secret(variable="PATH")), "environment variable PATH holds no seed of an nkey"),
        (NatsKey(Secret(__file__), has_jwt=True), "is no credentials file of NATS"),
    ],
)
async def test_a_secret_that_is_none_is_named(shown: Credentials | NatsKey, says: str) -> None:
    (said,) = await told(Progress("nats://127.0.0.1:4222", "oxidicom", shown))

    assert said.startswith("CHRIS: NATS nats://127.0.0.1:4222: ")
    assert says in said


async def test_a_certificate_file_that_is_gone_is_named() -> None:
    files = TlsFiles("/no/such/file.pem")

    (said,) = await told(Progress("tls://127.0.0.1:4222", "oxidicom", None, files))

    assert "a certificate cannot be used" in said
