"""Answers modalities that ask whether their instances are safe.

A request is in the ledger before it is accepted. It is reported when something final can be said of
every instance that it lists: on the association that it came on if that is still there, else on a
new one to the modality, again and again until it takes the report. A restart forgets nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from router.dicom import statuses
from router.domain.commitment import (
    CommitmentPolicy,
    CommitmentReport,
    CommitmentRequest,
    FailureReason,
    Reference,
    Requester,
    Transaction,
    TransactionState,
    judge,
    report,
)
from router.domain.errors import RouterError
from router.domain.retry import RetryPolicy
from router.ports import Clock, CommitmentLedger

LOOK_EVERY_S = 5.0
LOOK_AT_MOST_EVERY_S = 0.2
REPORTS_AT_ONCE = 8

log = structlog.get_logger(__name__)

WayBack = Callable[[CommitmentReport], Awaitable[bool]]
"""Reports on the association that a request came on; whether the modality took the report."""


class ReportSender(Protocol):
    """Reports on a new association."""

    async def send(self, requester: Requester, report: CommitmentReport) -> None:
        """Report; raises a ``RouterError`` when the modality does not take it."""
        ...


@dataclass(frozen=True, slots=True)
class CommitmentSettings:
    """When to answer, and how long to try."""

    policy: CommitmentPolicy = CommitmentPolicy.DELIVERED
    decide_within: timedelta = timedelta(days=1)
    """What is still undecided then is reported as failed."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class CommitmentService:
    """Keeps transactions until they are reported."""

    def __init__(
        self,
        ledger: CommitmentLedger,
        clock: Clock,
        sender: ReportSender,
        settings: CommitmentSettings,
        caught_up: Callable[[], Awaitable[None]],
        complete: Callable[[str, str], bool],
    ):
        """Make the service; see below for what it asks of others.

        ``caught_up`` returns when the ledger knows everything that was acknowledged before;
        ``complete`` is told that a study is complete, and why.
        """
        self._ledger = ledger
        self._clock = clock
        self._sender = sender
        self._settings = settings
        self._caught_up = caught_up
        self._complete = complete
        self._ways_back: dict[int, WayBack] = {}
        self._at_work: set[int] = set()
        self._turns = anyio.CapacityLimiter(REPORTS_AT_ONCE)
        self._changed = anyio.Event()

    async def accept(
        self, request: CommitmentRequest, requester: Requester, way_back: WayBack | None
    ) -> int:
        """Take a request on; the DIMSE status to answer. Raises ``LedgerFailed``.

        A study whose instances are all listed is complete: its source says so.
        """
        transaction = await self._ledger.begin_commitment(request, requester, self._clock.now())
        if transaction is None:
            return FailureReason.DUPLICATE_TRANSACTION_UID
        if way_back is not None:
            self._ways_back[transaction.id] = way_back
        log.info(
            "storage commitment requested",
            calling_ae_title=requester.calling_ae_title,
            transaction_uid=request.transaction_uid,
            instances=len(request.references),
        )
        await self._caught_up()
        for revision in await self._ledger.open_revisions_listed_whole(transaction.id):
            because = f"{requester.calling_ae_title} asked for storage commitment of the whole"
            self._complete(revision.study_instance_uid, because)
        self.look_again()
        return statuses.SUCCESS

    def look_again(self) -> None:
        """Something has changed that may decide about instances."""
        self._changed.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Report what can be reported, until cancelled."""
        async with anyio.create_task_group() as tasks:
            task_status.started()
            while True:
                self._changed = anyio.Event()
                try:
                    await self._look(tasks)
                except RouterError as error:
                    log.error("storage commitment has to wait", error=str(error))
                with anyio.move_on_after(LOOK_EVERY_S):
                    await self._changed.wait()
                await self._clock.sleep(LOOK_AT_MOST_EVERY_S)

    async def _look(self, tasks: TaskGroup) -> None:
        now = self._clock.now()
        for transaction in await self._ledger.open_commitments():
            is_due = transaction.next_attempt_at is None or transaction.next_attempt_at <= now
            if is_due and transaction.id not in self._at_work:
                self._at_work.add(transaction.id)
                tasks.start_soon(self._work_on, transaction)

    async def _work_on(self, transaction: Transaction) -> None:
        """One modality that is slow to take its report delays no other."""
        try:
            async with self._turns:
                await self._look_at(transaction, self._clock.now())
        except RouterError as error:
            log.error(
                "storage commitment has to wait",
                transaction_uid=transaction.transaction_uid,
                error=str(error),
            )
        except (
            Exception
        ):  # a transaction is there again after a restart: it must not end the router
            log.exception(
                "storage commitment failed unexpectedly; it is tried again",
                transaction_uid=transaction.transaction_uid,
            )
        finally:
            self._at_work.discard(transaction.id)

    async def _look_at(self, transaction: Transaction, now: datetime) -> None:
        references = await self._ledger.references(transaction.id)
        holdings = await self._ledger.holdings({one.sop_instance_uid for one in references})
        verdicts = [
            judge(one, holdings.get(one.sop_instance_uid), self._settings.policy)
            for one in references
        ]
        is_late = now - transaction.requested_at >= self._settings.decide_within
        if None in verdicts and not is_late:
            return
        said = report(transaction.transaction_uid, zip(references, verdicts, strict=True))
        await self._report(transaction, said, references)

    async def _report(
        self, transaction: Transaction, said: CommitmentReport, references: Sequence[Reference]
    ) -> None:
        try:
            await self._send(transaction, said)
        except RouterError as error:
            await self._postpone(transaction, str(error))
            return
        failed = dict(said.failed)
        results = [failed.get(one, statuses.SUCCESS) for one in references]
        await self._end(transaction, TransactionState.REPORTED, results, "")

    async def _send(self, transaction: Transaction, said: CommitmentReport) -> None:
        way_back = self._ways_back.get(transaction.id)
        if way_back is not None and await way_back(said):
            return
        self._ways_back.pop(transaction.id, None)
        await self._sender.send(transaction.requester, said)

    async def _postpone(self, transaction: Transaction, reason: str) -> None:
        now, retry = self._clock.now(), self._settings.retry
        if retry.gives_up((now - transaction.requested_at).total_seconds()):
            await self._end(transaction, TransactionState.ABANDONED, (), reason)
            return
        delay = timedelta(seconds=retry.delay_s(transaction.attempts + 1))
        log.warning(
            "storage commitment: the report was not taken; it will be sent again",
            calling_ae_title=transaction.requester.calling_ae_title,
            transaction_uid=transaction.transaction_uid,
            error=reason,
        )
        await self._ledger.postpone_report(transaction.id, now + delay, reason)

    async def _end(
        self,
        transaction: Transaction,
        state: TransactionState,
        results: Sequence[int],
        reason: str,
    ) -> None:
        self._ways_back.pop(transaction.id, None)
        now = self._clock.now()
        await self._ledger.end_commitment(transaction.id, state, now, results, reason)
        log.info(
            "storage commitment ended",
            state=state,
            calling_ae_title=transaction.requester.calling_ae_title,
            transaction_uid=transaction.transaction_uid,
            committed=sum(result == statuses.SUCCESS for result in results),
            failed=sum(result != statuses.SUCCESS for result in results),
            reason=reason,
        )
