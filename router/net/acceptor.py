"""Listens for associations and bounds them: the SCP side of the upper layer on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import anyio

from router.dicom.handlers import AssociationHandler, PeerAddress
from router.dicom.negotiation import LOCAL_LIMIT_EXCEEDED
from router.dicom.pdu import AssociateRJ
from router.net.connection import Connection, ConnectionTimeouts
from router.net.sockets import BACKLOG, RECEIVE_BUFFER_BYTES

SPARE_CONNECTIONS = 1024
"""Connections without an association that may be open beside those with one."""

CLOSE_WITHIN_S = 1.0
"""Connections that have been cut are gone in the next round of the event loop."""


@dataclass(frozen=True, slots=True)
class AcceptorLimits:
    """How many associations an acceptor serves, and how long it waits for the callers."""

    max_associations: int = 1024
    max_associations_per_source: int = 512
    timeouts: ConnectionTimeouts = field(default_factory=ConnectionTimeouts)


class Acceptor:
    """Serves associations while its ``async with`` block runs.

    Policy and operations are the handler's. Over the limits an association is rejected as a
    transient fault (local limit exceeded), so that the caller comes back. Leaving the block aborts
    what is still open, and every connection is gone after it; call ``drain`` first to let messages
    finish.
    """

    def __init__(
        self,
        handler: AssociationHandler,
        *,
        host: str,
        port: int,
        limits: AcceptorLimits | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ):
        self.handler = handler
        self.limits = limits or AcceptorLimits()
        self.buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._connections: set[Connection] = set()
        self._associations: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._emptied = anyio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self),
            self._host,
            self._port,
            backlog=BACKLOG,
            reuse_address=True,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self.timeouts.artim_s if self._ssl_context else None,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop_listening()
        for connection in tuple(self._connections):
            connection.cut()
        with anyio.move_on_after(CLOSE_WITHIN_S, shield=True):
            await self._wait_until_empty()

    @property
    def port(self) -> int:
        """The TCP port; where 0 was asked for, the one that was bound."""
        return self._port

    @property
    def timeouts(self) -> ConnectionTimeouts:
        """How long connections wait for their peers."""
        return self.limits.timeouts

    @property
    def associations(self) -> int:
        """Associations that are open now."""
        return self._associations.total()

    async def drain(self, timeout_s: float) -> bool:
        """Stop accepting, and let messages that are being received be answered; then abort.

        Whether all were finished within ``timeout_s``.
        """
        self._stop_listening()
        for connection in tuple(self._connections):
            connection.drain()
        with anyio.move_on_after(timeout_s):
            await self._wait_until_empty()
        unfinished = tuple(self._connections)
        for connection in unfinished:
            connection.cut()
        return not unfinished

    async def _wait_until_empty(self) -> None:
        while self._connections:
            await self._emptied.wait()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    # -- called by connections --------------------------------------------------------------------

    def connected(self, connection: Connection) -> bool:
        """Note a new connection; False: there are too many."""
        if len(self._connections) >= self.limits.max_associations + SPARE_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def refusal(self, peer: PeerAddress) -> AssociateRJ | None:
        """Say whether the peer may have another association; why not."""
        limits = self.limits
        if (
            self.associations >= limits.max_associations
            or self._associations[peer.host] >= limits.max_associations_per_source
        ):
            return LOCAL_LIMIT_EXCEEDED
        return None

    def associated(self, peer: PeerAddress) -> None:
        """Count an accepted association."""
        self._associations[peer.host] += 1

    def disassociated(self, peer: PeerAddress) -> None:
        """Count the end of an association."""
        self._associations[peer.host] -= 1
        self._associations += Counter()  # forgets sources without associations

    def disconnected(self, connection: Connection) -> None:
        """Forget the connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()
            self._emptied = anyio.Event()
