"""No time-out of the router is read from the wall clock: it may jump at any moment.

``test_clock_jumps.py`` says the same of a running router, where libfaketime is installed; that of
leases is in ``tests/registry``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from router.domain.delivery import DeliveryState
from router.ledger.database import Database
from router.ledger.ledger import BUSY_TIMEOUT_S
from tests.completion.desk import a_desk
from tests.delivery.conftest import SETTINGS, Hospital, MoodyLedger
from tests.delivery.writers import BUSY, uid

JUMPS = [timedelta(minutes=30), timedelta(days=-365)]
GIVE_UP_AFTER_S = SETTINGS.retry.give_up_after_s


@pytest.fixture
async def hospital(tmp_path: Path) -> AsyncIterator[Hospital]:
    database = await Database.open(tmp_path / "ledger.db", BUSY_TIMEOUT_S)
    yield Hospital(MoodyLedger(database))
    await database.close()


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_a_study_is_complete_after_the_time_that_passed(jump: timedelta) -> None:
    async with a_desk() as desk:
        await desk.send("a", count=3)
        await desk.wait(2)
        desk.clock.jump(jump)
        await desk.wait(2.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert desk.books.sizes == [3]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_a_delivery_is_tried_again_after_the_time_that_passed(
    hospital: Hospital, jump: timedelta
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), BUSY)
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=2)
        dispatcher.deliver(deliveries)
        await hospital.retrying(*deliveries)
        hospital.clock.jump(jump)
        hospital.clock.advance(1.9)
        await hospital.at_rest()
        assert writer.numbers == [0, 1]
        hospital.clock.advance(0.1)
        await hospital.delivered(*deliveries)


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_after_a_restart_in_another_time_no_attempt_waits_longer_than_the_longest_pause(
    hospital: Hospital, jump: timedelta
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), BUSY)
    deliveries = await hospital.route("XRAY", instances=2)
    async with hospital.dispatching() as dispatcher:
        dispatcher.deliver(deliveries)
        await hospital.retrying(*deliveries)
    hospital.clock.jump(jump)
    async with hospital.dispatching():
        await hospital.delivered(*deliveries, within_s=SETTINGS.retry.cap_s)


async def test_a_jump_past_give_up_after_ends_only_what_fails_and_a_person_gets_it_back(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery)
        hospital.clock.jump(timedelta(seconds=GIVE_UP_AFTER_S))
        dead = await hospital.until(delivery, DeliveryState.DEAD, within_s=60)
        assert "given up" in dead.reason
        writer.is_up = True
        await hospital.interventions(dispatcher).retry(delivery.id)
        await hospital.delivered(delivery, within_s=60)
