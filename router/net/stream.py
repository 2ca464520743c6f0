"""The requestor's byte stream: calls that never wait, and one wait that looks both ways.

The stream over TCP is a bare non-blocking socket, because the send path wants ``sendmsg``: headers
and slices of a large buffer leave in one call, without being joined.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import anyio

from router.dicom.pdata import Buffer
from router.net.sockets import acknowledge_quickly, tune

MAX_BUFFERS = 1024
"""Buffers in one ``sendmsg`` (IOV_MAX)."""


class ByteStream(Protocol):
    """A connection as the requestor sees it; one task uses it at a time.

    ``try_send`` and ``try_receive_into`` raise ``OSError`` when the connection is broken or closed.
    """

    def try_send(self, buffers: Sequence[Buffer]) -> int:
        """Bytes taken at once from the front of at most ``MAX_BUFFERS`` buffers, perhaps 0.

        What was taken leaves by itself as long as somebody waits on the stream.
        """
        ...

    def try_receive_into(self, buffer: memoryview) -> int | None:
        """Bytes received at once; 0 at the end of the stream; None if there are none yet."""
        ...

    async def wait(self, *, readable: bool = False, writable: bool = False) -> None:
        """Wait until it makes sense to try again what is asked about; may return too early.

        Returns when the stream is closed meanwhile, too.
        """
        ...

    def close(self) -> None:
        """Close the connection; what the peer has not read yet may be lost with it."""
        ...


class TCPStream:
    """A byte stream over a connected TCP socket, which it owns."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._stop_waiting: Callable[[], None] | None = None

    @classmethod
    async def connect(cls, host: str, port: int, timeout_s: float) -> Self:
        """Connect to the first address of ``host`` that answers; raises ``OSError``.

        The addresses share the time, so that one that swallows packets spares some for the next.
        """
        loop = asyncio.get_running_loop()
        try:
            addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host!r} is no host name") from error
        last_error = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in addresses:
            try:
                connection = socket.socket(family, kind, protocol)
            except OSError as error:  # a family that this machine does not have
                last_error = error
                continue
            try:
                connection.settimeout(0)
                with anyio.fail_after(timeout_s / len(addresses)):
                    await loop.sock_connect(connection, address)
            except OSError as error:
                connection.close()
                last_error = error
            except BaseException:
                connection.close()
                raise
            else:
                tune(connection)
                return cls(connection)
        raise last_error

    def try_send(self, buffers: Sequence[Buffer]) -> int:
        """Send what the kernel takes now."""
        try:
            return self._socket.sendmsg(buffers)
        except BlockingIOError:
            return 0

    def try_receive_into(self, buffer: memoryview) -> int | None:
        """Receive what is there now."""
        try:
            size = self._socket.recv_into(buffer)
        except BlockingIOError:
            return None
        acknowledge_quickly(self._socket)
        return size

    async def wait(self, *, readable: bool = False, writable: bool = False) -> None:
        """Wait until something can be received or sent, as asked for."""
        loop = asyncio.get_running_loop()
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        ready = loop.create_future()

        def stop() -> None:
            """Leave the selector before the descriptor can mean another connection."""
            self._stop_waiting = None
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
            _finish(ready)

        self._stop_waiting = stop
        try:
            if readable:
                loop.add_reader(descriptor, _finish, ready)
            if writable:
                loop.add_writer(descriptor, _finish, ready)
            await ready
        finally:
            if self._stop_waiting is stop:
                stop()

    def close(self) -> None:
        """Close the connection, and end a wait for it."""
        if self._stop_waiting is not None:
            self._stop_waiting()
        self._socket.close()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def after(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What is left of ``buffers`` when ``sent`` bytes of their front have been sent."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return []
