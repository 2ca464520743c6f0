"""The ledger as one lane uses it: loads what is to be sent, writes down what came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import anyio
import structlog

from router.delivery.queue import CandidateQueue
from router.delivery.queued import QueuedDelivery
from router.delivery.settings import DeliverySettings
from router.delivery.waiting import NEVER
from router.domain.delivery import Delivery, DeliveryItem, DeliveryState, ItemResult
from router.domain.errors import RouterError, StateConflict
from router.domain.study import RevisionKey
from router.ports import Clock, Ledger

LEDGER_RETRY_S = 1.0
UNWRITTEN_AT_MOST = 4  # times the results that are written at once

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
        settings: DeliverySettings,
        on_settled: Callable[[RevisionKey], None],
    ):
        self._ledger = ledger
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._on_settled = on_settled
        self._written = anyio.Event()
        self.write_at = NEVER
        """When ``write`` has to be called, at the latest (monotonic)."""

    # -- what came back ----------------------------------------------------------------------------

    @property
    def is_time_to_write(self) -> bool:
        """Whether so much came back, or so long ago, that it goes into the ledger now."""
        has_many = self._queue.unrecorded >= self._settings.flush_after
        return has_many or self._clock.monotonic() >= self.write_at

    def expect_writing(self) -> None:
        """A result came back: it will be written soon, with those that come until then."""
        self.write_at = min(self.write_at, self._clock.monotonic() + self._settings.flush_after_s)

    async def write(self, *, all_of_it: bool) -> None:
        """Write down what came back for deliveries that are answered; for all, if it is time."""
        is_time = all_of_it or self.is_time_to_write
        for queued in self._queue.begun:
            if is_time or queued.is_answered:
                await self._write_results(queued)
        if not self._queue.unrecorded:
            self.write_at = NEVER
        self._written.set()
        self._written = anyio.Event()

    async def room(self) -> None:
        """Wait until the ledger has caught up with what came back."""
        while self._queue.unrecorded >= UNWRITTEN_AT_MOST * self._settings.flush_after:
            await self._written.wait()

    async def _write_results(self, queued: QueuedDelivery) -> None:
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

    # -- attempts ----------------------------------------------------------------------------------

    async def load(self, queued: QueuedDelivery) -> None:
        """Count the attempt if it has not begun yet; load the next page of items."""
        page = self._settings.page
        try:
            if not queued.begun:
                await self._begin(queued)
            items = await self._insist(
                lambda: self._ledger.pending_items(queued.delivery.id, page, after=queued.cursor)
            )
        except StateConflict as conflict:
            self._forget(queued, conflict)
        else:
            self._queue.fill(queued, items, last=len(items) < page)

    async def _begin(self, queued: QueuedDelivery) -> None:
        now = self._clock.now()
        await self._insist(lambda: self._ledger.begin_attempt(queued.delivery.id, now))
        delivery = queued.delivery  # as it is now: a person may have revived it meanwhile
        self._queue.begin(
            queued,
            replace(
                delivery,
                state=DeliveryState.ACTIVE,
                attempts=delivery.attempts + 1,
                next_attempt_at=None,
            ),
        )

    async def end(
        self, queued: QueuedDelivery, state: DeliveryState, reason: str, due: float
    ) -> Delivery | None:
        """Write down how an attempt ended; ``due`` (monotonic) is when the next one may begin.

        One that has to be committed leaves the queue. None: somebody else has ended it.
        """
        try:
            delivery = await self._write_end(queued.delivery, state, reason, due)
        except StateConflict as conflict:
            self._forget(queued, conflict)
            return None
        if state.is_terminal or state is DeliveryState.COMMITTING:
            self._queue.remove(queued)
        else:
            self._queue.postpone(queued, delivery, due)
        return delivery

    async def _write_end(
        self, delivery: Delivery, state: DeliveryState, reason: str, due: float
    ) -> Delivery:
        now = self._clock.now()
        next_attempt_at = None
        if not state.is_terminal and due < NEVER:
            next_attempt_at = now + timedelta(seconds=max(0.0, due - self._clock.monotonic()))
        settled = await self._insist(
            lambda: self._ledger.end_attempt(delivery.id, state, now, next_attempt_at, reason)
        )
        ended = replace(delivery, state=state, next_attempt_at=next_attempt_at, reason=reason)
        _report(ended, former=delivery.state)
        if settled is not None:
            self._on_settled(settled)
        return ended

    # -- storage commitment ------------------------------------------------------------------------

    async def begin_asking(self, delivery: Delivery) -> Delivery:
        """Count the attempt to have a delivery committed. Raises ``StateConflict``, as all here."""
        now, state = self._clock.now(), DeliveryState.COMMITTING
        await self._insist(lambda: self._ledger.begin_attempt(delivery.id, now, state))
        return replace(delivery, state=state, attempts=delivery.attempts + 1, next_attempt_at=None)

    async def stored(self, delivery: Delivery) -> Sequence[DeliveryItem]:
        """What the candidate has stored."""
        return await self._insist(lambda: self._ledger.stored_items(delivery.id))

    async def lost(self, delivery: Delivery, results: Sequence[ItemResult]) -> Delivery:
        """Write down what the candidate has lost."""
        return await self._insist(lambda: self._ledger.record_uncommitted(delivery.id, results))

    async def end_asking(
        self, delivery: Delivery, state: DeliveryState, reason: str, due: float
    ) -> Delivery:
        """Write down what the candidate said, and when it is tried again if it has to be."""
        return await self._write_end(delivery, state, reason, due)

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


def _report(delivery: Delivery, former: DeliveryState) -> None:
    """Say how an attempt ended, as loudly as somebody has to act on it."""
    known = {
        "ae_title": delivery.ae_title,
        "study_instance_uid": delivery.study_instance_uid,
        "revision": delivery.revision_number,
        "attempts": delivery.attempts,
    }
    if delivery.state is DeliveryState.DELIVERED:
        log.info("study delivered", instances=delivery.instances, **known)
    elif delivery.state is DeliveryState.DEAD:
        log.error("delivery is dead; a person has to decide", reason=delivery.reason, **known)
    elif delivery.state is DeliveryState.COMMITTING and former is not DeliveryState.COMMITTING:
        log.info("study stored; the candidate is asked to commit itself to it", **known)
    else:
        log.warning("delivery will be tried again", reason=delivery.reason, **known)
