"""Sends instances to one candidate, over one association after the other."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog

from router.delivery.queued import Sending
from router.domain.delivery import Outcome
from router.domain.errors import RouterError
from router.ports import DestinationSession

EXPECTED = (RouterError, OSError)

log = structlog.get_logger(__name__)

Way = AbstractAsyncContextManager[DestinationSession]


class Supervisor(Protocol):
    """What a sender asks of its lane and tells it; the lane judges, the sender only sends."""

    async def next(self) -> Sending | None:
        """The next instance to send; None when this sender is not needed at present."""
        ...

    def way_for(self, sending: Sending) -> Way | None:
        """How to open an association for an instance; None if that must not be at present."""
        ...

    def opened(self) -> None:
        """An association was accepted."""
        ...

    def closed(self) -> None:
        """An association that was accepted is over."""
        ...

    def not_opened(self, reason: str) -> None:
        """No association could be opened."""
        ...

    def answered(self, sending: Sending, outcome: Outcome) -> None:
        """The candidate answered for an instance."""
        ...

    def dropped(self, sending: Sending, reason: str, error: Exception) -> None:
        """The association was lost before the candidate answered."""
        ...

    def faulted(self, sending: Sending, reason: str) -> None:
        """A fault of our own came up while an instance was sent; its outcome is unknown."""
        ...

    def give_back(self, sending: Sending) -> None:
        """An instance was not sent, or nobody knows whether it was."""
        ...


class Sender:
    """One of the parallel senders of a lane. It holds at most one instance at a time.

    Whatever happens to it, the instance that it holds is answered for or given back.
    """

    def __init__(self, ae_title: str, lane: Supervisor):
        self._ae_title = ae_title
        self._lane = lane
        self._held: Sending | None = None

    async def run(self) -> None:
        """Send until nothing is left to take."""
        try:
            self._held = await self._lane.next()
            while self._held is not None:
                way = self._lane.way_for(self._held)
                if way is None:
                    return
                await self._associate(way)
        finally:
            self._give_back()

    async def _associate(self, way: Way) -> None:
        """Send over one association as much as it carries."""
        is_open = False
        try:
            async with way as session:
                is_open = True
                self._lane.opened()
                await self._send_what_it_carries(session)
        except Exception as error:
            if not isinstance(error, EXPECTED):
                log.exception("an association failed unexpectedly", ae_title=self._ae_title)
            if not is_open:
                self._give_back()
                self._lane.not_opened(told(error))
            elif not isinstance(error, EXPECTED):
                raise
        finally:
            if is_open:
                self._lane.closed()

    async def _send_what_it_carries(self, session: DestinationSession) -> None:
        """Stop when the session is gone, or the next instance asks for another one."""
        while self._held is not None:
            was_alone = self._held.alone
            is_there = await self._send(session, self._held)
            self._held = await self._lane.next()
            if self._held is None or was_alone or self._held.alone or not is_there:
                return
            if not session.carries(self._held.item):
                return

    async def _send(self, session: DestinationSession, sending: Sending) -> bool:
        """Send one instance and tell what became of it; whether the session is still there.

        A lost association speaks against the instance, a fault of our own against nobody: neither
        the instance nor the candidate can help it.
        """
        try:
            outcome = await session.send(sending.item)
        except EXPECTED as error:
            self._held = None
            self._lane.dropped(sending, told(error), error)
            return False
        except Exception as error:
            log.exception(
                "an instance could not be sent for an unexpected reason",
                ae_title=self._ae_title,
                sop_instance_uid=sending.item.sop_instance_uid,
            )
            self._held = None
            self._lane.faulted(sending, told(error))
            return False
        self._held = None
        self._lane.answered(sending, outcome)
        return True

    def _give_back(self) -> None:
        if self._held is not None:
            self._lane.give_back(self._held)
            self._held = None


def told(error: Exception) -> str:
    """What a person reads of an error."""
    name = type(error).__name__
    return str(error) or name if isinstance(error, EXPECTED) else f"{name}: {error}"
