"""Where senders and couriers get what goes to their candidate, and tell what became of it.

They only send: what an answer, a broken association or a fault means is judged here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

import anyio
import structlog

from router.delivery.books import Books
from router.delivery.expected import told
from router.delivery.gate import Gate
from router.delivery.health import Health
from router.delivery.queue import CandidateQueue
from router.delivery.queued import QueuedDelivery, Sending
from router.delivery.settings import DeliverySettings
from router.delivery.waiting import NEVER
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryState, Outcome, OutcomeKind
from router.domain.errors import AssociationAborted, PeerTimeout
from router.domain.study import RevisionKey
from router.ports import (
    Clock,
    Destination,
    DestinationSession,
    InstanceDestination,
    Ledger,
    RevisionDestination,
)

log = structlog.get_logger(__name__)

Way = AbstractAsyncContextManager[DestinationSession]
"""An association that is opened when the block is entered."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """All instances of a delivery that are still to be sent, and how they are."""

    sendings: Sequence[Sending]
    send: Callable[[], Awaitable[Sequence[Outcome]]]
    is_divisible: bool
    """Whether an instance that is suspected may be sent alone; if not, it is all or nothing."""


class Desk:
    """What the senders and couriers of one lane share. All methods are for the event loop.

    Whatever is handed out here is answered for or given back, each instance once.
    """

    def __init__(
        self,
        ae_title: str,
        ledger: Ledger,
        destinations: Mapping[str, Destination],
        candidate: Callable[[], Candidate | None],
        clock: Clock,
        settings: DeliverySettings,
        on_settled: Callable[[RevisionKey], None],
        changed: Callable[[], None],
    ):
        """``candidate`` tells what is registered under the AE title at the moment.

        ``changed`` is called when the lane has to look at what is here.
        """
        self.queue = CandidateQueue(settings.drops_allowed)
        self.books = Books(ledger, self.queue, clock, settings, on_settled)
        self.health = Health(settings.retry, settings.setbacks_allowed)
        self.gate = Gate(candidate, destinations, self.health, clock)
        self.associations = 0
        """Open at present; a transfer that is under way counts as one."""
        self.last_error = ""
        self._ae_title = ae_title
        self._destinations = destinations
        self._clock = clock
        self._changed = changed
        self._taking = anyio.Lock(fast_acquire=True)
        self._is_shut = False

    # -- what the lane decides -------------------------------------------------------------------

    def shut(self) -> None:
        """Hand out nothing more."""
        self._is_shut = True

    def leave_alone(self, reason: str) -> None:
        """Stop all attempts; they go on together after a back-off."""
        self.last_error = reason
        monotonic = self._clock.monotonic()
        if self.health.is_left_alone(monotonic):
            return
        delay_s = self.health.back_off(monotonic)
        self.queue.stop(reason)
        log.warning(
            "the candidate cannot be delivered to at present",
            ae_title=self._ae_title,
            error=reason,
            next_attempt_in_s=round(delay_s, 1),
            deliveries=len(self.queue),
        )
        self._changed()

    async def suspend(self, reason: str, due: float) -> None:
        """Stop all attempts, and let everything wait until ``due`` (monotonic)."""
        self.last_error = reason
        async with self._taking:  # no attempt begins meanwhile
            self.queue.stop(reason)
            for queued in self.queue.unbegun():
                if queued.delivery.reason == reason:
                    self.queue.postpone(queued, queued.delivery, due)
                else:
                    await self.books.end(queued, DeliveryState.RETRYING, reason, due)
        self._changed()

    async def explain(self) -> None:
        """Let what came while the candidate is left alone say why it waits, as all others do."""
        async with self._taking:  # no attempt begins meanwhile
            for queued in self.queue.unbegun():
                if not queued.delivery.reason:
                    await self.books.end(
                        queued,
                        DeliveryState.RETRYING,
                        self.last_error,
                        self.health.left_alone_until,
                    )

    # -- what goes out ---------------------------------------------------------------------------

    async def next(self) -> Sending | None:
        """The next instance to send; None when this sender is not needed at present."""
        taken = await self._take(with_the_rest=False)
        return taken[0] if taken else None

    def way_for(self, sending: Sending) -> Way | None:
        """How to open an association for an instance; None if that must not be at present."""
        candidate = self.gate.candidate
        if candidate is None or not self._may_begin():
            return None
        destination = self._destinations.get(candidate.kind)
        if destination is None:
            self.leave_alone(
                f"candidate {self._ae_title} is of kind {candidate.kind!r}, which this router does "
                f"not have; it has {', '.join(sorted(self._destinations))}"
            )
        if not isinstance(destination, InstanceDestination):
            return None  # its kind has changed meanwhile
        return destination.open(candidate, self.queue.proposal(sending))

    async def next_transfer(self) -> Transfer | None:
        """What is to be taken next; None when this courier is not needed at present."""
        sendings = await self._take(with_the_rest=True)
        candidate = self.gate.candidate
        destination = None if candidate is None else self._destinations.get(candidate.kind)
        if not sendings or candidate is None or not isinstance(destination, RevisionDestination):
            self.give_back(sendings)
            return None
        delivery, items = sendings[0].queued.delivery, [sending.item for sending in sendings]
        send = partial(destination.transfer, candidate, delivery, items)
        return Transfer(sendings, send, destination.is_divisible)

    def give_back(self, sendings: Sequence[Sending]) -> None:
        """Take back, in their order, what was not sent, or of what nobody knows whether it was."""
        for sending in reversed(sendings):
            self.queue.give_back(sending)

    async def _take(self, *, with_the_rest: bool) -> Sequence[Sending]:
        """The next instance, and maybe all others of its delivery; none if there is none."""
        while self._may_begin():
            await self.books.room()
            async with self._taking:
                if not self._may_begin():
                    return ()
                queued = self.queue.head()
                if queued is None:
                    suspect = self.queue.take_suspect()
                    return () if suspect is None else (suspect,)
                sending = await self._take_from(queued)
                if sending is not None:
                    return await self._with_the_rest(sending) if with_the_rest else (sending,)
            if self.health.is_left_alone(self._clock.monotonic()):
                self.queue.stop(self.last_error)
        return ()

    async def _with_the_rest(self, first: Sending) -> Sequence[Sending]:
        """An instance with all others of its delivery that no suspicion rests on."""
        taken, queued = [first], first.queued
        try:
            while queued.has_items and queued in self.queue.begun:
                sending = await self._take_from(queued)
                if sending is not None:
                    taken.append(sending)
        except BaseException:
            self.give_back(taken)
            raise
        return taken

    async def _take_from(self, queued: QueuedDelivery) -> Sending | None:
        """The next instance of a delivery; None: a page was loaded, ask again."""
        sending = self.queue.take(queued)
        self._withhold(queued)
        if sending is None:
            await self.books.load(queued)
        return sending

    def _withhold(self, queued: QueuedDelivery) -> None:
        """Set aside what took another candidate down."""
        for item, outcome in self.queue.withhold(queued, self._clock.now()):
            log.error(
                "an instance is held back: it took another candidate down",
                ae_title=self._ae_title,
                study_instance_uid=queued.delivery.study_instance_uid,
                sop_instance_uid=item.sop_instance_uid,
                reason=outcome.reason,
            )
            self.books.expect_writing()
            self._changed()

    def _may_begin(self) -> bool:
        return not self._is_shut and self.gate.is_open

    # -- what became of associations -------------------------------------------------------------

    def opened(self) -> None:
        """An association was accepted; a candidate that accepts one may get more."""
        self.associations += 1
        self.health.opened()
        self._changed()

    def set_out(self) -> None:
        """A transfer begins; whether the candidate is there is not known yet."""
        self.associations += 1

    def closed(self) -> None:
        """An association that was accepted, or a transfer, is over."""
        self.associations -= 1

    def unavailable(self, reason: str) -> None:
        """The candidate takes nothing at present: go on with those under way, if there are any."""
        self.last_error = reason
        if self.associations:
            self.health.limited_to(self.associations)
        else:
            self.leave_alone(reason)

    # -- what became of instances ----------------------------------------------------------------

    def answered(self, sending: Sending, outcome: Outcome) -> None:
        """The candidate answered for an instance."""
        self._count((outcome,))
        self._finish(sending, outcome)

    def dropped(self, sending: Sending, error: Exception) -> None:
        """The association was lost before the candidate answered.

        An instance that was dropped too often is set aside.
        """
        outcome = self._drop(sending, error)
        self._count_setback(outcome.reason)
        self._finish(sending, outcome)

    def faulted(self, sending: Sending, error: Exception) -> None:
        """A fault of our own came up while an instance was sent; its outcome is unknown.

        What is at fault may be wrong with every instance, so wait a while. But an instance that is
        known for it, and was sent alone, holds up its own delivery only.
        """
        outcome = self.queue.faulted(sending, told(error))
        if sending.alone:
            self._count_setback(outcome.reason)
        else:
            self.leave_alone(outcome.reason)
        self._finish(sending, outcome)

    # -- what became of transfers ----------------------------------------------------------------

    def transferred(self, transfer: Transfer, outcomes: Sequence[Outcome]) -> None:
        """The candidate answered for the instances of a transfer; it may get more at once."""
        self.health.opened()
        self._count(outcomes)
        for sending, outcome in zip(transfer.sendings, outcomes, strict=True):
            self._finish(sending, outcome)
        self._changed()

    def lost(self, transfer: Transfer, error: Exception) -> None:
        """A transfer broke before it was answered.

        Nobody knows which of the instances the candidate broke on, if any.
        """
        unknown = Outcome(OutcomeKind.TEMPORARY, None, told(error))
        for sending in transfer.sendings:
            self._finish(sending, self._drop(sending, error) if transfer.is_divisible else unknown)
        self._count_setback(unknown.reason)

    def broken(self, transfer: Transfer, error: Exception) -> None:
        """A fault of our own came up during a transfer; its outcome is unknown."""
        outcome = Outcome(OutcomeKind.TEMPORARY, None, told(error))
        for sending in transfer.sendings:
            if transfer.is_divisible:
                self.queue.faulted(sending, outcome.reason)
            self._finish(sending, outcome)
        self.leave_alone(outcome.reason)

    def _drop(self, sending: Sending, error: Exception) -> Outcome:
        """Count a drop against an instance; silence may be the fault of the candidate alone."""
        outcome = self.queue.dropped(
            sending,
            told(error),
            silent=isinstance(error, PeerTimeout),
            aborted=isinstance(error, AssociationAborted),
        )
        if outcome.kind is OutcomeKind.PERMANENT:
            log.error(
                "an instance is set aside: associations with this candidate drop on it",
                ae_title=self._ae_title,
                study_instance_uid=sending.queued.delivery.study_instance_uid,
                sop_instance_uid=sending.item.sop_instance_uid,
                error=outcome.reason,
            )
        return outcome

    def _finish(self, sending: Sending, outcome: Outcome) -> None:
        self.queue.finish(sending, outcome, self._clock.now())
        is_first = self.books.write_at == NEVER
        self.books.expect_writing()
        if is_first or sending.queued.is_answered or self.books.is_time_to_write:
            self._changed()

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        """A candidate that takes anything, or refuses it for good, is well."""
        if all(outcome.kind is OutcomeKind.TEMPORARY for outcome in outcomes):
            self._count_setback(outcomes[0].reason)
        else:
            self.health.answered()

    def _count_setback(self, reason: str) -> None:
        self.last_error = reason
        if self.health.failed():
            self.leave_alone(reason)
