"""One delivery in a candidate's queue: how far its present attempt has come."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from router.domain.delivery import Delivery, DeliveryItem, ItemResult, Outcome

DROPS_UNTIL_ALONE = 2


@dataclass(slots=True)
class Drops:
    """How often an association dropped on an instance, and what the candidate held by then."""

    counted: int = 0
    stored_by_then: int = -1
    went_down: bool = False  # it was not always an abort in due form


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
    withheld: deque[tuple[DeliveryItem, Outcome]] = field(default_factory=deque)
    """Not to be sent, for reasons that are not told to anybody yet."""
    in_flight: int = 0
    results: list[ItemResult] = field(default_factory=list)  # not in the ledger yet
    setbacks: Counter[str] = field(default_factory=Counter)  # reasons, of this attempt
    notes: Counter[str] = field(default_factory=Counter)  # of what was stored, of this attempt
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
        if not self.begun or self.withheld:
            return False
        return not (self.has_items or self.has_suspects or self.in_flight)

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
        self.withheld.clear()
        self.setbacks.clear()
        self.notes.clear()


@dataclass(frozen=True, slots=True)
class Sending:
    """One instance handed out to be sent."""

    queued: QueuedDelivery
    item: DeliveryItem
    alone: bool = False  # on an association of its own, while nothing else is being sent
