"""Takes whole revisions to one candidate, one transfer after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from router.delivery.queued import Sending
from router.delivery.sender import EXPECTED, told
from router.domain.delivery import Outcome
from router.domain.errors import CandidateUnavailable, PeerTimeout

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Transfer:
    """All instances of a delivery that are still to be sent, and how they are."""

    sendings: Sequence[Sending]
    send: Callable[[], Awaitable[Sequence[Outcome]]]
    is_divisible: bool
    """Whether an instance that is suspected may be sent alone; if not, it is all or nothing."""


class Office(Protocol):
    """What a courier asks of its lane and tells it; the lane judges."""

    async def next_transfer(self) -> Transfer | None:
        """What is to be taken next; None when this courier is not needed at present."""
        ...

    def set_out(self) -> None:
        """A transfer begins."""
        ...

    def came_back(self) -> None:
        """A transfer is over."""
        ...

    def unavailable(self, reason: str) -> None:
        """The candidate takes nothing at present, whatever it is."""
        ...

    def transferred(self, transfer: Transfer, outcomes: Sequence[Outcome]) -> None:
        """The candidate answered for the instances of a transfer."""
        ...

    def lost(self, transfer: Transfer, reason: str, *, silent: bool) -> None:
        """A transfer broke before it was answered; ``silent``: it took too long."""
        ...

    def broken(self, transfer: Transfer, reason: str) -> None:
        """A fault of our own came up during a transfer; its outcome is unknown."""
        ...

    def give_back(self, sending: Sending) -> None:
        """An instance was not sent, or nobody knows whether it was."""
        ...


class Courier:
    """One of the parallel couriers of a lane. It is under way with at most one transfer.

    Whatever happens to it, what it carries is answered for or given back.
    """

    def __init__(self, ae_title: str, lane: Office):
        self._ae_title = ae_title
        self._lane = lane
        self._held: Transfer | None = None

    async def run(self) -> None:
        """Carry until nothing is left to take, or the candidate takes nothing."""
        try:
            while (transfer := await self._lane.next_transfer()) is not None:
                self._held = transfer
                if not await self._carry(transfer):
                    return
        finally:
            self._give_back()

    async def _carry(self, transfer: Transfer) -> bool:
        """Carry one transfer and tell what became of it; whether to go on."""
        self._lane.set_out()
        unavailable = ""
        try:
            outcomes = await transfer.send()
        except CandidateUnavailable as error:
            unavailable = told(error)
        except EXPECTED as error:
            self._held = None
            self._lane.lost(transfer, told(error), silent=isinstance(error, PeerTimeout))
        except Exception as error:
            log.exception(
                "a study could not be sent for an unexpected reason",
                ae_title=self._ae_title,
                study_instance_uid=transfer.sendings[0].queued.delivery.study_instance_uid,
            )
            self._held = None
            self._lane.broken(transfer, told(error))
        else:
            self._held = None
            self._lane.transferred(transfer, outcomes)
        finally:
            self._lane.came_back()
        if unavailable:
            self._give_back()
            self._lane.unavailable(unavailable)
        return not unavailable

    def _give_back(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            for sending in reversed(held.sendings):
                self._lane.give_back(sending)
