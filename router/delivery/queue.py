"""The deliveries that wait for one candidate, and which of their instances goes next.

Nothing here waits or does I/O: the lane asks, loads what is missing from the ledger, asks again.
Held in memory are the deliveries themselves, which are light, and one page of items: that of the
delivery whose turn it is. An overtaken delivery gives its page back and loads the rest anew.
The deliveries of one study overtake each other never: see ``turns.Succession``.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from router.delivery.queued import Drops, QueuedDelivery, Sending
from router.delivery.turns import Ready, Succession
from router.delivery.waiting import NEVER
from router.delivery.withholding import withheld
from router.domain.delivery import Delivery, DeliveryItem, ItemResult, Outcome, OutcomeKind

REASONS_KEPT = 5
OTHER_REASONS = "other reasons"
SUSPECTS_WAIT = timedelta(minutes=10)
"""An instance that is to be sent last does not wait for deliveries that come so much later."""


class CandidateQueue:
    """Orders the deliveries of one candidate and hands out their instances one by one."""

    def __init__(self, drops_allowed: int):
        """``drops_allowed``: so many dropped associations refuse an instance for good."""
        self.in_flight = 0
        self.unrecorded = 0  # results that are not in the ledger yet
        self.stored = 0  # instances, since the router started
        self.stored_bytes = 0
        self._drops_allowed = drops_allowed
        self._deliveries: dict[int, QueuedDelivery] = {}
        self._begun: dict[int, QueuedDelivery] = {}
        self._ready = Ready()
        self._succession = Succession()
        self._later: list[tuple[float, int]] = []
        self._held: list[QueuedDelivery] = []  # due, but they wait for another one of their study
        self._page_of: QueuedDelivery | None = None
        self._alone = False

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def begun(self) -> Sequence[QueuedDelivery]:
        """The deliveries whose attempt is under way."""
        return tuple(self._begun.values())

    # -- deliveries come and go ------------------------------------------------------------------

    def add(self, delivery: Delivery, due: float) -> None:
        """Take a delivery on; one that is known already stays as it is."""
        if delivery.id in self._deliveries:
            return
        queued = self._deliveries[delivery.id] = QueuedDelivery(delivery, due)
        overtaken = self._succession.enter(queued)
        if overtaken is not None:
            self._ready.discard(overtaken)
        self._schedule(delivery.id, due)

    def renew(self, delivery: Delivery, monotonic: float) -> None:
        """Take a delivery on that a person wants now, and forget what spoke against its instances.

        One whose attempt is under way is attempted again right after it.
        """
        known = self._deliveries.get(delivery.id)
        if known is None:
            self.add(delivery, monotonic)
            return
        known.drops.clear()
        known.faulty.clear()
        known.refusals.clear()
        if known.begun:
            known.is_wanted = True
        else:
            self._ready.discard(known)
            known.delivery, known.due = delivery, monotonic
            self._schedule(delivery.id, monotonic)

    def withdraw(self, delivery_id: int) -> None:
        """Forget a delivery that a person has ended."""
        known = self._deliveries.get(delivery_id)
        if known is not None and not known.begun:
            self.remove(known)

    def remove(self, queued: QueuedDelivery) -> None:
        """Forget a delivery: it is over, or somebody else has ended it."""
        self._deliveries.pop(queued.delivery.id, None)
        self._begun.pop(queued.delivery.id, None)
        self._ready.discard(queued)
        self.unrecorded -= len(queued.results)
        queued.results.clear()
        successor = self._succession.leave(queued)
        if successor is not None:
            self._let_go(successor)

    def release(self, monotonic: float) -> None:
        """Let every delivery take part whose time has come."""
        while self._later and self._later[0][0] <= monotonic:
            due, delivery_id = heapq.heappop(self._later)
            if self._waits_until(due, delivery_id):
                queued = self._deliveries[delivery_id]
                self._list(queued)
                if queued not in self._ready:
                    self._held.append(queued)

    def take_held(self) -> Sequence[tuple[QueuedDelivery, Delivery]]:
        """Deliveries that came to be due since the last call, each with the one it waits for."""
        held, self._held = self._held, []
        return [
            (queued, first.delivery)
            for queued in held
            if self._knows(queued) and (first := self._succession.first_of(queued)) is not queued
            if first is not None
        ]

    def wake(self, monotonic: float) -> None:
        """Let every delivery that waits for its time take part now."""
        self._later.clear()
        for queued in self._deliveries.values():
            if not queued.begun:
                queued.due = monotonic
                self._schedule(queued.delivery.id, monotonic)

    @property
    def next_due(self) -> float:
        """When ``release`` has to be called again; ``NEVER`` if nothing waits for a time."""
        while self._later and not self._waits_until(*self._later[0]):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else NEVER

    @property
    def is_scheduled(self) -> bool:
        """Whether any delivery may be sent now or at a known time."""
        return len(self._ready) > 0 or self.next_due < NEVER

    def update(self, queued: QueuedDelivery, delivery: Delivery) -> None:
        """Follow what the ledger has counted: with less to send, a delivery may go sooner."""
        queued.delivery = delivery
        if queued in self._ready:
            self._ready.add(queued)

    def unbegun(self) -> Sequence[QueuedDelivery]:
        """The deliveries that could begin now."""
        return tuple(queued for queued in self._ready if not queued.begun)

    def postpone(self, queued: QueuedDelivery, delivery: Delivery, due: float) -> None:
        """End the attempt of a delivery until ``due``; one that a person wants is due at once."""
        self._ready.discard(queued)
        if queued.is_wanted:
            due, queued.is_wanted = 0.0, False
        self._begun.pop(delivery.id, None)
        queued.postpone(delivery, due)
        self._schedule(delivery.id, due)

    def _list(self, queued: QueuedDelivery) -> None:
        """Let a delivery be sent, unless it waits for another one of its study."""
        if self._succession.is_first(queued):
            self._ready.add(queued)

    def _let_go(self, queued: QueuedDelivery) -> None:
        """The delivery waits for no other one of its study any more."""
        if queued.begun:
            self._ready.add(queued)
        else:
            self._schedule(queued.delivery.id, queued.due)

    def _schedule(self, delivery_id: int, due: float) -> None:
        if due < NEVER:
            heapq.heappush(self._later, (due, delivery_id))

    def _waits_until(self, due: float, delivery_id: int) -> bool:
        queued = self._deliveries.get(delivery_id)
        return queued is not None and queued.due == due and not queued.begun

    # -- instances go out --------------------------------------------------------------------------

    def head(self) -> QueuedDelivery | None:
        """The delivery whose turn it is, if anything may be sent now beside what is in flight."""
        first = None if self._alone else self._ready.first()
        return None if first is None or self._keeps_suspects_waiting(first) else first

    def _keeps_suspects_waiting(self, queued: QueuedDelivery) -> bool:
        """Whether it came so late that an instance to be sent alone goes before it.

        Else one would wait for ever where there is always something else to send.
        """
        return any(
            waiting.delivery.created_at + SUSPECTS_WAIT < queued.delivery.created_at
            for waiting in self._with_suspects()
        )

    def begin(self, queued: QueuedDelivery, delivery: Delivery) -> None:
        """Note that the attempt is counted in the ledger."""
        queued.delivery = delivery
        queued.begun = True
        self._begun[delivery.id] = queued
        self._list(queued)  # a person may have asked for it meanwhile, and it was to wait again

    def fill(self, queued: QueuedDelivery, items: Sequence[DeliveryItem], *, last: bool) -> None:
        """Add a page of items past the cursor; ``last`` if the ledger has no more.

        A page that comes after the attempt has been stopped, or is over, comes too late.
        """
        if queued.begun and not queued.stopped:
            queued.page.extend(items)
            queued.exhausted = last

    def take(self, queued: QueuedDelivery) -> Sending | None:
        """Hand out the next instance of a delivery; None when a page has to be loaded first."""
        if queued.returned:
            return self._hand_out(Sending(queued, queued.returned.popleft()))
        self._turn_to(queued)
        while queued.page:
            item = queued.page.popleft()
            queued.cursor = item.instance_id
            outcome = withheld(item)
            if outcome is not None:
                queued.withheld.append((item, outcome))
                continue
            if item.drops and item.instance_id not in queued.drops:  # in a former run
                queued.drops[item.instance_id] = Drops(item.drops, self.stored, went_down=True)
            if not queued.is_suspect(item):
                return self._hand_out(Sending(queued, item))
            queued.suspects.append(item)
        return None

    def take_suspect(self) -> Sending | None:
        """Hand out an instance that associations dropped on, once nothing else is in flight."""
        if self.in_flight:
            return None
        queued = next(iter(self._with_suspects()), None)
        if queued is None:
            return None
        self._alone = True
        return self._hand_out(Sending(queued, queued.suspects.popleft(), alone=True))

    @property
    def has_next(self) -> bool:
        """Whether there is, or may be, something to send beside what is in flight."""
        if self.head() is not None:
            return True
        return not self.in_flight and bool(self._with_suspects())

    def _with_suspects(self) -> Sequence[QueuedDelivery]:
        return [
            queued
            for queued in self._begun.values()
            if queued.has_suspects and self._succession.is_first(queued)
        ]

    def proposal(self, sending: Sending) -> Sequence[DeliveryItem]:
        """What an association for this instance should be fit for, most important first."""
        return (sending.item,) if sending.alone else (sending.item, *sending.queued.page)

    def stop(self, reason: str) -> None:
        """Hand out nothing more in the attempts that are under way."""
        for queued in self._begun.values():
            queued.stopped = queued.stopped or reason

    def _turn_to(self, queued: QueuedDelivery) -> None:
        overtaken = self._page_of
        if overtaken is not None and overtaken is not queued and overtaken.page:
            overtaken.page.clear()
            overtaken.exhausted = False
        self._page_of = queued

    def _hand_out(self, sending: Sending) -> Sending:
        sending.queued.in_flight += 1
        self.in_flight += 1
        return sending

    # -- answers come back -------------------------------------------------------------------------

    def give_back(self, sending: Sending) -> None:
        """The instance was not sent, or nobody knows: it is the next again."""
        self._land(sending)
        queued = sending.queued
        (queued.suspects if sending.alone else queued.returned).appendleft(sending.item)
        if self._knows(queued):
            self._list(queued)

    def finish(self, sending: Sending, outcome: Outcome, at: datetime) -> None:
        """Keep what became of an instance until it is written down."""
        self._land(sending)
        queued, item = sending.queued, sending.item
        if outcome.kind is OutcomeKind.TEMPORARY:
            _count(queued.setbacks, outcome.reason)
        else:
            queued.faulty.discard(item.instance_id)
        if outcome.kind is OutcomeKind.PERMANENT:
            _count(queued.refusals, outcome.reason)
        if outcome.kind is OutcomeKind.STORED:
            if outcome.reason:
                _count(queued.notes, outcome.reason)
            self.stored += 1
            self.stored_bytes += item.ref.data_set_length
        if self._knows(queued):
            drops = queued.drops.get(item.instance_id, Drops())
            counted = drops.counted
            if outcome.kind is not OutcomeKind.TEMPORARY:  # then it is kept for others to be warned
                counted = counted if drops.went_down and counted >= self._drops_allowed else 0
            queued.results.append(ItemResult(item.instance_id, outcome, at, counted))
            self.unrecorded += 1
        if outcome.kind is not OutcomeKind.TEMPORARY:
            queued.drops.pop(item.instance_id, None)

    def withhold(
        self, queued: QueuedDelivery, at: datetime
    ) -> Sequence[tuple[DeliveryItem, Outcome]]:
        """Keep what is not to be sent, and why, until it is written down; all that is new of it."""
        found = tuple(queued.withheld)
        queued.withheld.clear()
        for item, outcome in found:
            _count(queued.refusals, outcome.reason)
            if self._knows(queued):
                queued.results.append(ItemResult(item.instance_id, outcome, at))
                self.unrecorded += 1
        return found

    def dropped(
        self, sending: Sending, reason: str, *, silent: bool, aborted: bool = False
    ) -> Outcome:
        """The outcome for an instance on which the association dropped.

        Each drop speaks against the instance, except when the candidate was ``silent`` (it did
        not answer in time) and has stored nothing else since the last drop: then the candidate
        is at fault. An instance with too many drops is refused for good, so that it cannot take
        the candidate down for ever. Where each of them was ``aborted`` in due form, the candidate
        has refused the instance, and did not go down.
        """
        drops = sending.queued.drops.setdefault(sending.item.instance_id, Drops())
        if not silent or self.stored > drops.stored_by_then:
            drops.counted += 1
        drops.stored_by_then = self.stored
        drops.went_down = drops.went_down or not aborted
        if drops.counted < self._drops_allowed:
            return Outcome(OutcomeKind.TEMPORARY, None, reason)
        return Outcome(
            OutcomeKind.PERMANENT,
            None,
            f"the association dropped {drops.counted} times on this instance: {reason}",
        )

    def faulted(self, sending: Sending, reason: str) -> Outcome:
        """The outcome for an instance on which a fault of our own came up: never a refusal."""
        sending.queued.faulty.add(sending.item.instance_id)
        return Outcome(OutcomeKind.TEMPORARY, None, reason)

    def take_results(self, queued: QueuedDelivery) -> Sequence[ItemResult]:
        """What is to be written to the ledger for a delivery."""
        results, queued.results = queued.results, []
        self.unrecorded -= len(results)
        return results

    def _land(self, sending: Sending) -> None:
        sending.queued.in_flight -= 1
        self.in_flight -= 1
        if sending.alone:
            self._alone = False

    def _knows(self, queued: QueuedDelivery) -> bool:
        return self._deliveries.get(queued.delivery.id) is queued


def _count(reasons: Counter[str], reason: str) -> None:
    """Count a reason, keeping the first few apart, however many a candidate invents."""
    known = reason in reasons or len(reasons) < REASONS_KEPT
    reasons[reason if known else OTHER_REASONS] += 1
