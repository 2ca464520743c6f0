"""Order inside one candidate's queue: priority, then the least remaining work, with ageing.

That is between studies. The revisions of one study follow one another, whatever their size.
"""

from __future__ import annotations

import math

from router.domain.delivery import Delivery

AGEING_S = 600.0
"""Waiting so long is worth one factor e of remaining bytes."""

PRIORITY_S = 6 * 3600.0
"""A step of priority (urgent, normal, low) outweighs this much waiting."""

PRIORITY_STEP = 10


def order_key(delivery: Delivery) -> tuple[float, int]:
    """Smaller goes first; does not depend on the present time, so a queue needs no re-sorting.

    The key is ``created + PRIORITY_S * priority + AGEING_S * ln(remaining)``: waiting lowers every
    key alike, so only the moments of creation matter. Whoever came long enough before another goes
    first, whatever its size or priority: nothing starves. Of two that were created together the
    urgent one goes before the normal one, however much it has to send (up to 4 PB), and of equal
    priority the one with the smaller remaining work.
    """
    weight = AGEING_S * math.log(max(1, delivery.remaining_bytes))
    steps = delivery.priority / PRIORITY_STEP
    return delivery.created_at.timestamp() + PRIORITY_S * steps + weight, delivery.id


def succession_key(delivery: Delivery) -> tuple[int, int]:
    """Smaller goes first of the deliveries of one study: the older revision, then who came first.

    A later revision may hold other bytes of an instance; they have to come last.
    """
    return delivery.revision_number, delivery.id
