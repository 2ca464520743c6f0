"""Follows the candidates: who is there again is sent to, held studies are determined again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import anyio
import structlog
from anyio.abc import TaskStatus

from router.completion.determiner import Determiner
from router.domain.candidate import Candidate, CandidateState
from router.domain.errors import RouterError
from router.ports import Clock

RETRY_AFTER_S = 5.0

log = structlog.get_logger(__name__)

Changes = Callable[[], AsyncGenerator[Sequence[Candidate], None]]
"""The candidates now, and after each change of what is sent where."""


class CandidateFollower:
    """Acts on what changes among the candidates."""

    def __init__(
        self, changes: Changes, determiner: Determiner, wake: Callable[[str], None], clock: Clock
    ):
        """``wake`` is told who is new, has changed or is back: deliveries need not wait longer."""
        self._changes = changes
        self._determiner = determiner
        self._wake = wake
        self._clock = clock

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled."""
        task_status.started()
        known: dict[str, Candidate] = {}
        async with aclosing(self._changes()) as changes:
            async for candidates in changes:
                for candidate in candidates:
                    is_there = candidate.state is not CandidateState.LAPSED
                    if is_there and known.get(candidate.ae_title) != candidate:
                        self._wake(candidate.ae_title)
                known = {candidate.ae_title: candidate for candidate in candidates}
                await self._determine_again()

    async def _determine_again(self) -> None:
        while True:
            try:
                await self._determiner.route_unrouted()
            except RouterError as error:
                log.error("held studies could not be determined; trying again", error=str(error))
                await self._clock.sleep(RETRY_AFTER_S)
            else:
                return
