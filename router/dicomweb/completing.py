"""Which STOW-RS requests say that their studies are complete.

PS3.18 has no word for it. A request that names one study in its URL is meant as the study; of any
other can be seen whether it held all that there is of a study. A sender that cuts a study into
several requests looks like that only in the first of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

import anyio
import structlog

from router.dicomweb.storing import Outcome
from router.domain.errors import LedgerFailed

BY_UPLOAD = "a STOW-RS request held the study"
CAUGHT_UP_WITHIN_S = 10.0
WAITS = "what a request held has to wait for its completion policy"

log = structlog.get_logger(__name__)


class Completes(StrEnum):
    """Which requests, when everything of them is stored, say that their studies are complete."""

    NAMED = "named"  # those for one study, by its URL
    WHOLE = "whole"  # these, and those that hold all that the ledger knows of a study
    EVERY = "every"
    NONE = "none"


class Named(Protocol):
    """A request, as far as its URL says what it is for; empty: for any study."""

    study_instance_uid: str


class WholeStudies:
    """Completes the studies of requests that are over."""

    def __init__(
        self,
        completes: Completes,
        arrived_instances: Callable[[str], Awaitable[int]],
        caught_up: Callable[[], Awaitable[None]],
        complete: Callable[[str, str], bool],
    ):
        """``arrived_instances`` counts what the ledger has of a study, if it has ``caught_up``."""
        self._completes = completes
        self._arrived_instances = arrived_instances
        self._caught_up = caught_up
        self._complete = complete

    async def conclude(self, upload: Named, outcome: Outcome) -> None:
        """Complete what a request held whole, if everything in it was stored; never raises.

        Where the ledger cannot be asked, its studies wait for their completion policy.
        """
        if not outcome.is_all_stored:
            return
        if self._completes is Completes.WHOLE and not upload.study_instance_uid:
            try:
                with anyio.fail_after(CAUGHT_UP_WITHIN_S):
                    await self._complete_held_whole(outcome)
            except LedgerFailed as error:
                log.warning(WAITS, error=str(error))
            except TimeoutError:
                log.warning(WAITS, error=f"the ledger lags by more than {CAUGHT_UP_WITHIN_S:g} s")
        elif self._is_meant(upload):
            for study_uid in {result.study_instance_uid for result in outcome.results}:
                self._complete(study_uid, BY_UPLOAD)

    def _is_meant(self, upload: Named) -> bool:
        """Whether the studies of this request are complete, whatever else there is of them."""
        if upload.study_instance_uid:
            return self._completes is not Completes.NONE
        return self._completes is Completes.EVERY

    async def _complete_held_whole(self, outcome: Outcome) -> None:
        brought: dict[str, set[str]] = {}
        for result in outcome.results:
            brought.setdefault(result.study_instance_uid, set()).add(result.sop_instance_uid)
        await self._caught_up()
        for study_uid, sop_instance_uids in brought.items():
            if await self._arrived_instances(study_uid) == len(sop_instance_uids):
                self._complete(study_uid, BY_UPLOAD)
