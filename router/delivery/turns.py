"""Whose turn it is among the deliveries of one candidate."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Iterator
from itertools import count

from router.delivery.queued import QueuedDelivery
from router.domain.schedule import order_key, succession_key

_Entry = tuple[tuple[float, int], int, QueuedDelivery]
"""The order key, a number that no other entry has, and the delivery."""


class Ready:
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


class Succession:
    """Lets the deliveries of one study go one after the other, the oldest revision first.

    The others wait until it is over, or out of the queue: so what a candidate gets last of a
    study is what came last, and with ``keep-last`` no old bytes come behind newer ones.
    """

    def __init__(self) -> None:
        self._by_study: dict[str, list[QueuedDelivery]] = defaultdict(list)

    def enter(self, queued: QueuedDelivery) -> QueuedDelivery | None:
        """Take a delivery on; the one that was first until now and has to wait for it."""
        line = self._by_study[queued.delivery.study_instance_uid]
        former = line[0] if line else None
        insort(line, queued, key=_key)
        return former if line[0] is queued else None

    def leave(self, queued: QueuedDelivery) -> QueuedDelivery | None:
        """Let go of a delivery; the one that waited for it and is first now."""
        study = queued.delivery.study_instance_uid
        line = self._by_study.get(study, [])
        was_first = self.is_first(queued)
        if queued in line:
            line.remove(queued)
        if not line:
            self._by_study.pop(study, None)
        return line[0] if line and was_first else None

    def is_first(self, queued: QueuedDelivery) -> bool:
        """Whether it waits for no other delivery of its study."""
        return self.first_of(queued) is queued

    def first_of(self, queued: QueuedDelivery) -> QueuedDelivery | None:
        """Whose turn it is in its study; None if there is nothing of it."""
        line = self._by_study.get(queued.delivery.study_instance_uid)
        return line[0] if line else None


def _key(queued: QueuedDelivery) -> tuple[int, int]:
    return succession_key(queued.delivery)
