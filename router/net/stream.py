"""The requestor's byte stream: calls that never wait, and one wait that looks both ways.

The stream over TCP is a bare non-blocking socket, because the send path wants ``sendmsg``: headers
and slices of a large buffer leave in one call, without being joined.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from router.dicom.pdata import Buffer
from router.net.sockets import acknowledge_quickly, tune

MAX_BUFFERS = 1024
"""Buffers in one ``sendmsg`` (IOV_MAX)."""


class ByteStream(Protocol):
    """A connection as the requestor sees it."""

    def try_send(self, buffers: Sequence[Buffer]) -> int:
        """Bytes taken at once from the front of at most ``MAX_BUFFERS`` buffers, perhaps 0.

        Raises ``OSError`` when the connection is broken.
        """
        ...

    def try_receive_into(self, buffer: memoryview) -> int | None:
        """Bytes received at once; 0 at the end of the stream; None if there are none yet.

        Raises ``OSError`` when the connection is broken.
        """
        ...

    async def wait_readable(self) -> None:
        """Wait until something can be received."""
        ...

    async def wait_readable_or_writable(self) -> None:
        """Wait until something can be received or sent."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class TCPStream:
    """A byte stream over a connected TCP socket, which it owns."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._descriptor = connection.fileno()

    @classmethod
    async def connect(cls, host: str, port: int) -> TCPStream:
        """Connect to the first address of ``host`` that answers; raises ``OSError``."""
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        last_error = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in addresses:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.setblocking(False)  # noqa: FBT003 - its only argument
                await loop.sock_connect(connection, address)
                tune(connection)
            except OSError as error:
                connection.close()
                last_error = error
            except BaseException:
                connection.close()
                raise
            else:
                return cls(connection)
        raise last_error

    def try_send(self, buffers: Sequence[Buffer]) -> int:
        """Send what the kernel takes now."""
        try:
            return self._socket.sendmsg(buffers)
        except (BlockingIOError, InterruptedError):
            return 0

    def try_receive_into(self, buffer: memoryview) -> int | None:
        """Receive what is there now."""
        try:
            size = self._socket.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return None
        acknowledge_quickly(self._socket)
        return size

    async def wait_readable(self) -> None:
        """Wait until something can be received."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._descriptor, _finish(ready))
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)

    async def wait_readable_or_writable(self) -> None:
        """Wait until something can be received or sent."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._descriptor, _finish(ready))
        loop.add_writer(self._descriptor, _finish(ready))
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)
            loop.remove_writer(self._descriptor)

    def close(self) -> None:
        """Close the connection; what the peer has not read yet may be lost with it."""
        self._socket.close()


def _finish(future: asyncio.Future[None]) -> Callable[[], None]:
    def finish() -> None:
        if not future.done():
            future.set_result(None)

    return finish


def after(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What is left of ``buffers`` when ``sent`` bytes of their front have been sent."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return []
