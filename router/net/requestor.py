"""Requests associations and carries out operations as their SCU.

How to use one::

    async with associate("writer", 4242, "ROUTER", "XRAY", contexts=propose(pairs)) as association:
        answer = await association.store(sop_class, sop_instance, transfer_syntax, source)

Leaving the block releases the association; leaving it by an error or by cancellation aborts it.
An operation that does not run to its end, whatever the cause, ends the association at once.
Errors: ``AssociationRejected``; ``AssociationLost`` where the peer aborts or the connection breaks,
after which the outcome of the operation at hand is unknown; its subclass ``PeerTimeout`` where the
peer is silent for too long; ``ContextNotAccepted`` before anything is sent.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager

import anyio
from anyio.lowlevel import checkpoint

from router.dicom import statuses, uids
from router.dicom.data_source import DataSource
from router.dicom.dimse import CEchoRQ, CFindRQ, CStoreRQ, CStoreRSP, NActionRQ, NEventReportRQ
from router.dicom.negotiation import DEFAULT_MAX_LENGTH
from router.dicom.pdu import AssociateRQ, ProposedContext, RoleSelection, UserInformation
from router.domain.errors import AssociationLost, ContextNotAccepted, PeerTimeout
from router.net.exchange import Answer, Exchange, Reported, RequestorTimeouts
from router.net.pieces import chunk_for, fill
from router.net.stream import ByteStream, TCPStream
from router.net.tls import TLSStream

MAX_MESSAGE_ID = 0xFFFF


@asynccontextmanager
async def associate(
    host: str,
    port: int,
    calling_ae_title: str,
    called_ae_title: str,
    *,
    contexts: Sequence[ProposedContext],
    timeouts: RequestorTimeouts | None = None,
    roles: Sequence[RoleSelection] = (),
    reported: Reported | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[RequestedAssociation]:
    """An association with an application entity, as long as the block runs.

    ``reported`` gets the events that the peer reports on it (storage commitment). With an
    ``ssl_context`` the association runs over TLS (PS3.15 annex B); ``host`` is what the peer's
    certificate is checked against, if the context says so.
    """
    timeouts = timeouts or RequestorTimeouts()
    peer = f"{called_ae_title} at {host}:{port}"
    user = UserInformation(
        max_length=DEFAULT_MAX_LENGTH,
        implementation_class_uid=uids.IMPLEMENTATION_CLASS,
        implementation_version=uids.IMPLEMENTATION_VERSION,
        roles=tuple(roles),
    )
    request = AssociateRQ(called_ae_title, calling_ae_title, tuple(contexts), user)
    with closing(await _connect(host, port, peer, timeouts.connect_s, ssl_context)) as stream:
        exchange = Exchange(stream, request, peer, timeouts, reported)
        try:
            await exchange.open()
            yield RequestedAssociation(exchange)
            await exchange.release()
        finally:
            exchange.close()


async def _connect(
    host: str, port: int, peer: str, timeout_s: float, ssl_context: ssl.SSLContext | None
) -> ByteStream:
    try:
        with anyio.fail_after(timeout_s):
            stream = await TCPStream.connect(host, port, timeout_s)
            if ssl_context is None:
                return stream
            return await TLSStream.handshake(stream, ssl_context, host)
    except TimeoutError:
        raise PeerTimeout(f"{peer}: no connection within {timeout_s:g} s") from None
    except OSError as error:
        raise AssociationLost(f"{peer}: no connection: {error.strerror or error}") from error


class RequestedAssociation:
    """One open association; one operation at a time. Made by :func:`associate`."""

    def __init__(self, exchange: Exchange):
        self._exchange = exchange
        self._chunk: memoryview | None = None
        self._last_id = 0
        self._contexts: dict[tuple[str, str], int] = {}
        for context in exchange.accepted.values():
            pair = context.abstract_syntax, context.transfer_syntax
            self._contexts.setdefault(pair, context.context_id)

    @property
    def is_open(self) -> bool:
        """Whether operations may still be asked for."""
        return self._exchange.is_open

    def accepts(self, sop_class_uid: str, transfer_syntax_uid: str | None = None) -> bool:
        """Whether the peer accepted a context of this abstract and this (or any) syntax."""
        if transfer_syntax_uid is not None:
            return (sop_class_uid, transfer_syntax_uid) in self._contexts
        return any(abstract == sop_class_uid for abstract, _ in self._contexts)

    def transfer_syntax(self, sop_class_uid: str) -> str:
        """That of data sets of an operation; raises ``ContextNotAccepted``."""
        return self._exchange.accepted[self._context_of(sop_class_uid)].transfer_syntax

    async def echo(self) -> int:
        """C-ECHO: the status that the peer answers."""
        context_id = self._context_of(uids.VERIFICATION)
        request = CEchoRQ(self._next_id(), uids.VERIFICATION)
        return (await self._operate(context_id, request, None)).message.status

    async def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        source: DataSource,
        *,
        originator: tuple[str, int] | None = None,
    ) -> CStoreRSP:
        """C-STORE: what the peer answers.

        ``originator`` is who asked for it by C-MOVE: AE title and message id.

        An error of the source ends the association in mid-object, so that the peer never takes a
        part for the whole. A peer that refuses the instance and leaves before it has all of it has
        answered; one that claims to have stored it before that has not.
        """
        context_id = self._contexts.get((sop_class_uid, transfer_syntax_uid))
        if context_id is None:
            raise ContextNotAccepted(
                f"{self._exchange.peer} does not accept {uids.name(sop_class_uid)} "
                f"as {uids.name(transfer_syntax_uid)}"
            )
        title, number = originator or ("", None)
        request = CStoreRQ(
            self._next_id(),
            sop_class_uid,
            sop_instance_uid,
            move_originator_ae_title=title,
            move_originator_message_id=number,
        )
        with self._operation():
            self._exchange.begin(context_id, request)
            try:
                await self._send_data_set(context_id, source)
            except AssociationLost:
                early = self._exchange.early_status
                if early is None or statuses.is_stored(early):
                    raise
            answer = (await self._exchange.answer()).message
            if not isinstance(answer, CStoreRSP):
                text = f"{self._exchange.peer} answered C-STORE with something else"
                raise AssociationLost(text)
            return answer

    async def find(self, sop_class_uid: str, identifier: bytes) -> AsyncGenerator[Answer, None]:
        """C-FIND: each answer as it comes, the last one without an identifier.

        Whoever does not want all of them closes the iterator, which ends the association.
        """
        context_id = self._context_of(sop_class_uid)
        request = CFindRQ(self._next_id(), sop_class_uid)
        with self._operation():
            self._exchange.begin(context_id, request)
            await self._exchange.send(context_id, memoryview(identifier), last=True)
            is_pending = True
            while is_pending:
                answer = await self._exchange.answer()
                category = statuses.category(answer.message.status)
                is_pending = category is statuses.StatusCategory.PENDING
                yield answer

    async def action(
        self, sop_class_uid: str, sop_instance_uid: str, action_type_id: int, data: bytes
    ) -> int:
        """N-ACTION with its information: the status that the peer answers."""
        context_id = self._context_of(sop_class_uid)
        request = NActionRQ(self._next_id(), sop_class_uid, sop_instance_uid, action_type_id)
        return (await self._operate(context_id, request, data)).message.status

    async def report(
        self, sop_class_uid: str, sop_instance_uid: str, event_type_id: int, data: bytes
    ) -> int:
        """N-EVENT-REPORT with its information: the status that the peer answers."""
        context_id = self._context_of(sop_class_uid)
        request = NEventReportRQ(self._next_id(), sop_class_uid, sop_instance_uid, event_type_id)
        return (await self._operate(context_id, request, data)).message.status

    def abort(self) -> None:
        """End the association at once, for a reason of ours; never waits."""
        self._exchange.close()

    async def listen(self, timeout_s: float) -> None:
        """Take events that the peer reports, for so long; returns early if the peer is gone."""
        await self._exchange.listen(timeout_s)

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """End the association if the block is left by an error: nobody knows what the peer has."""
        try:
            yield
        except BaseException:
            self._exchange.close()
            raise

    async def _operate(
        self, context_id: int, request: CEchoRQ | NActionRQ | NEventReportRQ, data: bytes | None
    ) -> Answer:
        with self._operation():
            self._exchange.begin(context_id, request)
            if data is not None:
                await self._exchange.send(context_id, memoryview(data), last=True)
            return await self._exchange.answer()

    async def _send_data_set(self, context_id: int, source: DataSource) -> None:
        """The command goes out with the first chunk, in one write."""
        chunk = self._chunk = self._chunk or chunk_for(self._exchange.payload)
        position, length = 0, source.length
        while True:
            view = chunk[: length - position]
            count = await fill(view, source, position) if view else 0
            position += count
            is_last = position == length
            await self._exchange.send(context_id, view[:count], last=is_last)
            if is_last:
                return
            await checkpoint()  # a fast peer and a large object must not keep the loop

    def _next_id(self) -> int:
        self._last_id = self._last_id % MAX_MESSAGE_ID + 1
        return self._last_id

    def _context_of(self, sop_class_uid: str) -> int:
        for (abstract_syntax, _), context_id in self._contexts.items():
            if abstract_syntax == sop_class_uid:
                return context_id
        raise ContextNotAccepted(
            f"{self._exchange.peer} does not accept {uids.name(sop_class_uid)}"
        )
