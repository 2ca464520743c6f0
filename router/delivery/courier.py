"""Takes whole revisions to one candidate, one transfer after the other."""

from __future__ import annotations

import structlog

from router.delivery.desk import Desk, Transfer
from router.delivery.expected import EXPECTED, told
from router.domain.errors import CandidateUnavailable

log = structlog.get_logger(__name__)


class Courier:
    """One of the parallel couriers of a lane. It is under way with at most one transfer.

    Whatever happens to it, what it carries is answered for or given back.
    """

    def __init__(self, ae_title: str, desk: Desk):
        self._ae_title = ae_title
        self._desk = desk
        self._held: Transfer | None = None

    async def run(self) -> None:
        """Carry until nothing is left to take, or the candidate takes nothing."""
        try:
            while (transfer := await self._desk.next_transfer()) is not None:
                self._held = transfer
                if not await self._carry(transfer):
                    return
        finally:
            self._give_back()

    async def _carry(self, transfer: Transfer) -> bool:
        """Carry one transfer and tell what became of it; whether to go on."""
        self._desk.set_out()
        unavailable = ""
        try:
            outcomes = await transfer.send()
        except CandidateUnavailable as error:
            unavailable = told(error)
        except EXPECTED as error:
            self._held = None
            self._desk.lost(transfer, error)
        except Exception as error:
            log.exception(
                "a study could not be sent for an unexpected reason",
                ae_title=self._ae_title,
                study_instance_uid=transfer.sendings[0].queued.delivery.study_instance_uid,
            )
            self._held = None
            self._desk.broken(transfer, error)
        else:
            self._held = None
            self._desk.transferred(transfer, outcomes)
        finally:
            self._desk.closed()
        if unavailable:
            self._give_back()
            self._desk.unavailable(unavailable)
        return not unavailable

    def _give_back(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._desk.give_back(held.sendings)
