"""One candidate's lane: the supervising task that keeps the books and starts senders.

Each sender or courier is a task of its own, and finds what to send at the lane's ``Desk``. Nothing
that happens in one lane is felt in another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import anyio
from anyio.abc import TaskGroup

from router.delivery.committer import Committer
from router.delivery.courier import Courier
from router.delivery.desk import Desk
from router.delivery.queued import QueuedDelivery
from router.delivery.sender import Sender
from router.delivery.settings import DeliverySettings
from router.delivery.statistics import LaneStatistics
from router.delivery.verdict import judge
from router.delivery.waiting import NEVER, wait_until
from router.domain.candidate import Candidate
from router.domain.delivery import Delivery, DeliveryState
from router.domain.study import RevisionKey
from router.ports import Clock, Destination, Ledger, RevisionDestination


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
        self._clock = clock
        self._settings = settings
        self._desk = Desk(
            ae_title, ledger, destinations, candidate, clock, settings, on_settled, self._change
        )
        self._queue = self._desk.queue
        self._books = self._desk.books
        self._health = self._desk.health
        self._gate = self._desk.gate
        self._committer = Committer(
            self._books,
            candidate,
            destinations,
            clock,
            settings,
            self._queue.add,
            self._change,
        )
        self._changed = anyio.Event()
        self._scopes: set[anyio.CancelScope] = set()  # of senders, couriers and probes
        self._left_alone_until = NEVER  # as far as that keeps something from being sent
        self._is_suspended = False  # deliveries wait for the candidate to return
        self._is_woken = False
        self._is_draining = False

    # -- what others ask -------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether the lane has to run: something is to be sent now or at a known time."""
        if self._is_draining:
            return bool(self._scopes or self._queue.unrecorded or self._committer.is_asking)
        if self._queue.is_scheduled or self._queue.begun or self._scopes:
            return True
        if self._committer.is_asking or self._asks_at < NEVER:
            return True
        return len(self._queue) > 0 and (self._is_woken or self._has_returned)

    def add(self, delivery: Delivery) -> None:
        """Take a delivery on; one that is known already stays as it is."""
        due = self._clock.monotonic()
        if delivery.next_attempt_at is not None:
            wait = (delivery.next_attempt_at - self._clock.now()).total_seconds()
            due += min(max(wait, 0.0), self._settings.retry.cap_s)  # wall clocks may be moved
        if delivery.state is DeliveryState.COMMITTING:
            self._committer.add(delivery, due)
        else:
            self._queue.add(delivery, due)
        self._change()

    def renew(self, delivery: Delivery) -> None:
        """A person wants this delivery to be attempted now, whatever was."""
        self._health.woken()
        self._queue.renew(delivery, self._clock.monotonic())
        self._change()

    def withdraw(self, delivery: Delivery) -> None:
        """A person has ended this delivery."""
        self._queue.withdraw(delivery.id)
        self._committer.forget(delivery.id)
        self._change()

    def wake(self) -> None:
        """The candidate says that it is there: attempt everything now."""
        self._health.woken()
        self._committer.wake()
        self._is_woken = True
        self._change()

    def drain(self) -> None:
        """Begin no further instance; reports are not waited for, but asked for again later."""
        self._is_draining = True
        self._desk.shut()
        self._committer.abandon()
        self._change()

    def abandon(self) -> None:
        """Do not wait for what is in flight: its outcome stays unknown, it will be sent again."""
        for scope in self._scopes:
            scope.cancel()

    def crashed(self, reason: str) -> float:
        """Leave the candidate alone after a fault of our own; how long, in seconds."""
        if not self._health.is_left_alone(self._clock.monotonic()):
            self._desk.leave_alone(reason)
        return self.statistics().left_alone_s

    def statistics(self) -> LaneStatistics:
        """What the lane is doing."""
        active = len(self._queue.begun)
        return LaneStatistics(
            ae_title=self.ae_title,
            waiting=len(self._queue) - active,
            active=active,
            in_flight=self._queue.in_flight,
            committing=len(self._committer),
            associations=self._desk.associations,
            stored=self._queue.stored,
            stored_bytes=self._queue.stored_bytes,
            last_error=self._desk.last_error,
            left_alone_s=max(0.0, self._health.left_alone_until - self._clock.monotonic()),
        )

    # -- the supervising task --------------------------------------------------------------------

    async def run(self) -> None:
        """Work until nothing is left to do at a known time, or everything is drained."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._changed = anyio.Event()
                await self._keep_books()
                await self._release()
                await self._start_senders(tasks)
                if self._asks_at <= self._clock.monotonic():
                    self._committer.start(tasks)
                if not self.has_work:
                    return
                await wait_until(self._changed, self._next_look, self._clock)

    async def _keep_books(self) -> None:
        """Write down what came back, if it is time to; end the attempts that are over."""
        await self._books.write(all_of_it=self._is_draining)
        for queued in self._queue.begun:
            if queued.is_over:
                await self._end_attempt(queued)

    async def _end_attempt(self, queued: QueuedDelivery) -> None:
        delivery, is_registered = queued.delivery, self._gate.candidate is not None
        state, reason = judge(
            delivery,
            queued.setbacks,
            queued.refusals,
            why_stopped=queued.stopped,
            notes=queued.notes,
            gives_up=is_registered and self._settings.gives_up(delivery, self._clock.now()),
        )
        due = NEVER
        if state is DeliveryState.RETRYING:
            if is_registered:
                due = self._next_attempt(delivery)
            else:
                self._is_suspended = True
        elif state is DeliveryState.DELIVERED and self._gate.commits:
            state, due = DeliveryState.COMMITTING, self._clock.monotonic()
        ended = await self._books.end(queued, state, reason, due)
        if ended is not None and state is DeliveryState.COMMITTING:
            self._committer.add(ended, due)

    def _next_attempt(self, delivery: Delivery) -> float:
        """When a delivery is tried again: with all others, if the candidate is left alone."""
        monotonic = self._clock.monotonic()
        if self._health.is_left_alone(monotonic):
            return self._health.left_alone_until
        due = monotonic + self._settings.retry.delay_s(delivery.attempts)
        return max(due, self._gate.window_opens_at)

    async def _release(self) -> None:
        """Let those take part whose time has come: all, if the candidate has returned.

        One that has to wait for another one of its study says so.
        """
        monotonic = self._clock.monotonic()
        if self._is_woken or self._has_returned:
            self._is_woken = self._is_suspended = False
            self._queue.wake(monotonic)
        self._queue.release(monotonic)
        for queued, first in self._queue.take_held():
            if not queued.delivery.reason:
                reason = f"waits for revision {first.revision_number} of its study"
                await self._books.end(queued, DeliveryState.RETRYING, reason, queued.due)

    @property
    def _has_returned(self) -> bool:
        return self._is_suspended and self._gate.candidate is not None

    @property
    def _asks_at(self) -> float:
        """When the next request for storage commitment may begin; ``NEVER``: none is to be."""
        if self._is_draining or not len(self._committer) or self._gate.candidate is None:
            return NEVER
        return max(self._committer.next_due, self._gate.opens_at)

    async def _start_senders(self, tasks: TaskGroup) -> None:
        self._left_alone_until = NEVER
        if self._is_draining or not self._queue.has_next:
            return
        closed = self._gate.closed()
        if closed is not None:
            reason, due = closed
            self._is_suspended = due == NEVER
            await self._desk.suspend(reason, due)
        elif self._health.is_left_alone(self._clock.monotonic()):
            self._left_alone_until = self._health.left_alone_until
            await self._desk.explain()
        elif (candidate := self._gate.candidate) is not None:
            self._set_to_work(candidate, tasks)

    def _set_to_work(self, candidate: Candidate, tasks: TaskGroup) -> None:
        """Start as many senders as the candidate takes, or ask first whether it is there."""
        if self._gate.needs_probe(candidate):
            if not self._scopes:
                self._start(tasks, partial(self._probe, candidate))
            return
        if not self._scopes:
            self._health.unlimited()
        allowed = self._health.associations_allowed(candidate.associations)
        for _ in range(len(self._scopes), allowed):
            self._start(tasks, self._worker(candidate).run)

    def _worker(self, candidate: Candidate) -> Sender | Courier:
        if isinstance(self._destinations.get(candidate.kind), RevisionDestination):
            return Courier(self.ae_title, self._desk)
        return Sender(self.ae_title, self._desk)

    async def _probe(self, candidate: Candidate) -> None:
        reason = await self._gate.probe(candidate)
        if reason:
            self._desk.leave_alone(reason)

    def _start(self, tasks: TaskGroup, work: Callable[[], Awaitable[None]]) -> None:
        """Do something until it is over or ``abandon`` is called; then the lane looks again."""
        scope = anyio.CancelScope()

        async def within_scope() -> None:
            try:
                with scope:
                    await work()
            finally:
                self._scopes.discard(scope)
                self._change()

        self._scopes.add(scope)
        tasks.start_soon(within_scope)

    @property
    def _next_look(self) -> float:
        """When the supervising task has to look again, even if nothing happens until then."""
        return min(
            self._queue.next_due, self._books.write_at, self._left_alone_until, self._asks_at
        )

    def _change(self) -> None:
        self._changed.set()
