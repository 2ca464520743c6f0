"""One accepted connection: bytes between asyncio's transport and the association, and time-outs.

Nothing here waits and no task is made: asyncio calls in with bytes, the service calls back with
answers, a timer calls in when the peer's time is up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

from router.dicom.association import Association
from router.dicom.dimse import Message, NEventReportRQ
from router.dicom.handlers import AssociationEnd, Invoked, PeerAddress
from router.net.hosted import Host, Hosted
from router.net.operations import Failed
from router.net.patience import Patience
from router.net.sockets import OptionSocket, acknowledge_quickly, tune


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """How long an acceptor waits for those who call it, in seconds."""

    artim_s: float = 30.0  # for the association request, and for the close at the end (PS3.8)
    idle_s: float = 600.0  # for the next message
    message_s: float = 60.0  # for a message to get on


class ConnectionOwner(Host, Protocol):
    """What a connection needs of its acceptor."""

    @property
    def timeouts(self) -> ConnectionTimeouts:
        """How long to wait for the peer."""
        ...

    @property
    def buffer(self) -> memoryview:
        """The receive buffer that all connections share."""
        ...

    def connected(self, connection: Connection) -> bool:
        """Note a new connection; False: there are too many."""
        ...

    def disconnected(self, connection: Connection) -> None:
        """Forget the connection."""
        ...


class Connection(asyncio.BufferedProtocol):
    """The acceptor's end of one connection."""

    def __init__(self, owner: ConnectionOwner):
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        timeouts = owner.timeouts
        self._association = Association.accepting(now, artim_s=timeouts.artim_s)
        self._patience = Patience(timeouts.idle_s, timeouts.message_s, now)
        self._hosted = Hosted(self._association, owner, self, self._patience, timeouts.message_s)
        self._rest = memoryview(b"")  # received, but not to be consumed before an answer is sent
        self._is_consuming = False
        self.is_writing_paused = False
        self._is_draining = False
        self._is_half_open = False  # the peer has closed its direction
        self._watch: asyncio.TimerHandle | None = None

    # -- called by asyncio ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; ARTIM runs."""
        self._transport = cast(asyncio.Transport, transport)
        self._socket: OptionSocket = transport.get_extra_info("socket")
        address = transport.get_extra_info("peername")
        if address:
            self._hosted.peer = PeerAddress(address[0], address[1])
        if not self._owner.connected(self):
            self._hosted.turned_away()
            self._transport.abort()
            return
        tune(self._socket)
        self._rearm_watch()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer until ``buffer_updated`` returns."""
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received."""
        acknowledge_quickly(self._socket)
        self._patience.heard(nbytes, self._loop.time())
        view = self._owner.buffer[:nbytes]
        consumed = self._consume(view)
        self._watch_over()
        if consumed < nbytes and not self._transport.is_closing():
            self._rest = memoryview(bytes(view[consumed:]))
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep the connection while an answer is owed: who has sent all may still listen.

        TLS as asyncio does it has no such half-open connections, and whoever asks by C-GET has to
        answer what it is sent.
        """
        self._is_half_open = True
        is_tls = self._transport.get_extra_info("ssl_object") is not None
        if is_tls or self._association.is_getting:
            self._hang_up()
        self._flush()
        return not self._transport.is_closing()

    def pause_writing(self) -> None:
        """Take no more requests from a peer that does not read the answers."""
        self.is_writing_paused = True

    def resume_writing(self) -> None:
        """Go on: the peer reads."""
        self.is_writing_paused = False
        self._hosted.returning.look()
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up, however the connection ended."""
        if self._watch is not None:
            self._watch.cancel()
        self._association.receive_eof(self._loop.time())
        self._hosted.lost(f"connection lost: {exc}" if exc else "connection closed by the peer")
        self._hosted.end(AssociationEnd.LOST, "connection closed")
        self._owner.disconnected(self)

    # -- called by the acceptor and by operations -------------------------------------------------

    def drain(self) -> None:
        """End when the message at hand has been received and answered; at once if there is none."""
        self._is_draining = True
        self._flush()

    def cut(self) -> None:
        """End at once."""
        self._abort("the acceptor stops")
        self._transport.abort()

    def respond(self, context_id: int, message: Message, data: bytes | None = None) -> None:
        """Send an answer and its data set, if the association is still there."""
        association = self._association
        if association.can_send:
            association.send_message(context_id, message, self._loop.time())
            if data is not None:
                command = association.data_to_send()
                buffers = association.data_buffers(context_id, memoryview(data), last=True)
                self._transport.write(b"".join((command, *buffers)))
            self._answered()

    def fail(self, context_id: int, request: Failed, status: int, comment: str) -> None:
        """Send the answer to a request that has no type of its own."""
        if self._association.can_send:
            now = self._loop.time()
            self._association.send_failure(context_id, request, status, comment, now)
            self._answered()

    def invoke(
        self, context_id: int, request: NEventReportRQ, data: bytes, invoked: Invoked
    ) -> None:
        """Ask something of the peer, as soon as nothing is owed to it."""
        if not self._association.can_send:
            invoked(None)
            return
        self._hosted.invocations.put(context_id, request, data, invoked)
        if not self._is_consuming:
            self._flush()

    def write(self, data: bytes) -> None:
        """Send bytes of a message that is longer than one write."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def give_up(self, text: str) -> None:
        """End the association, for a reason of the service's."""
        self._abort(text)
        self._close()

    # -- bytes ------------------------------------------------------------------------------------

    def _consume(self, view: memoryview) -> int:
        """Feed the association until answers are owed, or all is consumed; how much that was."""
        association, position, size = self._association, 0, len(view)
        self._is_consuming = True
        try:
            while position < size and not self.is_writing_paused:
                taken = association.receive(view[position:], self._loop.time())
                position += taken
                for event in association.take_events():
                    self._hosted.handle(event)
                if not taken:
                    break
        except BaseException:  # of our own making: what is left cannot be made sense of
            self._abort("a fault of the router's own; the log has its traceback")
            self._transport.abort()
            raise
        finally:
            self._is_consuming = False
        self._flush()
        return position

    def _answered(self) -> None:
        if not self._is_consuming:
            self._flush()
            self._patience.heard(0, self._loop.time())
            self._watch_over()
            self._resume()

    def _resume(self) -> None:
        """Consume what had to wait; read on when nothing is left of it."""
        rest = self._rest
        if not rest or self._transport.is_closing():
            return
        self._rest = rest[self._consume(rest) :]
        self._watch_over()
        if not self._rest and not self._transport.is_closing():
            self._transport.resume_reading()

    def _flush(self) -> None:
        data = self._association.data_to_send()
        data += self._hosted.invocations.queue_next(self._association, self._loop.time())
        if data and not self._transport.is_closing():
            self._transport.write(data)
        if self._association.is_closed:
            self._close()
        elif self._is_half_open and not self._association.owed:
            self._hang_up()
        elif self._is_draining and not self._is_busy:
            self._abort("the acceptor stops")
            self._close()

    @property
    def _is_busy(self) -> bool:
        association = self._association
        return association.can_send and bool(association.is_receiving or association.owed)

    def _hang_up(self) -> None:
        """Follow the peer, who has closed its direction of the connection."""
        self._association.receive_eof(self._loop.time())
        self._hosted.lost("connection closed by the peer")
        self._close()

    def _close(self) -> None:
        """Close when all is written, which a peer that does not read cannot hold up for long."""
        if not self._transport.is_closing():
            self._transport.close()
            self._set_watch(self._loop.time() + self._owner.timeouts.artim_s)

    def _abort(self, text: str) -> None:
        """End the association from our side; the peer may still close the connection itself."""
        self._association.abort(self._loop.time())
        data = self._association.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
        self._hosted.end(AssociationEnd.ABORTED, text)

    # -- time -------------------------------------------------------------------------------------

    def _watch_over(self) -> None:
        """Look after the peer earlier, if what it has just said asks for that."""
        in_the_middle = self._association.is_receiving
        self._patience.left(self._loop.time(), in_the_middle=in_the_middle)
        if self._watch is None or self._deadline() < self._watch.when():
            self._rearm_watch()

    def _deadline(self) -> float:
        """When to look after the peer."""
        association = self._association
        if association.deadline is not None:
            return association.deadline
        return self._patience.deadline(is_owed=association.owed > 0)

    def _rearm_watch(self) -> None:
        """Look after the peer at the deadline, or when idle time is over, whichever is first."""
        latest = self._loop.time() + self._owner.timeouts.idle_s
        if not self._transport.is_closing():
            self._set_watch(min(self._deadline(), latest))

    def _set_watch(self, when: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        if self._transport.is_closing():
            self._transport.abort()
            return
        now, association = self._loop.time(), self._association
        association.expire(now)
        self._hosted.lost("")
        if association.can_send:
            verdict = self._patience.verdict(now, is_owed=association.owed > 0)
            if verdict is not None:
                self._abort(verdict)
        self._flush()
        self._rearm_watch()
