"""A modality that is faster than every receiver: sends instances that are encoded beforehand.

    python -m bench.generator --port PORT [--associations N] [--instances N] [--bytes N]

Every instance is one buffer of PDUs in which only the SOP Instance UID is written anew. What is
measured is how fast the peer answers; the ceiling of the generator itself is what a sink that
discards lets it reach (``python -m bench.sink``). Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
import time
import uuid
from dataclasses import dataclass, field

import anyio

from router.dicom import uids
from router.dicom.association import Association
from router.dicom.dimse import CStoreRQ
from router.dicom.dimse_codec import encode_message
from router.dicom.events import Associated
from router.dicom.negotiation import propose
from router.dicom.pdata import command_fragments, data_fragments
from router.dicom.pdu import AssociateRQ, UserInformation
from router.net.sockets import acknowledge_quickly, tune

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
UID_DIGITS = 48
CONTEXT_ID = 1
PDU_PAYLOAD = 131_072 - 6
PLACEHOLDER = b"9" * UID_DIGITS
_RESPONSE_STATUS = struct.pack("<HHI", 0, 0x0900, 2)


@dataclass(slots=True)
class Payload:
    """One instance as PDUs, and where its SOP Instance UID stands in them."""

    pdus: bytearray
    places: list[int]

    def name(self, digits: bytes) -> None:
        """Give the instance its UID."""
        for place in self.places:
            self.pdus[place : place + UID_DIGITS] = digits


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """One element in Explicit VR Little Endian; long VRs get their long header."""
    value += b"\0" * (len(value) % 2)
    if vr in (b"OB", b"OW"):
        return struct.pack("<HH2sxxI", group, number, vr, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def data_set(study_uid: str, size: int, modality: str = "CT") -> bytes:
    """An image of about so many bytes, with everything that a router looks at."""
    head = b"".join(
        (
            element(0x0008, 0x0016, b"UI", CT_IMAGE.encode()),
            element(0x0008, 0x0018, b"UI", PLACEHOLDER),
            element(0x0008, 0x0020, b"DA", b"20260101"),
            element(0x0008, 0x0060, b"CS", modality.encode()),
            element(0x0008, 0x0070, b"LO", b"Maker "),
            element(0x0008, 0x0080, b"LO", b"Bench Hospital"),
            element(0x0008, 0x1030, b"LO", b"Bench study "),
            element(0x0010, 0x0010, b"PN", b"Bench^Patient "),
            element(0x0010, 0x0020, b"LO", b"B-1 "),
            element(0x0018, 0x0015, b"CS", b"CHEST "),
            element(0x0020, 0x000D, b"UI", study_uid.encode()),
            element(0x0020, 0x000E, b"UI", (study_uid + ".1").encode()),
            element(0x0020, 0x0013, b"IS", b"1 "),
            element(0x0028, 0x0002, b"US", struct.pack("<H", 1)),
            element(0x0028, 0x0010, b"US", struct.pack("<H", 512)),
            element(0x0028, 0x0011, b"US", struct.pack("<H", 512)),
            element(0x0028, 0x0100, b"US", struct.pack("<H", 16)),
        )
    )
    return head + element(0x7FE0, 0x0010, b"OW", bytes(max(size - len(head) - 12, 2)))


def encode(study_uid: str, size: int, max_length: int, modality: str = "CT") -> Payload:
    """The PDUs of one instance for a peer that takes so much in one."""
    payload = min(PDU_PAYLOAD, max_length - 6 if max_length else PDU_PAYLOAD)
    request = CStoreRQ(1, CT_IMAGE, PLACEHOLDER.decode())
    buffers = command_fragments(CONTEXT_ID, encode_message(request), payload)
    content = memoryview(data_set(study_uid, size, modality))
    buffers += data_fragments(CONTEXT_ID, content, payload, last=True)
    pdus = bytearray().join(buffers)
    places: list[int] = []
    position = pdus.find(PLACEHOLDER)
    while position >= 0 and len(places) < 2:
        places.append(position)
        position = pdus.find(PLACEHOLDER, position + UID_DIGITS)
    return Payload(pdus, places)


@dataclass(slots=True)
class Result:
    """What came of it."""

    stored: int = 0
    failed: int = 0
    rejected: int = 0
    latencies: list[float] = field(default_factory=list)


async def associate(
    host: str, port: int, called: str, calling: str
) -> tuple[socket.socket, Association]:
    """An open association on a bare socket."""
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setblocking(False)  # noqa: FBT003 - its only argument
    await loop.sock_connect(connection, (host, port))
    tune(connection)
    user = UserInformation(max_length=131_072, implementation_class_uid=uids.IMPLEMENTATION_CLASS)
    contexts = propose([(CT_IMAGE, uids.EXPLICIT_VR_LITTLE_ENDIAN)])
    request = AssociateRQ(called, calling, contexts, user)
    association = Association.requesting(request, loop.time())
    await loop.sock_sendall(connection, association.data_to_send())
    while True:
        received = await loop.sock_recv(connection, 65536)
        if not received:
            raise ConnectionError("rejected")
        association.receive(memoryview(received), loop.time())
        for event in association.take_events():
            if isinstance(event, Associated):
                return connection, association
            raise ConnectionError(str(event))


async def run_association(
    options: argparse.Namespace, number: int, count: int, result: Result
) -> None:
    """Send so many instances over one association, each when the one before is answered."""
    loop = asyncio.get_running_loop()
    calling = f"BENCH{number}"
    try:
        connection, association = await associate(
            options.host, options.port, options.called, calling
        )
    except (OSError, ConnectionError):
        result.rejected += 1
        return
    study = f"1.2.826.0.1.3680043.10.{uuid.uuid4().int % 10**12}.{number}"
    payload = encode(study, options.bytes, association.payload + 6)
    base = uuid.uuid4().int % 10**40
    view = memoryview(payload.pdus)
    try:
        for index in range(count):
            payload.name(b"1.2.826" + f".{base + index:0{UID_DIGITS - 8}d}".encode())
            begun = time.perf_counter()
            await loop.sock_sendall(connection, view)
            if await answer(loop, connection) == 0:
                result.stored += 1
            else:
                result.failed += 1
            result.latencies.append(time.perf_counter() - begun)
        association.release(loop.time())
        await loop.sock_sendall(connection, association.data_to_send())
        await loop.sock_recv(connection, 4096)
    except OSError:
        result.failed += 1
    finally:
        connection.close()


async def answer(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> int:
    """The status of the next C-STORE response, found in its one PDU without decoding the rest."""
    received = b""
    while len(received) < 6 or len(received) < 6 + int.from_bytes(received[2:6], "big"):
        more = await loop.sock_recv(connection, 65536)
        if not more:
            raise ConnectionError("closed")
        acknowledge_quickly(connection)
        received += more
    at = received.find(_RESPONSE_STATUS)
    if at < 0:
        raise ConnectionError("no response")
    return int.from_bytes(received[at + 8 : at + 10], "little")


async def run(options: argparse.Namespace) -> Result:
    """Run all associations at once."""
    result = Result()
    share, more = divmod(options.instances, options.associations)
    async with anyio.create_task_group() as tasks:
        for number in range(options.associations):
            count = share + (number < more)
            tasks.start_soon(run_association, options, number, count, result)
    return result


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--called", default="ROUTER")
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=50_000)
    return parser.parse_args()


def main() -> None:
    """Run and print."""
    options = arguments()
    begun = time.perf_counter()
    result = anyio.run(run, options)
    seconds = time.perf_counter() - begun
    latencies = sorted(result.latencies) or [0.0]
    print(
        json.dumps(
            {
                "stored": result.stored,
                "failed": result.failed,
                "rejected": result.rejected,
                "seconds": round(seconds, 4),
                "per_second": round(result.stored / seconds, 1),
                "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
                "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
