"""An association that a peer requested, on the side of the service behind the acceptor."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from router.dicom.association import Association
from router.dicom.dimse import CStoreRSP, NEventReportRSP
from router.dicom.events import (
    Aborted,
    AssociateRequested,
    AssociationEvent,
    CommandReceived,
    ConnectionLost,
    DataFragments,
    MessageEnded,
    MessageStarted,
    PeerFault,
    ReleaseRequested,
    RequestTimedOut,
)
from router.dicom.handlers import (
    AssociationEnd,
    AssociationHandler,
    AssociationInfo,
    AssociationReceiver,
    Invoker,
    PeerAddress,
)
from router.dicom.pdu import AssociateRJ, AssociateRQ
from router.net.invocations import Invocations
from router.net.operations import Operations, Responder
from router.net.patience import Patience
from router.net.returning import Link, Returning

NOWHERE = PeerAddress("unknown", 0)

log = structlog.get_logger(__name__)


class Host(Protocol):
    """Who lets associations in."""

    @property
    def handler(self) -> AssociationHandler:
        """The service behind the acceptor."""
        ...

    def refusal(self, peer: PeerAddress) -> AssociateRJ | None:
        """Say whether the peer may have another association; why not."""
        ...

    def associated(self, peer: PeerAddress) -> None:
        """Count an accepted association."""
        ...

    def disassociated(self, peer: PeerAddress) -> None:
        """Count the end of an association."""
        ...


class Line(Responder, Invoker, Link, Protocol):
    """What services need of the connection."""


class Hosted:
    """Lets the peer in or not, and tells the service what it says, until the association ends.

    ``peer`` is where it calls from, as soon as that is known.
    """

    __slots__ = (
        "_association",
        "_calling_ae_title",
        "_has_ended",
        "_host",
        "_line",
        "_operations",
        "_patience",
        "_receiver",
        "_time",
        "invocations",
        "peer",
        "returning",
    )

    def __init__(
        self, association: Association, host: Host, line: Line, patience: Patience, message_s: float
    ):
        self._association = association
        self._host = host
        self._line = line
        self._patience = patience
        self._time = asyncio.get_running_loop().time
        self._receiver: AssociationReceiver | None = None
        self._operations: Operations | None = None
        self.invocations = Invocations()
        self.returning = Returning(association, line, message_s)
        self.peer = NOWHERE
        self._calling_ae_title = ""
        self._has_ended = False

    def lost(self, because: str) -> None:
        """Nothing more will come: what that means, and what the association knew before it."""
        for event in self._association.take_events():
            if isinstance(event, ConnectionLost):
                self.end(AssociationEnd.LOST, because)
            else:
                self.handle(event)

    def handle(self, event: AssociationEvent) -> None:
        """Follow one event; never waits."""
        match event:
            case CommandReceived(CStoreRSP() | NEventReportRSP() as response) | MessageEnded(
                CStoreRSP() | NEventReportRSP() as response
            ):
                self._take_answer(response)
            case DataFragments() | MessageStarted() | MessageEnded() | CommandReceived():
                if self._operations is not None:
                    self._operations.handle(event)
            case AssociateRequested() | ReleaseRequested() if self._association.is_over:
                pass  # by what the peer sent right behind it
            case AssociateRequested(request):
                self._decide(request)
            case ReleaseRequested():
                is_whole = not self._association.is_receiving
                self._association.confirm_release(self._time())
                if is_whole:
                    self.end(AssociationEnd.RELEASED, "")
                else:
                    self.end(AssociationEnd.LOST, "released in the middle of a message")
            case Aborted(source, reason):
                text = f"the peer aborted (source {source}, reason {reason})"
                self.end(AssociationEnd.ABORTED, text)
            case PeerFault(text):
                self.end(AssociationEnd.ABORTED, f"the peer broke the protocol: {text}")
            case RequestTimedOut():
                self.end(AssociationEnd.ABORTED, "no association request was received in time")
            case _:
                pass  # only a requestor sees the others

    def _take_answer(self, response: CStoreRSP | NEventReportRSP) -> None:
        """Tell who has asked something of the peer."""
        if isinstance(response, CStoreRSP):
            self.returning.answered(response)
        else:
            self.invocations.answered(response)

    def _decide(self, request: AssociateRQ) -> None:
        now = self._time()
        self._calling_ae_title = request.calling_ae_title
        refusal = self._host.refusal(self.peer)
        if refusal is not None:
            self._association.reject(refusal, now)
            self.end(AssociationEnd.ABORTED, "rejected: too many associations")
            return
        answer = self._host.handler.requested(request, self.peer)
        if isinstance(answer, AssociateRJ):
            self._association.reject(answer, now)
            self._has_ended = True  # the handler has its own words for that
            return
        self._association.accept(answer, now)
        info = AssociationInfo(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            peer=self.peer,
            implementation_class_uid=request.user.implementation_class_uid,
            implementation_version=request.user.implementation_version,
            contexts=self._association.contexts,
            invoker=self._line,
            returner=self.returning,
            returned_classes=frozenset(one.sop_class_uid for one in answer.user.roles if one.scp),
        )
        self._receiver = self._host.handler.opened(info)
        self._operations = Operations(self._receiver, self._line)
        self._host.associated(self.peer)

    def turned_away(self) -> None:
        """There is no room for the connection, and nothing more to be said of it."""
        log.warning("connection refused: too many are open", address=str(self.peer))
        self._has_ended = True

    def end(self, how: AssociationEnd, reason: str) -> None:
        """Tell the service, and the log, once."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._operations is not None:
            self._operations.abandon()
        self.invocations.abandon()
        self.returning.look()
        if self._receiver is not None:
            self._host.disassociated(self.peer)
            self._receiver.closed(how)
        was_expected = how is AssociationEnd.RELEASED or not self._patience.received
        write = log.info if was_expected else log.warning
        write(
            f"association {how}" if self._receiver else "connection without association",
            calling_ae_title=self._calling_ae_title,
            address=str(self.peer),
            reason=reason,
            stores=self._operations.stores if self._operations else 0,
            received_bytes=self._patience.received,
        )
