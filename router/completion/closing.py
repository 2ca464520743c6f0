"""What becomes of a revision that falls due: complete, or too late."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from router.domain.completion import Due, OnMaxWait
from router.domain.study import RevisionKey
from router.ports import Clock, RevisionLedger

Complete = Callable[[RevisionKey, str], Awaitable[None]]
"""Closes a revision in the ledger and sees to it that it is routed; gets what completed it."""

log = structlog.get_logger(__name__)


class Closer:
    """Carries out what the policy says: hand the revision over, hold it, or give it up."""

    def __init__(
        self,
        ledger: RevisionLedger,
        clock: Clock,
        complete: Complete,
        discarded: Callable[[], None],
    ):
        """``discarded`` is told that bytes may be reclaimed."""
        self._ledger = ledger
        self._clock = clock
        self._complete = complete
        self._discarded = discarded

    async def close(self, revision: RevisionKey, verdict: Due) -> None:
        """Carry a verdict out. Raises ``LedgerFailed``, or ``StateConflict`` if it is too late."""
        if verdict.as_told is OnMaxWait.DELIVER:
            await self._complete(revision, verdict.why)
        elif verdict.as_told is OnMaxWait.HOLD:
            await self._ledger.hold(revision, verdict.why)
            _warn("the study is held: nobody gets it until you say complete", revision, verdict)
        else:
            await self._ledger.discard(revision, self._clock.now(), verdict.why)
            _warn("the study is discarded: nobody gets it", revision, verdict)
            self._discarded()


def _warn(text: str, revision: RevisionKey, verdict: Due) -> None:
    log.warning(
        text,
        study_instance_uid=revision.study_instance_uid,
        revision=revision.number,
        reason=verdict.why,
    )
