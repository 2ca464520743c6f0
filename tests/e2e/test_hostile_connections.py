"""A connection that misbehaves harms no other: after each, C-ECHO answers at once."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from router.dicom import pdu, uids
from router.dicom.negotiation import propose
from router.net.requestor import associate
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, running
from tests.e2e.test_main_job import SETTINGS

ECHO_WITHIN_S = 2.0


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    process = RouterProcess(tmp_path_factory.mktemp("router"), SETTINGS)
    with running(process):
        yield process


def associate_request() -> bytes:
    return pdu.encode(
        pdu.AssociateRQ(
            called_ae_title="ROUTER",
            calling_ae_title="HOSTILE",
            contexts=propose([(uids.VERIFICATION, "1.2.840.10008.1.2")]),
            user=pdu.UserInformation(max_length=16384, implementation_class_uid="1.2.3"),
        )
    )


HOSTILE = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: router\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100f8010000f40303") + bytes(240),
    "random bytes": os.urandom(4096),
    "zero bytes": bytes(4096),
    "a PDU of four gigabytes": struct.pack(">BBI", 1, 0, 0xFFFFFFFF) + bytes(64),
    "a PDU of length zero": struct.pack(">BBI", 1, 0, 0),
    "an unknown PDU type": struct.pack(">BBI", 0x55, 0, 4) + bytes(4),
    "data before any association": struct.pack(">BBI", 4, 0, 8) + bytes(8),
    "half an association request": associate_request()[:40],
    "data of a context that was not accepted": associate_request()
    + struct.pack(">BBIIBB", 4, 0, 12, 8, 99, 3)
    + bytes(6),
    "a PDV longer than its PDU": associate_request()
    + struct.pack(">BBIIBB", 4, 0, 12, 4000, 1, 3)
    + bytes(6),
}


async def echo(router: RouterProcess) -> None:
    with anyio.fail_after(ECHO_WITHIN_S):
        async with associate(
            "127.0.0.1",
            router.dicom_port,
            "PROBE",
            "ROUTER",
            contexts=propose([(uids.VERIFICATION, "1.2.840.10008.1.2")]),
        ) as association:
            await association.echo()


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_after_a_hostile_connection_an_echo_answers_at_once(
    router: RouterProcess, content: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", router.dicom_port)) as connection:
        connection.sendall(content)

        await echo(router)


async def test_connections_that_say_nothing_delay_nobody(router: RouterProcess) -> None:
    address = ("127.0.0.1", router.dicom_port)
    silent = [socket.create_connection(address) for _ in range(200)]
    try:
        await echo(router)
    finally:
        for connection in silent:
            connection.close()


async def test_a_reset_in_the_middle_of_an_object_leaves_nothing_behind(
    router: RouterProcess, tmp_path: Path
) -> None:
    [path] = make_ct_series(tmp_path, instances=1, rows=512, columns=512)
    context = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    request = pdu.encode(
        pdu.AssociateRQ("ROUTER", "RESETTER", propose([context]), pdu.UserInformation(16384))
    )
    connection = socket.create_connection(("127.0.0.1", router.dicom_port))
    connection.sendall(request)
    connection.recv(4096)
    connection.sendall(struct.pack(">BBIIBB", 4, 0, 16390, 16386, 1, 0) + path.read_bytes()[:100])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    await echo(router)

    assert router.get("/studies")["studies"] == []
