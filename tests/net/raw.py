"""Peers that do exactly what a test writes down: bytes over a plain socket, no protocol engine."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio

from router.dicom import dimse_codec, pdata, pdu
from router.dicom.dimse import Message
from router.dicom.negotiation import AcceptancePolicy, negotiate
from router.dicom.pdu import AssociateAC, AssociateRQ, ProposedContext, UserInformation
from tests.net.service import CONTEXTS, PATIENCE_S

HEADER_BYTES = 6
RELEASE_RQ = pdu.encode(pdu.ReleaseRQ())
RELEASE_RP = pdu.encode(pdu.ReleaseRP())
ABORT = pdu.encode(pdu.Abort(0, 0))


def association_request(
    contexts: tuple[ProposedContext, ...] = CONTEXTS, max_length: int = 16384
) -> bytes:
    user = UserInformation(max_length, "1.2.3")
    return pdu.encode(AssociateRQ("ROUTER", "MODALITY", contexts, user))


def message_bytes(
    context_id: int, message: Message, data: bytes = b"", *, payload: int = 16378
) -> bytes:
    """A message as PDUs; its data set, if it has one, all in one go."""
    buffers = pdata.command_fragments(context_id, dimse_codec.encode_message(message), payload)
    if message.has_data_set:
        buffers += pdata.data_fragments(context_id, memoryview(data), payload, last=True)
    return b"".join(buffers)


class RawPeer:
    """One end of a connection."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._socket.settimeout(0)
        self._loop = asyncio.get_running_loop()

    async def send(self, *pieces: bytes) -> None:
        """Send each piece by itself."""
        with anyio.fail_after(PATIENCE_S):
            for piece in pieces:
                await self._loop.sock_sendall(self._socket, piece)

    async def creep(self, data: bytes) -> None:
        """Send byte by byte, a hundred in a second."""
        for byte in data:
            await self.send(bytes((byte,)))
            await anyio.sleep(0.01)

    def send_what_fits(self, data: bytes) -> int:
        """Bytes that the kernel takes at once."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def receive_exactly(self, size: int) -> bytes:
        """So many bytes; fails if the connection ends before."""
        data = bytearray()
        with anyio.fail_after(PATIENCE_S):
            while len(data) < size:
                piece = await self._loop.sock_recv(self._socket, min(size - len(data), 1 << 18))
                assert piece, f"the connection ended after {len(data)} of {size} bytes"
                data += piece
        return bytes(data)

    async def receive_pdu(self) -> bytes:
        """A whole PDU, header included."""
        header = await self.receive_exactly(HEADER_BYTES)
        return header + await self.receive_exactly(struct.unpack(">BxI", header)[1])

    async def receive_message(self) -> tuple[Message, bytes]:
        """A whole message and its data set."""
        parts = {True: bytearray(), False: bytearray()}
        message: Message | None = None
        is_last = False
        while message is None or (message.has_data_set and not is_last):
            body = (await self.receive_pdu())[HEADER_BYTES:]
            is_command, is_last = bool(body[5] & 1), bool(body[5] & 2)
            parts[is_command] += body[6:]
            if is_command and is_last:
                message, is_last = dimse_codec.decode_message(bytes(parts[True])), False
        return message, bytes(parts[False])

    async def receive_rest(self) -> bytes:
        """All that comes until the connection ends, in whatever way."""
        data = bytearray()
        if self._socket.fileno() < 0:
            return b""
        with anyio.fail_after(PATIENCE_S), suppress(ConnectionResetError):
            while piece := await self._loop.sock_recv(self._socket, 65536):
                data += piece
        return bytes(data)

    async def receive_data_set(self) -> bytes:
        """What follows a command: fragments up to the last one."""
        data, is_last = bytearray(), False
        while not is_last:
            body = (await self.receive_pdu())[HEADER_BYTES:]
            assert not body[5] & 1, "a command in the middle of a data set"
            data += body[6:]
            is_last = bool(body[5] & 2)
        return bytes(data)

    async def accept_association(self, max_length: int = 16384) -> AssociateRQ:
        """Take the request and accept all of it."""
        body = (await self.receive_pdu())[HEADER_BYTES:]
        request = pdu.decode(pdu.PDUType.ASSOCIATE_RQ, body)
        assert isinstance(request, AssociateRQ)
        policy = AcceptancePolicy(max_length=max_length, accept_storage_commitment=True)
        answer = negotiate(request, policy)
        assert isinstance(answer, AssociateAC)
        await self.send(pdu.encode(answer))
        return request

    async def associate(self, contexts: tuple[ProposedContext, ...] = CONTEXTS) -> None:
        """Request an association and take its acceptance."""
        await self.send(association_request(contexts))
        answer = await self.receive_pdu()
        assert answer[0] == pdu.PDUType.ASSOCIATE_AC

    async def release(self) -> None:
        """Take the request for release, confirm it, wait for the end."""
        assert await self.receive_pdu() == RELEASE_RQ
        await self.send(RELEASE_RP)
        await self.receive_rest()

    def finish_sending(self) -> None:
        """Close this direction of the connection only."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection (RST)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def calling(port: int, *, receive_buffer: int | None = None) -> AsyncIterator[RawPeer]:
    """A connection to an acceptor; the kernel may be told to keep little for the peer."""
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer = RawPeer(connection)
    try:
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        yield peer
    finally:
        peer.close()


Script = Callable[[RawPeer], Awaitable[None]]


@asynccontextmanager
async def listening(script: Script) -> AsyncIterator[int]:
    """The port of a peer that follows the script with the first who calls, then hangs up.

    Leaving the block waits for the end of the script, also when it is left by an error.
    """
    loop = asyncio.get_running_loop()
    failure: Exception | None = None
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)

        async def serve() -> None:
            with anyio.fail_after(PATIENCE_S):
                connection, _ = await loop.sock_accept(server)
            peer = RawPeer(connection)
            try:
                await script(peer)
            finally:
                peer.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            try:
                yield server.getsockname()[1]
            except Exception as error:  # noqa: BLE001 - raised again below, outside the group
                failure = error
    if failure is not None:
        raise failure


async def wait_for_end(peer: RawPeer) -> None:
    """The end of a script whose peer says nothing more, and waits until it is left."""
    await peer.receive_rest()
