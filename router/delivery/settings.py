"""How lanes behave."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from router.domain.delivery import Delivery
from router.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What is the same for every lane."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    page: int = 256
    """Items that are loaded at a time; so many are held for each candidate."""
    flush_after: int = 256
    """So many results go into the ledger together,"""
    flush_after_s: float = 0.5
    """or those that came within so many seconds after the first one."""
    drops_allowed: int = 3
    """So many dropped associations refuse an instance for good; the last ones when it was alone."""
    setbacks_allowed: int = 4
    """Temporary failures in a row before a candidate is left alone."""

    def gives_up(self, delivery: Delivery, now: datetime) -> bool:
        """Whether a delivery has been tried for as long as anything is."""
        return self.retry.gives_up((now - delivery.tried_since).total_seconds())
