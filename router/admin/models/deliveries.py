"""Deliveries as the HTTP API answers them, and what a person's decision made of them."""

from __future__ import annotations

from collections.abc import Sequence

from router.admin.models.base import Answer, Done
from router.domain.delivery import Delivery
from router.domain.views import AttemptView, UndeliveredItem


class Deliveries(Answer):
    """Some deliveries."""

    deliveries: Sequence[Delivery]
    """Newest first."""
    next: int | None
    """The ``after`` of the next page; null: this is the last."""


class DeliveryAnswer(Answer):
    """All about one delivery."""

    delivery: Delivery
    """Its state and counts."""
    attempts: Sequence[AttemptView]
    """Oldest first, each with its reason."""
    undelivered: Sequence[UndeliveredItem]
    """Instances that were tried and that the candidate does not hold; at most 100."""


class DeliveryChanged(Done):
    """A person's decision about a delivery was carried out."""

    delivery: Delivery
    """As it stands now."""


class Redirected(Done):
    """A delivery goes to another candidate."""

    delivery: Delivery
    """The new one."""
    dismissed: Delivery
    """The one that it replaces."""


class Resent(Done):
    """A study is sent again."""

    deliveries: Sequence[Delivery]
    """The new ones."""
