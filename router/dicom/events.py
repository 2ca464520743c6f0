"""What an association reports: everything that its owner may have to act on.

Views in :class:`DataFragments` belong to whoever called ``receive``; they are valid until its
buffer is used again. Whoever keeps bytes copies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.dicom.dimse import Message
from router.dicom.negotiation import AcceptedContext
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ


@dataclass(frozen=True, slots=True)
class AssociateRequested:
    """A peer asks for an association: answer with ``accept`` or ``reject``."""

    request: AssociateRQ


@dataclass(frozen=True, slots=True)
class Associated:
    """The peer accepted; these contexts may be used, by id."""

    answer: AssociateAC
    contexts: Mapping[int, AcceptedContext]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The peer rejected; the connection is to be closed."""

    rejection: AssociateRJ


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A whole message that has no data set."""

    message: Message
    context: AcceptedContext


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """A message whose data set follows: ``DataFragments``, then ``MessageEnded``."""

    message: Message
    context: AcceptedContext


@dataclass(slots=True)
class DataFragments:
    """The next bytes of the data set; about one per read."""

    fragments: list[memoryview]


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """The data set is complete."""

    message: Message
    context: AcceptedContext


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer wants to end the association: finish what is owed, then ``confirm_release``."""


@dataclass(frozen=True, slots=True)
class Released:
    """Our request for release was confirmed; the connection is to be closed."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The peer sent A-ABORT (PS3.8 section 9.3.8); the connection is to be closed."""

    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class PeerFault:
    """The peer broke the protocol; an A-ABORT waits to be sent, the association has ended."""

    text: str


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The peer closed the connection while an association was there, or was expected."""


@dataclass(frozen=True, slots=True)
class RequestTimedOut:
    """The peer connected, but sent no association request in time (ARTIM, in Sta2)."""


AssociationEvent = (
    AssociateRequested
    | Associated
    | Rejected
    | CommandReceived
    | MessageStarted
    | DataFragments
    | MessageEnded
    | ReleaseRequested
    | Released
    | Aborted
    | PeerFault
    | ConnectionLost
    | RequestTimedOut
)
