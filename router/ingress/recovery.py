"""At start-up: what the spool holds and the ledger does not know goes into the ledger."""

from __future__ import annotations

import structlog

from router.domain.instance import Instance
from router.ingress.recorder import BATCH, BATCH_BYTES, text_size
from router.ports import ArrivalLedger, Spool

log = structlog.get_logger(__name__)


async def recover(spool: Spool, ledger: ArrivalLedger) -> int:
    """Record every intact instance that is not in the ledger; how many there were.

    Only the tails that the ledger has not seen are read; with a new ledger that is everything.
    Nothing is accepted meanwhile. Raises ``LedgerFailed`` or ``SpoolFailed``.
    """
    recovered = size = 0
    batch: list[Instance] = []
    async for instance in spool.scan(await ledger.recorded_through()):
        batch.append(instance)
        size += text_size(instance)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            recovered += await _record(ledger, batch)
            batch, size = [], 0
    recovered += await _record(ledger, batch)
    if recovered:
        log.info("instances recovered from the spool", instances=recovered)
    return recovered


async def _record(ledger: ArrivalLedger, batch: list[Instance]) -> int:
    if batch:
        await ledger.record(batch, in_order=False)  # segments overlap in time
    return len(batch)
