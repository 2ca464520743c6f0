"""Tasks for the workers of Celery, through real brokers: Redis and RabbitMQ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kombu import Connection, Queue

from router.delivery.destinations.tasks import TaskBroker
from router.domain.errors import CandidateUnavailable
from router.domain.reach import Broker, Credentials, Secret, TlsFiles
from tests import peers
from tests.e2e.stack import free_port
from tests.interop.conftest import run_blocking
from tests.net.certificates import Identity, make_identity
from tests.rabbitmq import PASSWORD, USER, RabbitMQ, rabbitmq

TASK = "pacsfiles.tasks.register_pacs_series"
ARGUMENTS = {"SeriesInstanceUID": "1.2.3", "ndicom": 5}
WRONG = "not the password"


@dataclass(frozen=True)
class Peer:
    """A broker with a password, whose port for TLS wants a certificate, too."""

    scheme: str
    port: int
    tls_port: int
    user: str
    folder: Path
    server: Identity
    site: Identity
    """Who issues the certificates of its clients."""

    def broker(self, queue: str, **changes: Any) -> Broker:
        """As the router knows it, with its password."""
        url = f"{self.scheme}://127.0.0.1:{self.port}"
        return replace(Broker(url, queue, self.credentials(PASSWORD)), **changes)

    def over_tls(self, queue: str, host: str = "127.0.0.1", **changes: Any) -> Broker:
        """The same, over TLS."""
        url = f"{self.scheme}s://{host}:{self.tls_port}"
        return replace(self.broker(queue, tls=self.files), url=url, **changes)

    @property
    def files(self) -> TlsFiles:
        """What the port for TLS wants."""
        router = make_identity(self.folder, "router", issuer=self.site)
        return TlsFiles(str(self.server.certificate), str(router.certificate), str(router.key))

    def credentials(self, password: str) -> Credentials:
        """In a file."""
        file = self.folder / quote(password)
        file.write_text(f"{password}\n")
        return Credentials(Secret(str(file)), self.user)

    def taken(self, queue: str) -> list[Any]:
        """What is in a queue, as another client gets it out."""
        user, password = quote(self.user, safe=""), quote(PASSWORD, safe="")
        url = f"{self.scheme}://{user}:{password}@127.0.0.1:{self.port}"
        with Connection(url) as connection, connection.channel() as channel:
            bound = Queue(queue, no_declare=True)(channel)
            return list(iter(lambda: bound.get(no_ack=True), None))


@contextmanager
def a_redis(folder: Path, server: Identity, site: Identity) -> Iterator[Peer]:
    tls_port = free_port()
    options = {
        "--requirepass": PASSWORD,
        "--tls-port": str(tls_port),
        "--tls-cert-file": str(server.certificate),
        "--tls-key-file": str(server.key),
        "--tls-ca-cert-file": str(site.certificate),
    }
    words = [word for option in options.items() for word in option]
    with peers.redis_server(folder / "redis", *words) as port:
        yield Peer("redis", port, tls_port, "default", folder, server, site)


@contextmanager
def a_rabbitmq(folder: Path, server: Identity, site: Identity) -> Iterator[Peer]:
    with rabbitmq(folder / "rabbitmq", server, trusts=site) as broker:
        yield Peer("amqp", broker.port, broker.tls_port, USER, folder, server, site)


KINDS: dict[str, Callable[..., AbstractContextManager[Peer]]] = {
    "Redis": a_redis,
    "RabbitMQ": a_rabbitmq,
}


@pytest.fixture(scope="module", params=KINDS)
def peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("broker")
    identities = make_identity(folder, "broker"), make_identity(folder, "site")
    with KINDS[request.param](folder, *identities) as made:
        yield made


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """Each test has its own."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


async def send(broker: Broker, task_id: str = "1", patience_s: float = 20.0) -> None:
    await TaskBroker("CHRIS", broker, patience_s).send(TASK, task_id, ARGUMENTS)


async def refused(broker: Broker, says: str) -> None:
    """Neither a task nor a probe comes through; both say why, and not the password."""
    attempts = (partial(send, broker), TaskBroker("CHRIS", broker, 20.0).probe)
    for attempt in attempts:
        with pytest.raises(CandidateUnavailable, match=f"^CHRIS: broker {broker.url}: ") as raised:
            await attempt()
        assert re.search(says, str(raised.value), re.IGNORECASE)
        assert PASSWORD not in str(raised.value)
        assert WRONG not in str(raised.value)


# -- any broker ----------------------------------------------------------------------------------


async def test_a_task_waits_in_its_queue_as_celery_would_have_it(peer: Peer, queue: str) -> None:
    await send(peer.broker(queue))

    (message,) = await run_blocking(peer.taken, queue)
    assert message.payload[:2] == [[], ARGUMENTS]
    assert message.headers["task"] == TASK
    assert message.properties["correlation_id"] == message.headers["id"] == "1"
    assert message.properties["delivery_mode"] == 2  # to be kept on disk


async def test_it_goes_over_tls_with_certificates_on_both_sides(peer: Peer, queue: str) -> None:
    await TaskBroker("CHRIS", peer.over_tls(queue), 20.0).probe()
    await send(peer.over_tls(queue))

    assert len(await run_blocking(peer.taken, queue)) == 1


async def test_who_has_no_password_or_another_one_is_not_let_in(peer: Peer, queue: str) -> None:
    says = "auth|password|login was refused"
    await refused(peer.broker(queue, credentials=None), says)
    await refused(peer.broker(queue, credentials=peer.credentials(WRONG)), says)

    await send(peer.broker(queue))  # it is there, for those that it knows
    assert len(await run_blocking(peer.taken, queue)) == 1


async def test_a_certificate_that_is_not_trusted_gets_nothing(peer: Peer, queue: str) -> None:
    says = "its certificate is not trusted: self.signed certificate"
    await refused(peer.over_tls(queue, tls=TlsFiles()), says)
    await refused(peer.over_tls(queue, tls=None), says)


async def test_a_certificate_for_another_host_gets_nothing(peer: Peer, queue: str) -> None:
    says = "its certificate is not trusted: Hostname mismatch"
    await refused(peer.over_tls(queue, host="localhost"), says)


async def test_a_broker_that_wants_our_certificate_says_so(peer: Peer, queue: str) -> None:
    without = replace(peer.files, certificate="", key="")

    says = "not accept the certificate that we show"
    await refused(peer.over_tls(queue, tls=without), says)  # who hangs up first differs


async def test_a_certificate_file_that_is_gone_is_named(peer: Peer, queue: str) -> None:
    gone = replace(peer.files, authority="/no/such/file.pem")

    await refused(peer.over_tls(queue, tls=gone), "a certificate cannot be used")


async def test_tls_where_none_is_spoken_is_an_error(peer: Peer, queue: str) -> None:
    plain = replace(peer.over_tls(queue), url=f"{peer.scheme}s://127.0.0.1:{peer.port}")

    with pytest.raises(CandidateUnavailable, match=r"TLS failed|Timeout|not answer"):
        await send(plain, patience_s=2.0)  # Redis waits for the end of a line


async def test_a_password_file_that_is_gone_is_named(peer: Peer, queue: str) -> None:
    gone = Credentials(Secret("/no/such/password"), peer.user)

    await refused(peer.broker(queue, credentials=gone), "file /no/such/password cannot be read")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp", "amqps"])
async def test_nobody_there_is_a_clear_error(scheme: str) -> None:
    await refused(Broker(f"{scheme}://127.0.0.1:{free_port()}", "main2"), "connection refused")


# -- RabbitMQ ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture
def known(tmp_path: Path) -> Credentials:
    (tmp_path / "password").write_text(PASSWORD)
    return Credentials(Secret(str(tmp_path / "password")), USER)


def declared(broker: RabbitMQ, queue: str, **arguments: Any) -> None:
    """Make a queue as somebody else likes it."""
    url = f"amqp://{USER}:{quote(PASSWORD)}@127.0.0.1:{broker.port}"
    with Connection(url) as connection, connection.channel() as channel:
        Queue(queue, exchange="", durable=True, queue_arguments=arguments)(channel).queue_declare()


def depth(broker: RabbitMQ, queue: str) -> int:
    """How many tasks wait, as another client sees it."""
    url = f"amqp://{USER}:{quote(PASSWORD)}@127.0.0.1:{broker.port}"
    with Connection(url) as connection, connection.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


async def test_a_task_that_was_sent_outlives_a_broker_that_is_killed(
    tmp_path: Path, known: Credentials
) -> None:
    with rabbitmq(tmp_path / "rabbitmq") as broker:
        await send(Broker(f"amqp://127.0.0.1:{broker.port}", "main2", known))
    with rabbitmq(tmp_path / "rabbitmq") as broker:
        assert await run_blocking(depth, broker, "main2") == 1


async def test_a_queue_is_left_as_its_workers_have_made_it(
    rabbit: RabbitMQ, queue: str, known: Credentials
) -> None:
    await run_blocking(lambda: declared(rabbit, queue, **{"x-queue-type": "quorum"}))

    await send(Broker(f"amqp://127.0.0.1:{rabbit.port}", queue, known))

    assert await run_blocking(depth, rabbit, queue) == 1


async def test_a_task_that_the_queue_refuses_is_not_lost_silently(
    rabbit: RabbitMQ, queue: str, known: Credentials
) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await run_blocking(lambda: declared(rabbit, queue, **full))
    broker = Broker(f"amqp://127.0.0.1:{rabbit.port}", queue, known)
    await send(broker)

    with pytest.raises(CandidateUnavailable, match="it refuses the task, its queue may be full"):
        await send(broker)


async def test_a_broker_that_takes_nothing_at_present_is_waited_for_so_long(
    rabbit: RabbitMQ, queue: str, known: Credentials
) -> None:
    broker = Broker(f"amqp://127.0.0.1:{rabbit.port}", queue, known)
    await send(broker)
    await run_blocking(rabbit.control, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        with pytest.raises(CandidateUnavailable, match="it does not answer"):
            await send(broker, patience_s=1.0)
    finally:
        await run_blocking(rabbit.control, "set_vm_memory_high_watermark", "0.4")
    await send(broker)


async def test_a_virtual_host_that_is_not_there_is_named(
    rabbit: RabbitMQ, queue: str, known: Credentials
) -> None:
    await refused(Broker(f"amqp://127.0.0.1:{rabbit.port}/nowhere", queue, known), "vhost nowhere")


async def test_a_user_who_may_only_publish_is_enough_where_the_queue_is_there(
    rabbit: RabbitMQ, queue: str, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("publisher")
    user = Credentials(Secret(str(tmp_path / "password")), "publisher")
    broker = Broker(f"amqp://127.0.0.1:{rabbit.port}", queue, user)
    await run_blocking(rabbit.control, "add_user", "publisher", "publisher")
    await run_blocking(rabbit.control, "set_permissions", "publisher", "^$", "^amq.default$", "^$")

    with pytest.raises(CandidateUnavailable, match=r"ACCESS_REFUSED.*access to queue"):
        await send(broker)
    await run_blocking(declared, rabbit, queue)
    await send(broker)

    assert await run_blocking(depth, rabbit, queue) == 1
