"""One candidate's lane: its queue, its sessions, its back-off.

A lane has one supervising task, which keeps the books and starts sessions, and one task for each
session. Nothing that happens in one lane is felt in another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import structlog
from anyio.abc import TaskGroup

from router.delivery.books import Books
from router.delivery.health import Health
from router.delivery.queue import NEVER, CandidateQueue, QueuedDelivery, Sending
from router.delivery.verdict import judge
from router.delivery.waiting import wait_until
from router.domain.candidate import Candidate
from router.domain.delivery import Delivery, DeliveryState, Outcome, OutcomeKind
from router.domain.errors import AssociationLost, ConfigurationError, PeerTimeout, RouterError
from router.domain.retry import RetryPolicy
from router.domain.study import RevisionKey
from router.ports import Clock, Destination, DestinationSession, Ledger

NOT_REGISTERED = "not registered at present"
UNRECORDED_AT_MOST = 4  # times the results that are written at once

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How lanes behave."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    page: int = 256  # items that are loaded at a time; so many are held for each candidate
    flush_after: int = 64  # results, or
    flush_after_s: float = 0.2  # so long after the first one: then they go into the ledger
    drops_allowed: int = 5  # dropped associations that refuse an instance for good
    setbacks_allowed: int = 4  # temporary failures in a row before a candidate is left alone


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """What a lane is doing, for those who watch."""

    ae_title: str
    waiting: int  # deliveries that wait for their turn or for their next attempt
    active: int  # deliveries whose attempt is under way
    in_flight: int  # instances being sent
    associations: int  # open at present
    stored: int  # instances, since the router started
    stored_bytes: int
    last_error: str
    left_alone_s: float  # how long nothing will be sent after a failure; 0 while all is well


class Lane:
    """Delivers to one candidate what stands in its queue."""

    def __init__(
        self,
        ae_title: str,
        ledger: Ledger,
        destinations: Mapping[str, Destination],
        candidate: Callable[[], Candidate | None],
        clock: Clock,
        settings: DeliverySettings,
        on_settled: Callable[[RevisionKey], None],
    ):
        """``candidate`` tells what is registered under the AE title at the moment."""
        self.ae_title = ae_title
        self._destinations = destinations
        self._candidate = candidate
        self._clock = clock
        self._settings = settings
        self._queue = CandidateQueue(settings.drops_allowed)
        self._books = Books(ledger, self._queue, clock, settings.page, on_settled)
        self._health = Health(settings.retry, settings.setbacks_allowed)
        self._changed = anyio.Event()
        self._written = anyio.Event()
        self._taking = anyio.Lock()
        self._scopes: set[anyio.CancelScope] = set()
        self._draining = False
        self._sessions = 0
        self._associations = 0
        self._is_suspended = False  # deliveries wait for the candidate to return
        self._write_at = NEVER
        self._last_error = ""

    # -- what others ask -------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether the lane has to run: something is to be sent now or at a known time."""
        if self._draining:
            return bool(self._sessions or self._queue.unrecorded)
        if self._is_suspended and self._candidate() is not None:
            return True
        return bool(self._sessions or self._queue.begun or self._queue.is_scheduled)

    def add(self, delivery: Delivery) -> None:
        """Take a delivery on; one that is known already stays as it is."""
        due = self._clock.monotonic()
        if delivery.next_attempt_at is not None:
            wait = (delivery.next_attempt_at - self._clock.now()).total_seconds()
            due += min(max(wait, 0.0), self._settings.retry.cap_s)  # wall clocks may be moved
        self._queue.add(delivery, due)
        self._change()

    def wake(self) -> None:
        """The candidate says that it is there: attempt everything now."""
        self._health.woken()
        self._queue.wake(self._clock.monotonic())
        self._change()

    def drain(self) -> None:
        """Begin no further instance."""
        self._draining = True
        self._change()

    def abandon(self) -> None:
        """Do not wait for what is in flight: its outcome stays unknown, it will be sent again."""
        for scope in self._scopes:
            scope.cancel()

    def statistics(self) -> LaneStatistics:
        """What the lane is doing."""
        active = len(self._queue.begun)
        return LaneStatistics(
            ae_title=self.ae_title,
            waiting=len(self._queue) - active,
            active=active,
            in_flight=self._queue.in_flight,
            associations=self._associations,
            stored=self._queue.stored,
            stored_bytes=self._queue.stored_bytes,
            last_error=self._last_error,
            left_alone_s=max(0.0, self._health.left_alone_until - self._clock.monotonic()),
        )

    # -- the supervising task --------------------------------------------------------------------

    async def run(self) -> None:
        """Work until nothing is left to do at a known time, or everything is drained."""
        async with anyio.create_task_group() as sessions:
            while self.has_work:
                self._changed = anyio.Event()
                self._release()
                await self._keep_books()
                await self._start_sessions(sessions)
                await wait_until(self._changed, self._next_look(), self._clock)

    def _release(self) -> None:
        monotonic = self._clock.monotonic()
        if self._is_suspended and self._candidate() is not None:
            self._is_suspended = False
            self._queue.wake(monotonic)
        self._queue.release(monotonic)

    async def _keep_books(self) -> None:
        """Write down what came back, if it is time to; end the attempts that are over."""
        is_time = self._draining or self._is_time_to_write
        for queued in self._queue.begun:
            if is_time or queued.is_over:
                await self._books.write_results(queued)
            if queued.is_over and not self._draining:
                await self._end_attempt(queued)
        if not self._queue.unrecorded:
            self._write_at = NEVER
        self._written.set()
        self._written = anyio.Event()

    @property
    def _is_time_to_write(self) -> bool:
        has_many = self._queue.unrecorded >= self._settings.flush_after
        return has_many or self._clock.monotonic() >= self._write_at

    async def _end_attempt(self, queued: QueuedDelivery) -> None:
        state, reason = judge(
            queued.delivery, queued.setbacks, queued.refusals, why_stopped=queued.stopped
        )
        due = NEVER
        if state is DeliveryState.RETRYING and self._candidate() is None:
            self._is_suspended = True
        elif state is DeliveryState.RETRYING:
            due = self._next_attempt(queued.delivery)
        await self._books.end(queued, state, reason, due)

    def _next_attempt(self, delivery: Delivery) -> float:
        """When a delivery is tried again: with all others, if the candidate is left alone."""
        monotonic = self._clock.monotonic()
        if self._health.is_left_alone(monotonic):
            return self._health.left_alone_until
        return monotonic + self._settings.retry.delay_s(delivery.attempts)

    async def _start_sessions(self, tasks: TaskGroup) -> None:
        if self._draining or not self._queue.has_next:
            return
        candidate = self._candidate()
        if candidate is None:
            await self._suspend()
        elif not self._health.is_left_alone(self._clock.monotonic()):
            if not self._sessions:
                self._health.unlimited()
            for _ in range(self._sessions, self._health.associations_allowed(candidate.associations)):
                self._sessions += 1
                tasks.start_soon(self._session)

    async def _suspend(self) -> None:
        """Keep everything until the candidate is registered again."""
        self._is_suspended = True
        self._last_error = NOT_REGISTERED
        self._queue.stop(NOT_REGISTERED)
        for queued in self._queue.unbegun():
            if queued.delivery.reason == NOT_REGISTERED:
                self._queue.postpone(queued, queued.delivery, NEVER)
            else:
                await self._books.end(queued, DeliveryState.RETRYING, NOT_REGISTERED, NEVER)
        self._change()

    def _next_look(self) -> float:
        """When the supervising task has to look again, even if nothing happens until then."""
        times = [self._queue.next_due, self._write_at]
        if self._queue.has_next:
            times.append(self._health.left_alone_until or NEVER)
        return min(time for time in times)

    def _change(self) -> None:
        self._changed.set()

    # -- the sessions ----------------------------------------------------------------------------

    async def _session(self) -> None:
        """Send instances over one association after the other, until nothing is left to take."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            sending = await self._next()
            while sending is not None:
                sending = await self._associate(sending)
        self._scopes.discard(scope)
        self._sessions -= 1
        self._change()

    async def _next(self) -> Sending | None:
        """The next instance to send; None when this session is not needed at present."""
        async with self._taking:
            while self._may_begin:
                if self._queue.unrecorded >= UNRECORDED_AT_MOST * self._settings.flush_after:
                    await self._written.wait()
                    continue
                queued = self._queue.head()
                if queued is None:
                    return self._queue.take_suspect()
                sending = self._queue.take(queued)
                if sending is not None:
                    return sending
                await self._books.load(queued)
                self._change()
        return None

    @property
    def _may_begin(self) -> bool:
        return not (self._draining or self._health.is_left_alone(self._clock.monotonic()))

    async def _associate(self, sending: Sending) -> Sending | None:
        """Send over one association as much as it carries; what comes next, if anything."""
        candidate = self._candidate()
        if candidate is None or not self._may_begin:
            self._queue.give_back(sending)
            return None
        is_open = False
        following: Sending | None = None
        try:
            async with self._open(candidate, sending) as session:
                is_open = True
                self._opened()
                following = await self._send_what_it_carries(session, sending)
        except (RouterError, OSError) as error:
            if not is_open:
                self._not_opened(sending, error)
        finally:
            self._associations -= is_open
        return following

    def _open(
        self, candidate: Candidate, sending: Sending
    ) -> AbstractAsyncContextManager[DestinationSession]:
        destination = self._destinations.get(candidate.kind)
        if destination is None:
            raise ConfigurationError(
                f"candidate {candidate.ae_title} is of kind {candidate.kind!r}, which this router "
                f"does not have; it has {', '.join(sorted(self._destinations))}"
            )
        return destination.open(candidate, self._queue.proposal(sending))

    def _opened(self) -> None:
        self._associations += 1
        self._health.opened()
        self._change()

    def _not_opened(self, sending: Sending, error: Exception) -> None:
        """Go on with the associations that there are; if there is none, leave it alone."""
        self._queue.give_back(sending)
        self._last_error = str(error)
        if self._associations:
            self._health.limited_to(self._associations)
        else:
            self._leave_alone(str(error))

    async def _send_what_it_carries(
        self, session: DestinationSession, sending: Sending
    ) -> Sending | None:
        current: Sending | None = sending
        while current is not None:
            is_usable = await self._send(session, current)
            is_usable = is_usable and not current.alone
            current = await self._next()
            if current is None or current.alone or not is_usable:
                return current
            if not session.carries(current.item):
                return current
        return None

    async def _send(self, session: DestinationSession, sending: Sending) -> bool:
        """Send one instance and keep what became of it; whether the session is still there."""
        is_there = True
        try:
            outcome = await session.send(sending.item)
        except AssociationLost as error:
            is_there = False
            silent = isinstance(error, PeerTimeout)
            outcome = self._queue.dropped(sending, str(error), silent=silent)
        self._queue.finish(sending, outcome, self._clock.now())
        self._weigh(outcome, was_answered=is_there)
        self._schedule_writing(sending.queued)
        return is_there

    def _weigh(self, outcome: Outcome, *, was_answered: bool) -> None:
        if was_answered and outcome.kind is not OutcomeKind.TEMPORARY:
            self._health.answered()
            return
        self._last_error = outcome.reason
        if self._health.failed():
            self._leave_alone(outcome.reason)

    def _leave_alone(self, reason: str) -> None:
        """Stop all attempts; they go on together after a back-off."""
        monotonic = self._clock.monotonic()
        if self._health.is_left_alone(monotonic):
            return
        delay_s = self._health.back_off(monotonic)
        self._queue.stop(reason)
        log.warning(
            "the candidate cannot be delivered to at present",
            ae_title=self.ae_title,
            error=reason,
            next_attempt_in_s=round(delay_s, 1),
            deliveries=len(self._queue),
        )
        self._change()

    def _schedule_writing(self, queued: QueuedDelivery) -> None:
        if self._write_at == NEVER:
            self._write_at = self._clock.monotonic() + self._settings.flush_after_s
            self._change()
        if queued.is_over or self._is_time_to_write:
            self._change()
