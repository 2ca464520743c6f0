"""The ledger as people look at it."""

from __future__ import annotations

from typing import Protocol

from router.domain.delivery import Delivery, DeliveryState
from router.domain.instance import Disposition
from router.domain.study import RevisionState
from router.domain.views import (
    Counts,
    DeliveryDetail,
    Page,
    QuarantineEntry,
    RefusalEntry,
    StudyDetail,
    StudySummary,
)


class LedgerViews(Protocol):
    """The ledger as people look at it. Each method reads one consistent state, changes nothing.

    Lists come newest first, at most ``limit`` entries, past the cursor ``after``.
    """

    async def studies(
        self,
        *,
        limit: int = 100,
        after: int | None = None,
        state: RevisionState | None = None,
        patient_id: str | None = None,
    ) -> Page[StudySummary]:
        """Studies, optionally of one patient, or with any revision in a state."""
        ...

    async def study(self, study_instance_uid: str) -> StudyDetail:
        """All about one study; raises ``UnknownStudy``."""
        ...

    async def deliveries(
        self,
        *,
        limit: int = 100,
        after: int | None = None,
        state: DeliveryState | None = None,
        ae_title: str | None = None,
    ) -> Page[Delivery]:
        """Deliveries, optionally in one state, or to one candidate."""
        ...

    async def delivery(self, delivery_id: int) -> DeliveryDetail:
        """All about one delivery; raises ``UnknownDelivery`` if there is none."""
        ...

    async def refusals(
        self,
        *,
        limit: int = 100,
        after: int | None = None,
        disposition: Disposition | None = None,
    ) -> Page[RefusalEntry]:
        """Discarded and refused instances, with the reasons."""
        ...

    async def quarantine(
        self, *, limit: int = 100, after: int | None = None
    ) -> Page[QuarantineEntry]:
        """Instances in quarantine, with the reasons."""
        ...

    async def counts(self) -> Counts:
        """How much of everything there is."""
        ...
