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

log = structlog.get_logger(__name__)


class Completes(StrEnum):
    """Which requests, when everything of them is stored, say that their studies are complete."""

    NAMED = "named"  # those for one study, by its URL
    WHOLE = "whole"  # these, and those that hold all that has arrived of a study
    EVERY = "every"
    NONE = "none"


class Held(Protocol):
    """What a request has brought; see :class:`router.ingress.uploads.Upload`."""

    study_instance_uid: str
    stored: dict[str, set[str]]
    failures: int


class WholeStudies:
    """Completes the studies of requests that are over."""

    def __init__(
        self,
        completes: Completes,
        arrived_instances: Callable[[str], Awaitable[int]],
        caught_up: Callable[[], Awaitable[None]],
        complete_now: Callable[[str, str], bool],
    ):
        """``arrived_instances`` counts what the ledger has of a study, if it has ``caught_up``."""
        self._completes = completes
        self._arrived_instances = arrived_instances
        self._caught_up = caught_up
        self._complete_now = complete_now

    async def conclude(self, upload: Held, outcome: Outcome) -> Outcome:
        """Complete what a request held whole, if everything in it was stored; never raises.

        Where the ledger cannot be asked, its studies wait for their completion policy.
        """
        if outcome.broken or upload.failures or self._completes is Completes.NONE:
            return outcome
        if self._completes is Completes.EVERY or upload.study_instance_uid:
            for study_uid in upload.stored:
                self._complete_now(study_uid, BY_UPLOAD)
        elif self._completes is Completes.WHOLE:
            try:
                with anyio.fail_after(CAUGHT_UP_WITHIN_S):
                    await self._complete_held_whole(upload)
            except (LedgerFailed, TimeoutError) as error:
                log.warning(
                    "what a request held has to wait for its completion policy", error=str(error)
                )
        return outcome

    async def _complete_held_whole(self, upload: Held) -> None:
        await self._caught_up()
        for study_uid, sop_instance_uids in upload.stored.items():
            if await self._arrived_instances(study_uid) == len(sop_instance_uids):
                self._complete_now(study_uid, BY_UPLOAD)
