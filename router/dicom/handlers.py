"""What an acceptor asks of the service behind it, and the service of an association.

All of it runs on the event loop; nothing waits but :meth:`Returner.store`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from router.dicom.data_source import DataSource
from router.dicom.dimse import CStoreRQ, Message, NEventReportRQ
from router.dicom.negotiation import AcceptedContext
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ

Answer = Callable[[int, str], None]
"""Answers one C-STORE request with a status and a comment; called once, on the event loop.

It may be called long after the connection has died, and then does nothing.
"""


class Respond(Protocol):
    """Sends a response to one other request; called as :data:`Answer` is.

    A pending response may come before the last one, any number of times.
    """

    def __call__(self, message: Message, data: bytes | None = None) -> None:
        """``data`` is its data set, if the message says that it has one."""
        ...


Invoked = Callable[[int | None], None]
"""Gets the status that a peer answers to a request of ours; None: it will not be answered."""


class Invoker(Protocol):
    """Asks something of the peer, on an association that the peer requested."""

    def invoke(
        self, context_id: int, request: NEventReportRQ, data: bytes, invoked: Invoked
    ) -> None:
        """Send a request with its data set between other messages; ``invoked`` once, later."""
        ...


class Returner(Protocol):
    """Stores at the peer what it asks for by C-GET, on the association that it asks on."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer has cancelled the C-GET that is being carried out."""
        ...

    async def store(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, source: DataSource
    ) -> int:
        """C-STORE as a sub-operation, one at a time: the status that the peer answers.

        Raises ``AssociationLost`` (``PeerTimeout``), and what reading the source raises. Whatever
        it raises, the association has ended.
        """
        ...


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a connection comes from."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AssociationInfo:
    """An association that has just been accepted.

    ``returned_classes`` are those whose instances the peer takes (SCP role, PS3.7 annex D.3.3.4).
    """

    calling_ae_title: str
    called_ae_title: str
    peer: PeerAddress
    implementation_class_uid: str
    implementation_version: str
    contexts: Mapping[int, AcceptedContext]
    invoker: Invoker
    returner: Returner
    returned_classes: frozenset[str] = frozenset()


class AssociationEnd(StrEnum):
    """How an association ended."""

    RELEASED = "released"  # with every message complete: its sender has sent all
    ABORTED = "aborted"  # by A-ABORT, from either side
    LOST = "lost"  # the connection broke, or the peer released in the middle of a message


class StoreReception(Protocol):
    """One instance while it arrives: any number of ``write``, then ``finish`` or ``abandon``."""

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take the next bytes of the data set; keep no view, raise nothing."""
        ...

    def finish(self, answer: Answer) -> None:
        """The data set is complete: ``answer`` now or later."""
        ...

    def abandon(self) -> None:
        """The association ended in mid-object; nothing can be answered."""
        ...


class AssociationReceiver(Protocol):
    """The service's side of one association."""

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> StoreReception:
        """An instance begins to arrive."""
        ...

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        """Take a request other than C-ECHO and C-STORE; False: not offered (0211).

        ``data`` is its whole data set, of a bounded size. ``respond`` now or later, once.
        """
        ...

    def closed(self, how: AssociationEnd) -> None:
        """The association is over; answers that are still owed go nowhere."""
        ...


class AssociationHandler(Protocol):
    """The service behind an acceptor."""

    def requested(self, request: AssociateRQ, peer: PeerAddress) -> AssociateAC | AssociateRJ:
        """Decide about an association."""
        ...

    def opened(self, info: AssociationInfo) -> AssociationReceiver:
        """Provide the receiver of an association that has been accepted."""
        ...


class Operation(Protocol):
    """A service beside storage and C-ECHO."""

    def request(
        self,
        info: AssociationInfo,
        message: Message,
        context: AcceptedContext,
        data: bytes | None,
        respond: Respond,
    ) -> bool:
        """Take a request, to respond to it now or later; False: it is none of this service."""
        ...
