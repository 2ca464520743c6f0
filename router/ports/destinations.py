"""How candidates are reached: one instance after the other, or a revision at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome


class DestinationSession(Protocol):
    """An open way to a candidate (for DIMSE: one association)."""

    def carries(self, item: DeliveryItem) -> bool:
        """Whether this session was opened for the item's SOP class and transfer syntax."""
        ...

    async def send(self, item: DeliveryItem) -> Outcome:
        """Send one instance and wait for the answer.

        Raises ``AssociationLost`` when the session is gone: the outcome of this item is unknown.
        """
        ...


class Destination(Protocol):
    """How to reach candidates of one kind: an ``InstanceDestination`` or ``RevisionDestination``.

    What has changed on disk since it arrived never leaves the router whole.
    """

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Ask the candidate whether what it stored of a delivery is safe, and wait for its report.

        Raises a ``RouterError`` when it cannot be asked, and ``PeerTimeout`` when no report comes.
        """
        ...

    async def probe(self, candidate: Candidate) -> None:
        """Ask whether the candidate is there (C-ECHO, or a GET); raises a ``RouterError`` if not.

        ``ContextNotAccepted``: it is there, but cannot be asked.
        """
        ...


@runtime_checkable
class InstanceDestination(Destination, Protocol):
    """Candidates that take one instance after the other."""

    def open(
        self, candidate: Candidate, items: Sequence[DeliveryItem]
    ) -> AbstractAsyncContextManager[DestinationSession]:
        """Open a session fit for these items; raises ``AssociationRejected`` or ``…Lost``."""
        ...


@runtime_checkable
class RevisionDestination(Destination, Protocol):
    """Candidates that take all instances of a delivery in one transfer."""

    @property
    def is_divisible(self) -> bool:
        """Whether instances may also be transferred by themselves, when one is suspected.

        If not, a transfer is all or nothing.
        """
        ...

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """Send these instances; the outcome of each, in their order.

        Raises ``CandidateUnavailable`` when none of them is at fault, and ``AssociationLost`` when
        any may be: then their outcome is unknown.
        """
        ...
