"""Whether a candidate may be sent to at present: who it is, when it may be, whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from router.delivery.expected import EXPECTED, told
from router.delivery.health import Health
from router.delivery.waiting import NEVER
from router.domain.candidate import Candidate
from router.domain.errors import ContextNotAccepted
from router.domain.window import describe, opens_in_s
from router.ports import Clock, Destination

NOT_REGISTERED = "not registered at present"

log = structlog.get_logger(__name__)


class Gate:
    """The way to one candidate, as far as it is not a matter of what is to be sent."""

    def __init__(
        self,
        candidate: Callable[[], Candidate | None],
        destinations: Mapping[str, Destination],
        health: Health,
        clock: Clock,
    ):
        """``candidate`` tells what is registered under the AE title at the moment."""
        self._candidate = candidate
        self._destinations = destinations
        self._health = health
        self._clock = clock
        self.commits = False
        """Whether the candidate is asked for storage commitment, as far as is known."""

    @property
    def candidate(self) -> Candidate | None:
        """What is registered at the moment."""
        candidate = self._candidate()
        if candidate is not None:
            self.commits = candidate.commitment
        return candidate

    @property
    def window_opens_at(self) -> float:
        """When the delivery window opens (monotonic); 0: it is open."""
        candidate = self._candidate()
        if candidate is None or not candidate.window:
            return 0.0
        wait_s = opens_in_s(candidate.window, self._clock.now())
        return self._clock.monotonic() + wait_s if wait_s else 0.0

    @property
    def opens_at(self) -> float:
        """When anything may begin (monotonic): in the window, and when a back-off is over."""
        return max(self._health.left_alone_until, self.window_opens_at)

    @property
    def is_open(self) -> bool:
        """Whether anything may begin now."""
        return self.opens_at <= self._clock.monotonic()

    def closed(self) -> tuple[str, float] | None:
        """Why nothing may begin, and until when (monotonic); None: but for a back-off, it may."""
        candidate = self.candidate
        if candidate is None:
            return NOT_REGISTERED, NEVER
        opens_at = self.window_opens_at
        if opens_at:
            return f"outside the delivery window {describe(candidate.window)}", opens_at
        return None

    async def probe(self, candidate: Candidate) -> str:
        """Ask whether the candidate is there, after it failed again and again.

        The reason why it is not fit to be sent to; empty: it is. One that does not know C-ECHO, but
        accepts the association, is there.
        """
        try:
            await self._destinations[candidate.kind].probe(candidate)
        except ContextNotAccepted:
            pass
        except Exception as error:
            if not isinstance(error, EXPECTED):
                log.exception("a candidate could not be probed", ae_title=candidate.ae_title)
            return f"probed in vain: {told(error)}"
        self._health.probed()
        return ""

    def needs_probe(self, candidate: Candidate) -> bool:
        """Whether it has to be asked whether it is there before anything is sent."""
        return self._health.needs_probe and candidate.kind in self._destinations
