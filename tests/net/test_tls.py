"""Associations over TLS: the same bytes, and clear words where there is no trust."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from router.domain.errors import AssociationLost, PeerTimeout
from router.net.acceptor import Acceptor, AcceptorLimits
from router.net.connection import ConnectionTimeouts
from router.net.exchange import RequestorTimeouts
from router.net.requestor import RequestedAssociation, associate
from tests.net.calls import INSTANCE, store
from tests.net.certificates import Identity, anonymous_context, make_identity
from tests.net.raw import RawPeer, calling, listening, wait_for_end
from tests.net.service import (
    CONTEXTS,
    CT_IMAGE,
    IMPLICIT,
    NO_ANSWER,
    NO_CONNECTION,
    BytesSource,
    Service,
)

KIB = 1024


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("tls"), "router")


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("tls"), "writer")


@asynccontextmanager
async def serving(
    service: Service, context: ssl.SSLContext, artim_s: float = 60.0
) -> AsyncIterator[int]:
    limits = AcceptorLimits(timeouts=ConnectionTimeouts(artim_s=artim_s))
    async with Acceptor(
        service, host="127.0.0.1", port=0, limits=limits, ssl_context=context
    ) as acceptor:
        yield acceptor.port


@asynccontextmanager
async def associated(
    port: int,
    context: ssl.SSLContext,
    host: str = "127.0.0.1",
    timeouts: RequestorTimeouts | None = None,
) -> AsyncIterator[RequestedAssociation]:
    async with associate(
        host, port, "ROUTER", "WRITER", contexts=CONTEXTS, timeouts=timeouts, ssl_context=context
    ) as association:
        yield association


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [0, 1, 256 * KIB, 3 * KIB * KIB + 7])
async def test_a_data_set_arrives_as_it_was_sent(
    writer: Identity, size: int, version: ssl.TLSVersion
) -> None:
    service = Service()
    data = bytes(range(251)) * (size // 251 + 1)
    context = anonymous_context(writer)
    context.maximum_version = version
    async with (
        serving(service, writer.server_context()) as port,
        associated(port, context) as association,
    ):
        answer = await association.store(CT_IMAGE, INSTANCE, IMPLICIT, BytesSource(data[:size]))
        assert await association.echo() == 0

    assert answer.status == 0
    assert service.stored[0].data == data[:size]
    assert service.ends == ["released"]


async def test_both_sides_may_ask_who_the_other_is(router: Identity, writer: Identity) -> None:
    async with (
        serving(Service(), writer.server_context(trusts=router)) as port,
        associated(port, router.client_context(trusts=writer)) as association,
    ):
        assert await association.echo() == 0


async def test_a_requestor_without_a_certificate_gets_no_association(
    router: Identity, writer: Identity
) -> None:
    service = Service()
    async with serving(service, writer.server_context(trusts=router)) as port:
        with pytest.raises(AssociationLost):
            async with associated(port, anonymous_context(writer)):
                pass

    assert service.opened_ones == []


async def test_why_a_peer_refuses_tls_is_said_in_its_words(
    router: Identity, writer: Identity
) -> None:
    context = writer.server_context(trusts=router)

    def refuse(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, refuse, server)
            with pytest.raises(AssociationLost, match=r"(?i)certificate.required"):
                async with associated(server.getsockname()[1], anonymous_context(writer)):
                    pass


async def test_a_peer_that_is_not_trusted_gets_no_association(writer: Identity) -> None:
    service = Service()
    async with serving(service, writer.server_context()) as port:
        with pytest.raises(AssociationLost, match=r"no connection: .*certificate verify failed"):
            async with associated(port, anonymous_context(None)):
                pass

    assert service.opened_ones == []


async def test_a_certificate_of_another_host_is_not_trusted(writer: Identity) -> None:
    async with serving(Service(), writer.server_context()) as port:
        with pytest.raises(AssociationLost, match="not valid for 'localhost'"):
            async with associated(port, anonymous_context(writer), host="localhost"):
                pass


async def test_a_peer_that_speaks_no_tls_is_no_connection(writer: Identity) -> None:
    async def speak_http(peer: RawPeer) -> None:
        await peer.receive_exactly(5)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.receive_rest()

    async with listening(speak_http) as port:
        with pytest.raises(AssociationLost, match=r"no connection: .*SSL"):
            async with associated(port, anonymous_context(writer)):
                pass


async def test_a_peer_that_says_nothing_is_given_up(writer: Identity) -> None:
    async with listening(wait_for_end) as port:
        with pytest.raises(PeerTimeout, match="no connection within"):
            async with associated(port, anonymous_context(writer), timeouts=NO_CONNECTION):
                pass


async def test_a_peer_that_hangs_up_is_no_connection(writer: Identity) -> None:
    async def hang_up(peer: RawPeer) -> None:
        await peer.receive_exactly(5)

    async with listening(hang_up) as port:
        with pytest.raises(AssociationLost, match="no connection"):
            async with associated(port, anonymous_context(writer)):
                pass


async def test_a_peer_that_does_not_answer_is_given_up(writer: Identity) -> None:
    service = Service(answers_at_once=False)
    async with (
        serving(service, writer.server_context()) as port,
        associated(port, anonymous_context(writer), timeouts=NO_ANSWER) as association,
    ):
        with pytest.raises(PeerTimeout, match="response"):
            await store(association, 300 * KIB)
        service.answer(0)
        await service.until(lambda: service.ends)


async def test_a_source_that_fails_aborts_the_association(writer: Identity) -> None:
    service = Service()
    source = BytesSource(bytes(800 * KIB), fails_at=300 * KIB)
    async with serving(service, writer.server_context()) as port:
        with pytest.raises(Exception, match="the disk is gone"):
            async with associated(port, anonymous_context(writer)) as association:
                await association.store(CT_IMAGE, INSTANCE, IMPLICIT, source)
        await service.until(lambda: service.ends)

    assert service.ends == ["aborted"]
    assert service.stored[0].is_abandoned


async def test_the_end_of_the_acceptor_ends_the_association(writer: Identity) -> None:
    service = Service(answers_at_once=False)

    async def call(port: int) -> None:
        with pytest.raises(AssociationLost):
            async with associated(port, anonymous_context(writer)) as association:
                await store(association)

    async with (
        anyio.create_task_group() as tasks,
        serving(service, writer.server_context()) as port,
    ):
        tasks.start_soon(call, port)
        await service.until(lambda: service.unanswered)

    assert service.ends == ["aborted"]


async def test_who_connects_to_the_acceptor_and_begins_no_tls_is_cut(writer: Identity) -> None:
    async with (
        serving(Service(), writer.server_context(), artim_s=0.1) as port,
        calling(port) as silent,
        calling(port) as rude,
    ):
        await rude.send(b"GET / HTTP/1.1\r\n\r\n")
        await rude.receive_rest()
        assert await silent.receive_rest() == b""
