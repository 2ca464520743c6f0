"""One candidate's lane: its queue, its senders, its back-off.

A lane has one supervising task, which keeps the books and starts senders, and one task for each
sender. Nothing that happens in one lane is felt in another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from router.delivery.books import Books
from router.delivery.committer import Committer
from router.delivery.courier import Courier, Transfer
from router.delivery.gate import NOT_REGISTERED, Gate
from router.delivery.health import Health
from router.delivery.queue import NEVER, CandidateQueue
from router.delivery.queued import QueuedDelivery, Sending
from router.delivery.sender import Sender, Way
from router.delivery.settings import DeliverySettings
from router.delivery.statistics import LaneStatistics
from router.delivery.verdict import judge
from router.delivery.waiting import wait_until
from router.domain.candidate import Candidate
from router.domain.delivery import Delivery, DeliveryState, Outcome, OutcomeKind
from router.domain.errors import AssociationAborted, PeerTimeout
from router.domain.study import RevisionKey
from router.ports import (
    Clock,
    Destination,
    InstanceDestination,
    Ledger,
    RevisionDestination,
)

log = structlog.get_logger(__name__)


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
        self._queue = CandidateQueue(settings.drops_allowed)
        self._books = Books(ledger, self._queue, clock, settings, on_settled)
        self._committer = Committer(
            self._books,
            candidate,
            destinations,
            clock,
            settings,
            self._queue.add,
            self._change,
        )
        self._health = Health(settings.retry, settings.setbacks_allowed)
        self._gate = Gate(candidate, destinations, self._health, clock)
        self._changed = anyio.Event()
        self._taking = anyio.Lock()
        self._scopes: set[anyio.CancelScope] = set()
        self._associations = 0
        self._left_alone_until = NEVER  # as far as that keeps something from being sent
        self._is_suspended = False  # deliveries wait for the candidate to return
        self._is_woken = False
        self._is_draining = False
        self._last_error = ""

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
        self._committer.abandon()
        self._change()

    def abandon(self) -> None:
        """Do not wait for what is in flight: its outcome stays unknown, it will be sent again."""
        for scope in self._scopes:
            scope.cancel()

    def crashed(self, reason: str) -> float:
        """Leave the candidate alone after a fault of our own; how long, in seconds."""
        if not self._health.is_left_alone(self._clock.monotonic()):
            self._leave_alone(reason)
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
            associations=self._associations,
            stored=self._queue.stored,
            stored_bytes=self._queue.stored_bytes,
            last_error=self._last_error,
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
        age_s = (self._clock.now() - delivery.tried_since).total_seconds()
        state, reason = judge(
            delivery,
            queued.setbacks,
            queued.refusals,
            why_stopped=queued.stopped,
            notes=queued.notes,
            gives_up=is_registered and self._settings.retry.gives_up(age_s),
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
        candidate, closed = self._gate.candidate, self._gate.closed()
        if candidate is None or closed is not None:
            await self._suspend(*(closed or (NOT_REGISTERED, NEVER)))
        elif self._health.is_left_alone(self._clock.monotonic()):
            self._left_alone_until = self._health.left_alone_until
            await self._explain()
        elif self._gate.needs_probe(candidate):
            if not self._scopes:
                tasks.start_soon(self._probe, candidate, self._new_scope())
        else:
            if not self._scopes:
                self._health.unlimited()
            allowed = self._health.associations_allowed(candidate.associations)
            for _ in range(len(self._scopes), allowed):
                tasks.start_soon(self._send, candidate, self._new_scope())

    def _new_scope(self) -> anyio.CancelScope:
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        return scope

    async def _probe(self, candidate: Candidate, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                reason = await self._gate.probe(candidate)
                if reason:
                    self._leave_alone(reason)
        finally:
            self._scopes.discard(scope)
            self._change()

    async def _send(self, candidate: Candidate, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                destination = self._destinations.get(candidate.kind)
                if isinstance(destination, RevisionDestination):
                    await Courier(self.ae_title, self).run()
                else:
                    await Sender(self.ae_title, self).run()
        finally:
            self._scopes.discard(scope)
            self._change()

    async def _suspend(self, reason: str, due: float) -> None:
        """Keep everything until ``due``, or until the candidate is registered again."""
        self._is_suspended = due == NEVER
        self._last_error = reason
        async with self._taking:  # no attempt begins meanwhile
            self._queue.stop(reason)
            for queued in self._queue.unbegun():
                if queued.delivery.reason == reason:
                    self._queue.postpone(queued, queued.delivery, due)
                else:
                    await self._books.end(queued, DeliveryState.RETRYING, reason, due)
        self._change()

    async def _explain(self) -> None:
        """Let what came while the candidate is left alone say why it waits, as all others do."""
        async with self._taking:  # no attempt begins meanwhile
            for queued in self._queue.unbegun():
                if not queued.delivery.reason:
                    await self._books.end(
                        queued, DeliveryState.RETRYING, self._last_error, self._left_alone_until
                    )

    @property
    def _next_look(self) -> float:
        """When the supervising task has to look again, even if nothing happens until then."""
        return min(
            self._queue.next_due, self._books.write_at, self._left_alone_until, self._asks_at
        )

    def _change(self) -> None:
        self._changed.set()

    # -- what senders ask and tell ---------------------------------------------------------------

    async def next(self) -> Sending | None:
        """See ``Supervisor``; instances are loaded as they are needed."""
        taken = await self._take(with_the_rest=False)
        return taken[0] if taken else None

    async def _take(self, *, with_the_rest: bool) -> Sequence[Sending]:
        """The next instance, and maybe all others of its delivery; none if there is none."""
        while self._may_begin():
            await self._books.room()
            async with self._taking:
                if not self._may_begin():
                    return ()
                queued = self._queue.head()
                if queued is None:
                    suspect = self._queue.take_suspect()
                    return () if suspect is None else (suspect,)
                sending = self._queue.take(queued)
                self._withhold(queued)
                if sending is not None:
                    return await self._with_the_rest(sending) if with_the_rest else (sending,)
                await self._books.load(queued)
            if self._health.is_left_alone(self._clock.monotonic()):
                self._queue.stop(self._last_error)
        return ()

    async def _with_the_rest(self, first: Sending) -> Sequence[Sending]:
        """An instance with all others of its delivery that no suspicion rests on."""
        taken, queued = [first], first.queued
        try:
            while queued.has_items and queued in self._queue.begun:
                sending = self._queue.take(queued)
                self._withhold(queued)
                if sending is not None:
                    taken.append(sending)
                else:
                    await self._books.load(queued)
        except BaseException:
            for sending in reversed(taken):
                self._queue.give_back(sending)
            raise
        return taken

    def way_for(self, sending: Sending) -> Way | None:
        """See ``Supervisor``."""
        candidate = self._gate.candidate
        if candidate is None or not self._may_begin():
            return None
        destination = self._destinations.get(candidate.kind)
        if destination is None:
            self._leave_alone(
                f"candidate {self.ae_title} is of kind {candidate.kind!r}, which this router does "
                f"not have; it has {', '.join(sorted(self._destinations))}"
            )
        if not isinstance(destination, InstanceDestination):
            return None  # its kind has changed meanwhile
        return destination.open(candidate, self._queue.proposal(sending))

    async def next_transfer(self) -> Transfer | None:
        """See ``Office``."""
        sendings = await self._take(with_the_rest=True)
        candidate = self._gate.candidate
        destination = None if candidate is None else self._destinations.get(candidate.kind)
        if not sendings or candidate is None or not isinstance(destination, RevisionDestination):
            for sending in reversed(sendings):
                self._queue.give_back(sending)
            return None
        delivery, items = sendings[0].queued.delivery, [sending.item for sending in sendings]
        send = partial(destination.transfer, candidate, delivery, items)
        return Transfer(sendings, send, destination.is_divisible)

    def opened(self) -> None:
        """See ``Supervisor``; a candidate that accepts one association may get more."""
        self._associations += 1
        self._health.opened()
        self._change()

    def closed(self) -> None:
        """See ``Supervisor``."""
        self._associations -= 1

    def not_opened(self, reason: str) -> None:
        """See ``Supervisor``; go on with the associations that there are, if there are any."""
        self._last_error = reason
        if self._associations:
            self._health.limited_to(self._associations)
        else:
            self._leave_alone(reason)

    def set_out(self) -> None:
        """See ``Office``."""
        self._associations += 1

    def came_back(self) -> None:
        """See ``Office``."""
        self._associations -= 1

    def unavailable(self, reason: str) -> None:
        """See ``Office``."""
        self.not_opened(reason)

    def answered(self, sending: Sending, outcome: Outcome) -> None:
        """See ``Supervisor``."""
        self._count((outcome,))
        self._finish(sending, outcome)

    def transferred(self, transfer: Transfer, outcomes: Sequence[Outcome]) -> None:
        """See ``Office``; a candidate that answers for one transfer may get more at once."""
        self._health.opened()
        self._count(outcomes)
        for sending, outcome in zip(transfer.sendings, outcomes, strict=True):
            self._finish(sending, outcome)
        self._change()

    def lost(self, transfer: Transfer, reason: str, *, silent: bool) -> None:
        """See ``Office``; nobody knows which of the instances the candidate broke on, if any."""
        for sending in transfer.sendings:
            outcome = Outcome(OutcomeKind.TEMPORARY, None, reason)
            if transfer.is_divisible:
                outcome = self._drop(sending, reason, silent=silent)
            self._finish(sending, outcome)
        self._count_setback(reason)

    def broken(self, transfer: Transfer, reason: str) -> None:
        """See ``Office``."""
        for sending in transfer.sendings:
            outcome = Outcome(OutcomeKind.TEMPORARY, None, reason)
            if transfer.is_divisible:
                outcome = self._queue.faulted(sending, reason)
            self._finish(sending, outcome)
        self._leave_alone(reason)

    def dropped(self, sending: Sending, reason: str, error: Exception) -> None:
        """See ``Supervisor``; an instance that was dropped too often is set aside."""
        is_aborted = isinstance(error, AssociationAborted)
        silent = isinstance(error, PeerTimeout)
        outcome = self._drop(sending, reason, silent=silent, aborted=is_aborted)
        self._count_setback(outcome.reason)
        self._finish(sending, outcome)

    def _drop(
        self, sending: Sending, reason: str, *, silent: bool, aborted: bool = False
    ) -> Outcome:
        outcome = self._queue.dropped(sending, reason, silent=silent, aborted=aborted)
        if outcome.kind is OutcomeKind.PERMANENT:
            log.error(
                "an instance is set aside: associations with this candidate drop on it",
                ae_title=self.ae_title,
                study_instance_uid=sending.queued.delivery.study_instance_uid,
                sop_instance_uid=sending.item.sop_instance_uid,
                error=outcome.reason,
            )
        return outcome

    def faulted(self, sending: Sending, reason: str) -> None:
        """See ``Supervisor``; what is at fault may be wrong with every instance, so wait a while.

        An instance that is known for it, and was sent alone, holds up its own delivery only.
        """
        outcome = self._queue.faulted(sending, reason)
        if sending.alone:
            self._count_setback(reason)
        else:
            self._leave_alone(reason)
        self._finish(sending, outcome)

    def give_back(self, sending: Sending) -> None:
        """See ``Supervisor``."""
        self._queue.give_back(sending)

    def _withhold(self, queued: QueuedDelivery) -> None:
        """Set aside what took another candidate down."""
        for item, outcome in self._queue.withhold(queued, self._clock.now()):
            log.error(
                "an instance is held back: it took another candidate down",
                ae_title=self.ae_title,
                study_instance_uid=queued.delivery.study_instance_uid,
                sop_instance_uid=item.sop_instance_uid,
                reason=outcome.reason,
            )
            self._books.expect_writing()
            self._change()

    def _may_begin(self) -> bool:
        return not self._is_draining and self._gate.is_open

    def _finish(self, sending: Sending, outcome: Outcome) -> None:
        self._queue.finish(sending, outcome, self._clock.now())
        is_first = self._books.write_at == NEVER
        self._books.expect_writing()
        if is_first or sending.queued.is_answered or self._books.is_time_to_write:
            self._change()

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        """A candidate that takes anything, or refuses it for good, is well."""
        if all(outcome.kind is OutcomeKind.TEMPORARY for outcome in outcomes):
            self._count_setback(outcomes[0].reason)
        else:
            self._health.answered()

    def _count_setback(self, reason: str) -> None:
        self._last_error = reason
        if self._health.failed():
            self._leave_alone(reason)

    def _leave_alone(self, reason: str) -> None:
        """Stop all attempts; they go on together after a back-off."""
        self._last_error = reason
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
