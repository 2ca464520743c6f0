"""The ledger as one lane uses it: loads what is to be sent, writes down what came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import structlog

from router.delivery.queue import NEVER, CandidateQueue, QueuedDelivery
from router.domain.delivery import DeliveryState
from router.domain.errors import RouterError, StateConflict
from router.domain.study import RevisionKey
from router.ports import Clock, Ledger

LEDGER_RETRY_S = 1.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Books:
    """Keeps queue and ledger in agreement.

    A ledger that fails is asked again until it answers: nothing is sent that is not counted, and
    nothing that came back is forgotten. A delivery that somebody else has ended leaves the queue.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: CandidateQueue,
        clock: Clock,
        page: int,
        on_settled: Callable[[RevisionKey], None],
    ):
        """``page`` is how many items are loaded at a time."""
        self._ledger = ledger
        self._queue = queue
        self._clock = clock
        self._page = page
        self._on_settled = on_settled

    async def load(self, queued: QueuedDelivery) -> None:
        """Count the attempt if it has not begun yet; load the next page of items."""
        try:
            if not queued.begun:
                await self._begin(queued)
            items = await self._insist(
                lambda: self._ledger.pending_items(
                    queued.delivery.id, self._page, after=queued.cursor
                )
            )
        except StateConflict as conflict:
            self._forget(queued, conflict)
        else:
            self._queue.fill(queued, items, last=len(items) < self._page)

    async def write_results(self, queued: QueuedDelivery) -> None:
        """Write down what came back for a delivery since the last time."""
        results = self._queue.take_results(queued)
        if not results:
            return
        try:
            delivery = await self._insist(
                lambda: self._ledger.record_results(queued.delivery.id, results)
            )
        except StateConflict as conflict:
            self._forget(queued, conflict)
        else:
            self._queue.update(queued, delivery)

    async def end(
        self, queued: QueuedDelivery, state: DeliveryState, reason: str, due: float
    ) -> None:
        """Write down how an attempt ended; ``due`` (monotonic) is when the next one may begin."""
        now = self._clock.now()
        next_attempt_at = None
        if not state.is_terminal and due < NEVER:
            next_attempt_at = now + timedelta(seconds=due - self._clock.monotonic())
        delivery_id = queued.delivery.id
        try:
            settled = await self._insist(
                lambda: self._ledger.end_attempt(delivery_id, state, now, next_attempt_at, reason)
            )
        except StateConflict as conflict:
            self._forget(queued, conflict)
            return
        if state.is_terminal:
            self._queue.remove(queued)
        else:
            delivery = replace(
                queued.delivery, state=state, next_attempt_at=next_attempt_at, reason=reason
            )
            self._queue.postpone(queued, delivery, due)
        if settled is not None:
            self._on_settled(settled)

    async def _begin(self, queued: QueuedDelivery) -> None:
        now = self._clock.now()
        delivery = queued.delivery
        await self._insist(lambda: self._ledger.begin_attempt(delivery.id, now))
        self._queue.begin(
            queued,
            replace(
                delivery,
                state=DeliveryState.ACTIVE,
                attempts=delivery.attempts + 1,
                next_attempt_at=None,
            ),
        )

    def _forget(self, queued: QueuedDelivery, conflict: StateConflict) -> None:
        self._queue.remove(queued)
        log.warning(
            "the delivery was ended by somebody else",
            ae_title=queued.delivery.ae_title,
            study_instance_uid=queued.delivery.study_instance_uid,
            error=str(conflict),
        )

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The ledger's answer, however often it has to be asked; raises ``StateConflict``."""
        while True:
            try:
                return await ask()
            except StateConflict:
                raise
            except RouterError as error:
                log.error("the ledger does not answer; deliveries wait", error=str(error))
                await self._clock.sleep(LEDGER_RETRY_S)
