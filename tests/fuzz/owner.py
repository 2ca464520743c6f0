"""An owner of an association that does what every owner must, and nothing else, at once."""

from __future__ import annotations

from collections.abc import Iterable

from router.dicom import dimse
from router.dicom.association import Association
from router.dicom.events import (
    Aborted,
    AssociateRequested,
    AssociationEvent,
    CommandReceived,
    ConnectionLost,
    MessageEnded,
    PeerFault,
    Rejected,
    Released,
    ReleaseRequested,
)
from router.dicom.negotiation import AcceptancePolicy, negotiate
from router.dicom.pdu import AssociateAC
from router.net.operations import refusal

LAST_EVENTS = (Aborted, ConnectionLost, PeerFault, Rejected, Released)
POLICY = AcceptancePolicy(accept_storage_commitment=True)


def converse(association: Association, pieces: Iterable[bytes]) -> bytes:
    """Give an association these pieces and then the end of the connection; what it had sent.

    Its promises are checked on the way: all is consumed unless an answer is owed, nothing happens
    after the end, and the end of the connection is the end of it.
    """
    sent = bytearray(association.data_to_send())
    ended = False
    for piece in pieces:
        view = memoryview(piece)
        while view:
            taken = association.receive(view, 0.0)
            events = association.take_events()
            for event in events:
                assert not ended, f"{event} after the end"
                ended = isinstance(event, LAST_EVENTS)
                _answer(association, event)
            sent += association.data_to_send()
            assert taken or events or not view
            view = view[taken:]
    association.receive_eof(0.0)
    assert association.is_closed
    assert not (ended and association.take_events())
    assert association.owed == 0
    return bytes(sent)


def _answer(association: Association, event: AssociationEvent) -> None:
    if association.is_over:
        return
    match event:
        case AssociateRequested(request):
            answer = negotiate(request, POLICY)
            if isinstance(answer, AssociateAC):
                association.accept(answer, 0.0)
            else:
                association.reject(answer, 0.0)
        case ReleaseRequested():
            association.confirm_release(0.0)
        case CommandReceived(message, context) | MessageEnded(message, context):
            if association.owed and not association.can_send:
                association.abort(0.0)
            elif association.owed:
                _respond(association, context.context_id, message)
        case _:
            pass


def _respond(association: Association, context_id: int, message: dimse.Message) -> None:
    if isinstance(message, dimse.UnknownRequest | dimse.MalformedRequest):
        association.send_failure(context_id, message, 0x0211, "no", 0.0)
    elif isinstance(message, dimse.Request) and not isinstance(message, dimse.CCancelRQ):
        association.send_message(context_id, refusal(message, 0x0110), 0.0)
