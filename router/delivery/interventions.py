"""What people decide about deliveries: written to the ledger first, then followed at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from router.domain.candidate import Candidate
from router.domain.delivery import Delivery
from router.domain.study import RevisionKey
from router.ports import Clock, Intervention, InterventionLedger

Follow = Callable[[Sequence[Delivery], Sequence[Delivery]], None]
"""Takes the deliveries that were dismissed, and those that are wanted now."""

log = structlog.get_logger(__name__)


class Interventions:
    """Another attempt, another candidate, or none at all.

    Every method raises ``LedgerFailed``, and ``StateConflict`` (``UnknownDelivery``) or
    ``UnknownStudy`` as :class:`router.ports.InterventionLedger` says; then nothing has changed.
    """

    def __init__(
        self,
        ledger: InterventionLedger,
        clock: Clock,
        candidate: Callable[[str], Candidate],
        follow: Follow,
        on_settled: Callable[[RevisionKey], None],
    ):
        """``candidate`` gives who is registered, or raises ``UnknownCandidate``."""
        self._ledger = ledger
        self._clock = clock
        self._candidate = candidate
        self._follow = follow
        self._on_settled = on_settled

    async def retry(self, delivery_id: int) -> Delivery:
        """Attempt a dead or waiting delivery now, with what its candidate refused."""
        return self._done("retry", await self._ledger.revive(delivery_id, self._clock.now()))[0]

    async def redirect(self, delivery_id: int, ae_title: str) -> tuple[Delivery, Delivery]:
        """Deliver to another candidate instead: the new delivery, and the one that it replaces.

        Raises ``UnknownCandidate`` for one that is not registered.
        """
        other = self._candidate(ae_title).ae_title
        change = await self._ledger.redirect(delivery_id, other, self._clock.now())
        (new,) = self._done("redirect", change)
        return new, change.dismissed[0]

    async def dismiss(self, delivery_id: int, reason: str) -> Delivery:
        """End a delivery that is not under way, dead ones above all: it is not needed."""
        change = await self._ledger.dismiss(delivery_id, self._clock.now(), reason)
        self._done("dismiss", change)
        return change.dismissed[0]

    async def resend(
        self, study_instance_uid: str, ae_titles: Sequence[str] | None = None
    ) -> Sequence[Delivery]:
        """Send what is retained of a study again: to these, or to all that it was given to.

        Raises ``UnknownCandidate`` for one that is not registered.
        """
        names = None if ae_titles is None else [self._candidate(one).ae_title for one in ae_titles]
        change = await self._ledger.resend(study_instance_uid, names, self._clock.now())
        return self._done("resend", change)

    def _done(self, what: str, change: Intervention) -> Sequence[Delivery]:
        """Follow the change; what is wanted now."""
        self._follow(change.dismissed, change.wanted)
        if change.settled is not None:
            self._on_settled(change.settled)
        for delivery in (*change.wanted, *change.dismissed):
            log.info(
                "a person decided about a delivery",
                decision=what,
                delivery=delivery.id,
                ae_title=delivery.ae_title,
                study_instance_uid=delivery.study_instance_uid,
                state=delivery.state,
                reason=delivery.reason,
            )
        return change.wanted
