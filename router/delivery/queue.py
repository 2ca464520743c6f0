"""The deliveries that wait for one candidate, and which of their instances goes next.

Nothing here waits or does I/O: the lane asks, loads what is missing from the ledger, asks again.
Held in memory are the deliveries themselves, which are light, and one page of items: that of the
delivery whose turn it is. An overtaken delivery gives its page back and loads the rest anew.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from router.domain.delivery import Delivery, DeliveryItem, ItemResult, Outcome, OutcomeKind
from router.domain.schedule import order_key

DROPS_UNTIL_ALONE = 2
NEVER = math.inf
REASONS_KEPT = 5
OTHER_REASONS = "other reasons"


@dataclass(slots=True)
class Drops:
    """How often an association dropped on an instance, and what the candidate held by then."""

    counted: int = 0
    stored_by_then: int = -1


@dataclass(slots=True, eq=False)
class QueuedDelivery:
    """A delivery in the queue, and how far its present attempt has come."""

    delivery: Delivery
    due: float  # on the monotonic clock; ``NEVER``: not before it is woken
    begun: bool = False
    stopped: str = ""  # why nothing more is handed out in this attempt
    cursor: int = 0  # every item up to this instance id has been handed out
    exhausted: bool = False  # the ledger has nothing past the page
    page: deque[DeliveryItem] = field(default_factory=deque)
    returned: deque[DeliveryItem] = field(default_factory=deque)  # handed out, but not sent
    suspects: deque[DeliveryItem] = field(default_factory=deque)  # to be sent alone and last
    in_flight: int = 0
    results: list[ItemResult] = field(default_factory=list)  # not in the ledger yet
    setbacks: Counter[str] = field(default_factory=Counter)  # reasons, of this attempt
    refusals: Counter[str] = field(default_factory=Counter)  # reasons, of all attempts
    drops: dict[int, Drops] = field(default_factory=dict)  # by instance id, of all attempts
    is_wanted: bool = False  # a person wants another attempt after this one, at once
    faulty: set[int] = field(default_factory=set)  # instance ids that a fault of ours came up on

    @property
    def has_items(self) -> bool:
        """Whether there is, or may be, an instance to hand out that no suspicion rests on."""
        return not self.stopped and bool(self.returned or self.page or not self.exhausted)

    @property
    def has_suspects(self) -> bool:
        """Whether there is an instance that must be sent alone and last."""
        return not self.stopped and bool(self.suspects)

    @property
    def is_answered(self) -> bool:
        """Whether the attempt has nothing left to hand out or to hear of."""
        return self.begun and not (self.has_items or self.has_suspects or self.in_flight)

    @property
    def is_over(self) -> bool:
        """Whether the attempt has nothing left to do, and nothing to write down either."""
        return self.is_answered and not self.results

    def is_suspect(self, item: DeliveryItem) -> bool:
        """Whether the item is sent alone and last, so that the rest is not kept from being sent.

        Associations dropped on it more than once, or a fault of our own came up on it.
        """
        if item.instance_id in self.faulty:
            return True
        drops = self.drops.get(item.instance_id)
        return drops is not None and drops.counted >= DROPS_UNTIL_ALONE

    def postpone(self, delivery: Delivery, due: float) -> None:
        """End the attempt; the next one walks over all pending items again."""
        self.delivery = delivery
        self.due = due
        self.begun = self.exhausted = False
        self.stopped = ""
        self.cursor = 0
        for items in (self.page, self.returned, self.suspects):
            items.clear()
        self.setbacks.clear()


@dataclass(frozen=True, slots=True)
class Sending:
    """One instance handed out to be sent."""

    queued: QueuedDelivery
    item: DeliveryItem
    alone: bool = False  # on an association of its own, while nothing else is being sent


_Entry = tuple[tuple[float, int], int, QueuedDelivery]
"""The order key, a number that no other entry has, and the delivery."""


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
        self._ready = _Ready()
        self._later: list[tuple[float, int]] = []
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
        if delivery.id not in self._deliveries:
            self._deliveries[delivery.id] = QueuedDelivery(delivery, due)
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

    def release(self, monotonic: float) -> None:
        """Let every delivery take part whose time has come."""
        while self._later and self._later[0][0] <= monotonic:
            due, delivery_id = heapq.heappop(self._later)
            if self._waits_until(due, delivery_id):
                self._ready.add(self._deliveries[delivery_id])

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

    def _schedule(self, delivery_id: int, due: float) -> None:
        if due < NEVER:
            heapq.heappush(self._later, (due, delivery_id))

    def _waits_until(self, due: float, delivery_id: int) -> bool:
        queued = self._deliveries.get(delivery_id)
        return queued is not None and queued.due == due and not queued.begun

    # -- instances go out --------------------------------------------------------------------------

    def head(self) -> QueuedDelivery | None:
        """The delivery whose turn it is, if anything may be sent now beside what is in flight."""
        return None if self._alone else self._ready.first()

    def begin(self, queued: QueuedDelivery, delivery: Delivery) -> None:
        """Note that the attempt is counted in the ledger."""
        queued.delivery = delivery
        queued.begun = True
        self._begun[delivery.id] = queued

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
            if not queued.is_suspect(item):
                return self._hand_out(Sending(queued, item))
            queued.suspects.append(item)
        return None

    def take_suspect(self) -> Sending | None:
        """Hand out an instance that associations dropped on, once nothing else is in flight."""
        if self.in_flight:
            return None
        queued = next((queued for queued in self._begun.values() if queued.has_suspects), None)
        if queued is None:
            return None
        self._alone = True
        return self._hand_out(Sending(queued, queued.suspects.popleft(), alone=True))

    @property
    def has_next(self) -> bool:
        """Whether there is, or may be, something to send beside what is in flight."""
        if self.head() is not None:
            return True
        return not self.in_flight and any(queued.has_suspects for queued in self._begun.values())

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
            self._ready.add(queued)

    def finish(self, sending: Sending, outcome: Outcome, at: datetime) -> None:
        """Keep what became of an instance until it is written down."""
        self._land(sending)
        queued, item = sending.queued, sending.item
        if outcome.kind is OutcomeKind.TEMPORARY:
            _count(queued.setbacks, outcome.reason)
        else:
            queued.drops.pop(item.instance_id, None)
            queued.faulty.discard(item.instance_id)
        if outcome.kind is OutcomeKind.PERMANENT:
            _count(queued.refusals, outcome.reason)
        if outcome.kind is OutcomeKind.STORED:
            self.stored += 1
            self.stored_bytes += item.ref.data_set_length
        if self._knows(queued):
            queued.results.append(ItemResult(item.instance_id, outcome, at))
            self.unrecorded += 1

    def dropped(self, sending: Sending, reason: str, *, silent: bool) -> Outcome:
        """The outcome for an instance on which the association dropped.

        Each drop speaks against the instance, except when the candidate was ``silent`` (it did
        not answer in time) and has stored nothing else since the last drop: then the candidate
        is at fault. An instance with too many drops is refused for good, so that it cannot take
        the candidate down for ever.
        """
        drops = sending.queued.drops.setdefault(sending.item.instance_id, Drops())
        if not silent or self.stored > drops.stored_by_then:
            drops.counted += 1
        drops.stored_by_then = self.stored
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


class _Ready:
    """The deliveries that may be sent now, in the order of the schedule."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}  # by delivery id: those that count
        self._heap: list[_Entry] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueuedDelivery]:
        return (entry[2] for entry in self._entries.values())

    def __contains__(self, queued: QueuedDelivery) -> bool:
        return queued.delivery.id in self._entries

    def add(self, queued: QueuedDelivery) -> None:
        """List a delivery, or give it the place that it has by now."""
        entry = order_key(queued.delivery), next(self._numbers), queued
        self._entries[queued.delivery.id] = entry
        heapq.heappush(self._heap, entry)

    def discard(self, queued: QueuedDelivery) -> None:
        """Take a delivery off the list."""
        self._entries.pop(queued.delivery.id, None)

    def first(self) -> QueuedDelivery | None:
        """The delivery whose turn it is; those that have nothing to hand out leave the list."""
        while self._heap:
            entry = self._heap[0]
            queued = entry[2]
            if self._entries.get(queued.delivery.id) is entry:
                if queued.has_items:
                    return queued
                self.discard(queued)
            heapq.heappop(self._heap)
        return None


def _count(reasons: Counter[str], reason: str) -> None:
    """Count a reason, keeping the first few apart, however many a candidate invents."""
    known = reason in reasons or len(reasons) < REASONS_KEPT
    reasons[reason if known else OTHER_REASONS] += 1
