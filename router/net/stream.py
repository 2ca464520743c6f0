"""The requestor's byte stream: calls that never wait, and one wait that looks both ways.

The stream over TCP is a bare non-blocking socket, because the send path wants ``sendmsg``: headers
and slices of a large buffer leave in one call, without being joined.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from math import inf
from typing import Protocol, Self

import anyio

from router.dicom.pdata import Buffer
from router.net.sockets import acknowledge_quickly, tune

MAX_BUFFERS = 1024
"""Buffers in one ``sendmsg`` (IOV_MAX)."""


class ByteStream(Protocol):
    """A connection as the requestor sees it; one task uses it at a time.

    All but ``close`` raise ``OSError`` when the connection is closed already, ``try_send`` and
    ``try_receive_into`` also when it is broken.
    """

    def try_send(self, buffers: Sequence[Buffer]) -> int:
        """Bytes taken at once from the front of at most ``MAX_BUFFERS`` buffers, perhaps 0.

        What was taken leaves by itself as long as somebody waits on the stream.
        """
        ...

    def try_receive_into(self, buffer: memoryview) -> int | None:
        """Bytes received at once; 0 at the end of the stream; None if there are none yet."""
        ...

    async def wait(
        self, *, readable: bool = False, writable: bool = False, until: float = inf
    ) -> None:
        """Wait until it makes sense to try again what is asked about; may return too early.

        Returns when the stream is closed meanwhile, too, and at ``until``, a time of the event
        loop: that is cheaper than a time-out around it.
        """
        ...

    def close(self) -> None:
        """Close the connection; what the peer has not read yet may be lost with it."""
        ...


class TCPStream:
    """A byte stream over a connected TCP socket, which it owns."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._descriptor = connection.fileno()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._is_watched = False  # the selector looks whether something can be received

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

    async def wait(
        self, *, readable: bool = False, writable: bool = False, until: float = inf
    ) -> None:
        """Wait until something can be received or sent, as asked for."""
        if self._socket.fileno() < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_at(until, _finish, waiter)
        try:
            if readable:
                self._watch()
            else:
                self._look_away()
            if writable:
                self._loop.add_writer(self._descriptor, _finish, waiter)
            await waiter
        finally:
            self._waiter = None
            timer.cancel()
            if writable and self._socket.fileno() >= 0:
                self._loop.remove_writer(self._descriptor)

    def _watch(self) -> None:
        """Stay in the selector from one wait to the next: most often, nothing comes between."""
        if not self._is_watched:
            self._loop.add_reader(self._descriptor, self._readable)
            self._is_watched = True

    def _readable(self) -> None:
        if self._waiter is not None:
            _finish(self._waiter)
        else:  # it is not the time to receive, and the selector would say it again and again
            self._look_away()

    def _look_away(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._descriptor)

    def close(self) -> None:
        """Close the connection, and end a wait for it.

        It leaves the selector before its descriptor can mean another connection.
        """
        if self._socket.fileno() < 0:
            return
        self._look_away()
        if self._waiter is not None:
            self._loop.remove_writer(self._descriptor)
            _finish(self._waiter)
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
