"""The ledger as storage commitment uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from router.domain.commitment import (
    CommitmentRequest,
    Holding,
    Reference,
    Requester,
    Transaction,
    TransactionState,
)
from router.domain.study import RevisionKey


class CommitmentLedger(Protocol):
    """The ledger as storage commitment uses it. Each method is one transaction."""

    async def begin_commitment(
        self, request: CommitmentRequest, requester: Requester, at: datetime
    ) -> Transaction | None:
        """Keep a request. One that is repeated is open again, and reported (again).

        None if the requester has used its transaction UID for other instances before.
        """
        ...

    async def open_commitments(self) -> Sequence[Transaction]:
        """All transactions that have not been reported, oldest first."""
        ...

    async def references(self, transaction_id: int) -> Sequence[Reference]:
        """The instances that a transaction lists, in its order."""
        ...

    async def holdings(self, sop_instance_uids: Collection[str]) -> Mapping[str, Holding]:
        """What is known of these instances, by SOP Instance UID; unknown ones are left out."""
        ...

    async def open_revisions_listed_whole(self, transaction_id: int) -> Sequence[RevisionKey]:
        """Open revisions all of whose instances a transaction lists."""
        ...

    async def postpone_report(
        self, transaction_id: int, next_attempt_at: datetime, reason: str
    ) -> None:
        """The report was not taken: count the attempt, and when the next one is due."""
        ...

    async def end_commitment(
        self,
        transaction_id: int,
        state: TransactionState,
        at: datetime,
        results: Sequence[int],
        reason: str,
    ) -> None:
        """The transaction is over; ``results`` are what was said of each instance, in order."""
        ...
