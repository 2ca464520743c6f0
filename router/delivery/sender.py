"""Sends instances to one candidate, over one association after the other."""

from __future__ import annotations

import structlog

from router.delivery.desk import Desk, Way
from router.delivery.expected import EXPECTED, told
from router.delivery.queued import Sending
from router.ports import DestinationSession

log = structlog.get_logger(__name__)


class Sender:
    """One of the parallel senders of a lane. It holds at most one instance at a time.

    Whatever happens to it, the instance that it holds is answered for or given back.
    """

    def __init__(self, ae_title: str, desk: Desk):
        self._ae_title = ae_title
        self._desk = desk
        self._held: Sending | None = None

    async def run(self) -> None:
        """Send until nothing is left to take."""
        try:
            self._held = await self._desk.next()
            while self._held is not None:
                way = self._desk.way_for(self._held)
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
                self._desk.opened()
                await self._send_what_it_carries(session)
        except Exception as error:
            if not isinstance(error, EXPECTED):
                log.exception("an association failed unexpectedly", ae_title=self._ae_title)
            if not is_open:
                self._give_back()
                self._desk.unavailable(told(error))
            elif not isinstance(error, EXPECTED):
                raise
        finally:
            if is_open:
                self._desk.closed()

    async def _send_what_it_carries(self, session: DestinationSession) -> None:
        """Stop when the session is gone, or the next instance asks for another one."""
        while self._held is not None:
            was_alone = self._held.alone
            is_there = await self._send(session, self._held)
            self._held = await self._desk.next()
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
            self._desk.dropped(sending, error)
            return False
        except Exception as error:
            log.exception(
                "an instance could not be sent for an unexpected reason",
                ae_title=self._ae_title,
                sop_instance_uid=sending.item.sop_instance_uid,
            )
            self._held = None
            self._desk.faulted(sending, error)
            return False
        self._held = None
        self._desk.answered(sending, outcome)
        return True

    def _give_back(self) -> None:
        if self._held is not None:
            self._desk.give_back([self._held])
            self._held = None
