"""Peers that are not there, say no, or say nothing: who asked hears of it in time."""

from __future__ import annotations

import re
import socket

import anyio
import pytest

from router.dicom import pdu
from router.dicom.dimse import NEventReportRQ
from router.dicom.negotiation import describe_rejection
from router.domain.errors import AssociationLost, AssociationRejected, PeerTimeout
from router.net.exchange import RequestorTimeouts
from router.net.requestor import associate
from tests.net.calls import LARGE, associated, store
from tests.net.raw import (
    ABORT,
    RELEASE_RQ,
    RawPeer,
    message_bytes,
    wait_for_end,
)
from tests.net.service import (
    CONTEXTS,
    CT_CONTEXT,
    CT_IMAGE,
    NO_ANSWER,
    NO_ASSOCIATION,
    NO_CONNECTION,
)

# -- before there is an association ---------------------------------------------------------------


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(AssociationLost, match=f"WRITER at 127.0.0.1:{port}: no connection"):
        async with associate("127.0.0.1", port, "ROUTER", "WRITER", contexts=CONTEXTS):
            pass


@pytest.mark.parametrize("host", ["writer..local", "x" * 64 + ".local"])
async def test_a_host_name_that_cannot_be_one_is_no_connection(host: str) -> None:
    with pytest.raises(AssociationLost, match=r"no connection: .* is no host name"):
        async with associate(host, 104, "ROUTER", "WRITER", contexts=CONTEXTS):
            pass


async def test_a_host_that_does_not_answer_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        socket.create_connection(server.getsockname()),  # takes the only place in the queue
    ):
        port: int = server.getsockname()[1]
        association = associate(
            "127.0.0.1", port, "A", "B", contexts=CONTEXTS, timeouts=NO_CONNECTION
        )
        with pytest.raises(PeerTimeout, match=r"no connection within 0\.2 s"):
            await association.__aenter__()


TABLE_9_21 = [
    pdu.AssociateRJ(result, source, reason)
    for result in (1, 2)
    for source, reason in [(1, 1), (1, 2), (1, 3), (1, 7), (2, 1), (2, 2), (3, 1), (3, 2), (9, 9)]
]


@pytest.mark.parametrize("rejection", TABLE_9_21, ids=str)
async def test_a_rejection_says_why_in_the_words_of_table_9_21(rejection: pdu.AssociateRJ) -> None:
    async def reject(peer: RawPeer) -> None:
        await peer.receive_pdu()
        await peer.send(pdu.encode(rejection))
        await peer.receive_rest()

    with pytest.raises(AssociationRejected, match=re.escape(describe_rejection(rejection))):
        async with associated(reject):
            pass


# -- silence --------------------------------------------------------------------------------------


async def test_a_peer_that_does_not_answer_the_request_is_given_up() -> None:
    with pytest.raises(PeerTimeout, match=r"did not answer within 0\.2 s \(association\)"):
        async with associated(wait_for_end, NO_ASSOCIATION):
            pass


async def test_a_peer_that_does_not_answer_an_operation_is_given_up() -> None:
    async def fall_silent(peer: RawPeer) -> None:
        await peer.accept_association()
        await peer.receive_message()
        assert await peer.receive_rest() == ABORT

    async with associated(fall_silent, NO_ANSWER) as association:
        with pytest.raises(PeerTimeout, match=r"did not answer within 0\.2 s \(response\)"):
            await association.echo()
        assert not association.is_open


async def test_a_peer_that_takes_no_bytes_is_given_up() -> None:
    is_over = anyio.Event()

    async def stop_reading(peer: RawPeer) -> None:
        await peer.accept_association()
        await is_over.wait()

    async with associated(stop_reading, NO_ANSWER) as association:
        with pytest.raises(PeerTimeout, match=r"took no bytes for 0\.2 s"):
            await store(association, LARGE)
        is_over.set()


async def test_talking_without_taking_bytes_is_no_progress() -> None:
    is_over = anyio.Event()

    async def talk(peer: RawPeer) -> None:
        await peer.accept_association()
        talk = message_bytes(CT_CONTEXT, NEventReportRQ(1, CT_IMAGE, "1.2.3", 1))
        while not is_over.is_set():
            talk = talk[peer.send_what_fits(talk[:1]) :]
            await anyio.sleep(0.02)

    async with associated(talk, NO_ANSWER) as association:
        with pytest.raises(PeerTimeout, match="took no bytes"):
            await store(association, LARGE)
        is_over.set()


async def test_a_peer_that_does_not_confirm_the_release_does_no_harm() -> None:
    seen = []

    async def ignore_release(peer: RawPeer) -> None:
        await peer.accept_association()
        seen.append(await peer.receive_pdu())
        seen.append(await peer.receive_rest())

    async with associated(ignore_release, RequestorTimeouts(association_s=0.5)):
        pass

    assert seen == [RELEASE_RQ, ABORT]
