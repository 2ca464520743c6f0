"""The ledger as people change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from router.domain.delivery import Delivery
from router.domain.study import RevisionKey


@dataclass(frozen=True, slots=True)
class Intervention:
    """What a person's decision changed."""

    dismissed: tuple[Delivery, ...] = ()
    """Deliveries that are not to be made any more."""
    wanted: tuple[Delivery, ...] = ()
    """Deliveries that are to be made now: new ones, and one that is revived."""
    settled: RevisionKey | None = None
    """The revision that this settled, if it did."""


class InterventionLedger(Protocol):
    """The ledger as people change it. Each method is one transaction.

    What a person asks for is required from then on: the bytes stay until it is delivered, or
    dismissed. All raise ``UnknownDelivery`` or ``UnknownStudy``, and ``StateConflict`` where a
    delivery is under way or over, or the bytes have left the spool.
    """

    async def revive(self, delivery_id: int, at: datetime) -> Intervention:
        """Make a dead or waiting delivery pending again, and what its candidate refused, too."""
        ...

    async def dismiss(self, delivery_id: int, at: datetime, reason: str) -> Intervention:
        """End a delivery that is not under way; its revision depends on it no more."""
        ...

    async def redirect(self, delivery_id: int, ae_title: str, at: datetime) -> Intervention:
        """Give what a delivery holds to another candidate instead; the old one is dismissed."""
        ...

    async def resend(
        self, study_instance_uid: str, ae_titles: Sequence[str] | None, at: datetime
    ) -> Intervention:
        """Create deliveries of everything that is retained of a study.

        To these candidates, or to all that the study was given to. Who has a delivery of a
        revision before it gets the same instances; a dead one is dismissed for the new one, and
        one that is to be made anyway stays as it is.
        """
        ...
