from __future__ import annotations

from dataclasses import replace

from router.domain.candidate import Registration
from router.ledger.ledger import SqlLedger
from tests.ledger.builders import NOON, later

XRAY = Registration("XRAY", '{"port": 4242}', NOON, later(10), later(60))


async def test_a_registration_comes_back_as_it_was_saved(ledger: SqlLedger) -> None:
    await ledger.save_registration(XRAY)
    assert await ledger.registrations() == [XRAY]


async def test_saving_replaces_by_ae_title(ledger: SqlLedger) -> None:
    await ledger.save_registration(XRAY)
    newer = replace(XRAY, body='{"port": 104}', lease_expires_at=later(600), draining=True)
    await ledger.save_registration(newer)
    assert await ledger.registrations() == [newer]


async def test_removing_says_whether_there_was_one(ledger: SqlLedger) -> None:
    await ledger.save_registration(XRAY)
    assert await ledger.remove_registration("XRAY")
    assert not await ledger.remove_registration("XRAY")
    assert await ledger.registrations() == []
