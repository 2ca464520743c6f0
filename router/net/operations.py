"""DIMSE operations of one association as their SCP: from events to answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from router.dicom import dimse, statuses, uids
from router.dicom.dimse import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CMoveRQ,
    CMoveRSP,
    CStoreRQ,
    CStoreRSP,
    MalformedRequest,
    Message,
    NActionRQ,
    NActionRSP,
    NEventReportRQ,
    NEventReportRSP,
    UnknownRequest,
)
from router.dicom.events import CommandReceived, DataFragments, MessageEnded, MessageStarted
from router.dicom.handlers import Answer, AssociationReceiver, StoreReception
from router.dicom.negotiation import AcceptedContext

MAX_COLLECTED_BYTES = 16 * 1024 * 1024
"""Longest data set of an operation other than C-STORE."""

MessageEvent = MessageStarted | DataFragments | MessageEnded | CommandReceived
Failed = UnknownRequest | MalformedRequest
Asking = CFindRQ | CMoveRQ | CGetRQ | NActionRQ | NEventReportRQ
Refusable = CEchoRQ | CStoreRQ | Asking


class Responder(Protocol):
    """Sends answers, as long as the association is there."""

    def respond(self, context_id: int, message: Message, data: bytes | None = None) -> None:
        """Send a response, with its data set if it has one."""
        ...

    def fail(self, context_id: int, request: Failed, status: int, comment: str) -> None:
        """Send the response to a request that has no type of its own."""
        ...


class _Collector:
    """Gathers a data set that an operation needs whole; what is beyond the bound is dropped."""

    __slots__ = ("_data", "_limit", "overflowed")

    def __init__(self, limit: int):
        self._data = bytearray()
        self._limit = limit
        self.overflowed = False

    def write(self, fragments: Sequence[memoryview]) -> None:
        for fragment in fragments:
            if len(self._data) + len(fragment) > self._limit:
                self.overflowed = True
                return
            self._data += fragment

    def take(self) -> bytes:
        return bytes(self._data)


class Operations:
    """Answers C-ECHO itself, hands instances and other requests to the receiver."""

    __slots__ = ("_collector", "_receiver", "_reception", "_responder", "stores")

    def __init__(self, receiver: AssociationReceiver, responder: Responder):
        self._receiver = receiver
        self._responder = responder
        self._reception: StoreReception | None = None
        self._collector = _Collector(0)
        self.stores = 0

    def handle(self, event: MessageEvent) -> None:
        """Follow one event; never waits."""
        match event:
            case DataFragments(fragments):
                sink = self._collector if self._reception is None else self._reception
                sink.write(fragments)
            case MessageStarted(message, context):
                self._start(message, context)
            case MessageEnded(message, context):
                self._end(message, context)
            case CommandReceived(message, context):
                self._start(message, context)
                self._end(message, context)

    def abandon(self) -> None:
        """The association has ended: give up what is incomplete."""
        reception, self._reception = self._reception, None
        if reception is not None:
            reception.abandon()

    def _start(self, message: Message, context: AcceptedContext) -> None:
        if isinstance(message, CStoreRQ) and may_bring_instances(context):
            self._reception = self._receiver.begin_store(message, context)
        else:
            needs_data = isinstance(message, Asking)
            self._collector = _Collector(MAX_COLLECTED_BYTES if needs_data else 0)

    def _end(self, message: Message, context: AcceptedContext) -> None:
        reception, self._reception = self._reception, None
        if reception is not None and isinstance(message, CStoreRQ):
            self.stores += 1
            reception.finish(self._answer_to(message, context.context_id))
        else:
            self._perform(message, context)

    def _answer_to(self, request: CStoreRQ, context_id: int) -> Answer:
        def answer(status: int, comment: str) -> None:
            response = CStoreRSP(
                request.message_id,
                request.sop_class_uid,
                request.sop_instance_uid,
                status,
                comment,
            )
            self._responder.respond(context_id, response)

        return answer

    def _perform(self, message: Message, context: AcceptedContext) -> None:
        collector, self._collector = self._collector, _Collector(0)
        context_id = context.context_id
        match message:
            case CEchoRQ(message_id):
                self._responder.respond(
                    context_id, CEchoRSP(message_id, context.abstract_syntax, statuses.SUCCESS)
                )
            case CStoreRQ():
                refused = refusal(message, statuses.SOP_CLASS_NOT_SUPPORTED)
                self._responder.respond(context_id, refused)
            case UnknownRequest():
                self._responder.fail(context_id, message, statuses.UNRECOGNISED_OPERATION, "")
            case MalformedRequest(missing=missing):
                comment = f"missing: {', '.join(missing)}"
                self._responder.fail(context_id, message, statuses.MISSING_ATTRIBUTE, comment)
            case CFindRQ() | CMoveRQ() | CGetRQ() | NActionRQ() | NEventReportRQ():
                self._ask(message, context, collector)
            case CCancelRQ() | _:
                pass  # nothing to cancel, nothing asked

    def _ask(
        self,
        request: Asking,
        context: AcceptedContext,
        collector: _Collector,
    ) -> None:
        def respond(message: Message, data: bytes | None = None) -> None:
            self._responder.respond(context.context_id, message, data)

        if collector.overflowed:
            respond(refusal(request, statuses.RESOURCE_LIMITATION))
            return
        data = collector.take() if request.has_data_set else None
        if not self._receiver.request(request, context, data, respond):
            respond(refusal(request, statuses.UNRECOGNISED_OPERATION))


def may_bring_instances(context: AcceptedContext) -> bool:
    """Whether instances may come in this context; of which class, each says itself.

    Classes of nobody's knowledge may be for storage; verification and its like are not.
    """
    return not uids.is_known_non_storage(context.abstract_syntax)


def refusal(request: Refusable, status: int) -> dimse.Response:
    """Make the response that refuses a request with a failure status; C-ECHO is never refused."""
    message_id, sop_class = request.message_id, request.sop_class_uid
    match request:
        case CEchoRQ():
            return CEchoRSP(message_id, sop_class, statuses.SUCCESS)
        case CStoreRQ(sop_instance_uid=instance):
            return CStoreRSP(message_id, sop_class, instance, status)
        case CFindRQ():
            return CFindRSP(message_id, sop_class, status)
        case CMoveRQ():
            return CMoveRSP(message_id, sop_class, status)
        case CGetRQ():
            return CGetRSP(message_id, sop_class, status)
        case NActionRQ(sop_instance_uid=instance, action_type_id=action):
            return NActionRSP(message_id, sop_class, instance, action, status)
        case NEventReportRQ(sop_instance_uid=instance, event_type_id=event):
            return NEventReportRSP(message_id, sop_class, instance, event, status)
