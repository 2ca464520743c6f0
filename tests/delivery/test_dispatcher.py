"""Lanes beside each other: none feels another, each survives its faults, all stop in time."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from router.domain.delivery import DeliveryState
from tests.delivery.conftest import Hospital
from tests.delivery.writers import BUSY, CRASH, uid, uids

WITHIN_S = 10.0


# -- independence ------------------------------------------------------------------------------


async def test_a_candidate_that_answers_nothing_delays_nobody(hospital: Hospital) -> None:
    slow, quick = hospital.register("SLOW"), hospital.register("QUICK")
    slow.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        to_slow, to_quick = await hospital.route("SLOW", "QUICK")
        dispatcher.deliver([to_slow, to_quick])
        await slow.until(lambda: slow.in_flight == 1)
        await hospital.delivered(to_quick)
        assert (await hospital.detail(to_slow)).delivery.state is DeliveryState.ACTIVE

    assert quick.stored == uids(range(3))
    assert slow.stored == []


async def test_a_fault_of_our_own_in_one_lane_is_felt_in_no_other(hospital: Hospital) -> None:
    hospital.register("UNLUCKY")
    hospital.register("OTHER")
    async with hospital.dispatching() as dispatcher:
        unlucky, other = await hospital.route("UNLUCKY", "OTHER")
        hospital.ledger.trouble(unlucky, ZeroDivisionError("a bug"))
        dispatcher.deliver([unlucky, other])
        await hospital.delivered(other)


# -- faults ------------------------------------------------------------------------------------


async def test_a_lane_that_crashes_is_started_again_after_a_pause(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        hospital.ledger.trouble(delivery, ZeroDivisionError("a bug"))
        dispatcher.deliver([delivery])
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()
        assert (lane.left_alone_s, lane.last_error) == (2.0, "ZeroDivisionError: a bug")
        assert writer.sent == []
        await hospital.delivered(delivery, within_s=3)

    assert writer.stored == uids(range(3))


async def test_a_lane_that_crashes_again_and_again_pauses_longer_and_longer(
    hospital: Hospital,
) -> None:
    hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        hospital.ledger.trouble(delivery, *[ZeroDivisionError("a bug")] * 3)
        dispatcher.deliver([delivery])
        pauses = []
        for _ in range(3):
            await hospital.at_rest()
            (lane,) = dispatcher.statistics()
            pauses.append(lane.left_alone_s)
            hospital.clock.advance(lane.left_alone_s)
        await hospital.delivered(delivery, within_s=1)

    assert pauses == [2.0, 4.0, 8.0]


async def test_answers_that_a_crash_lost_are_asked_for_again(hospital: Hospital) -> None:
    """The study is sent twice rather than held for delivered."""
    writer = hospital.register("XRAY")
    hospital.settings = replace(hospital.settings, flush_after=100)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.delivered(delivery)
        (again,) = await hospital.route("XRAY", study="1.2.4")
        writer.hold = anyio.Event()
        dispatcher.deliver([again])
        await writer.until(lambda: writer.in_flight == 1)
        hospital.ledger.trouble(again, ZeroDivisionError("a bug"))
        writer.hold.set()
        await hospital.delivered(again, within_s=30)

    assert sorted(set(writer.stored)) == sorted([*uids(range(3)), *uids(range(3), "1.2.4")])


# -- restarts ----------------------------------------------------------------------------------


async def test_what_a_former_run_left_is_finished_and_nothing_is_sent_twice(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), BUSY)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery)

    async with hospital.dispatching():
        await hospital.delivered(delivery, within_s=3)

    assert writer.numbers == [0, 1, 2, 1]


async def test_an_instance_that_associations_dropped_on_in_a_former_run_is_known_for_it(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(0), always=CRASH)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery, attempts=2, within_s=10)

    async with hospital.dispatching():
        dead = await hospital.until(delivery, DeliveryState.DEAD, within_s=60)

    assert writer.numbers == [0, 1, 2, 0, 0]
    assert (dead.delivered, dead.refused) == (2, 1)


async def test_an_attempt_that_the_end_of_a_run_interrupted_begins_again_at_once(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await writer.until(lambda: writer.in_flight == 1)
    writer.hold.set()

    async with hospital.dispatching():
        await hospital.delivered(delivery)

    first, second = (await hospital.detail(delivery)).attempts
    assert "the router stopped" in first.reason
    assert second.outcome is DeliveryState.DELIVERED


async def test_a_retry_still_waits_for_its_time_after_a_restart(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery)
    writer.is_up = True

    async with hospital.dispatching():
        hospital.clock.advance(1.9)
        await hospital.at_rest()
        assert writer.opened == 0
        hospital.clock.advance(0.2)
        await hospital.delivered(delivery)


async def test_nothing_is_sent_before_the_deliveries_of_a_former_run_are_known(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    dispatcher = hospital.dispatcher()
    (delivery,) = await hospital.route("XRAY")
    async with anyio.create_task_group() as tasks:
        await tasks.start(dispatcher.run)
        dispatcher.deliver([delivery])
        await hospital.at_rest()
        assert writer.tried == 0
        await dispatcher.restore()
        await hospital.delivered(delivery)
        tasks.cancel_scope.cancel()


async def test_a_delivery_that_is_handed_over_twice_is_sent_once(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery, delivery])
        dispatcher.deliver([delivery])
        await hospital.delivered(delivery)

    assert writer.numbers == [0, 1, 2]


# -- the end -----------------------------------------------------------------------------------


async def test_a_drained_dispatcher_hears_the_answers_to_what_is_in_flight_and_sends_nothing_more(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    dispatcher = hospital.dispatcher()
    (delivery,) = await hospital.route("XRAY")
    with anyio.fail_after(WITHIN_S):
        async with anyio.create_task_group() as tasks:
            await tasks.start(dispatcher.run)
            await dispatcher.restore()
            await writer.until(lambda: writer.in_flight == 1)
            tasks.start_soon(dispatcher.drain, 60.0)
            await hospital.at_rest()
            writer.hold.set()

    assert writer.numbers == [0]
    assert (await hospital.detail(delivery)).delivery.delivered == 1


async def test_what_is_not_answered_in_time_is_abandoned_and_sent_again_later(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    dispatcher = hospital.dispatcher()
    (delivery,) = await hospital.route("XRAY")
    with anyio.fail_after(WITHIN_S):
        async with anyio.create_task_group() as tasks:
            await tasks.start(dispatcher.run)
            await dispatcher.restore()
            await writer.until(lambda: writer.in_flight == 1)
            tasks.start_soon(dispatcher.drain, 60.0)
            await hospital.at_rest()
            hospital.clock.advance(60.0)
    writer.hold = None

    async with hospital.dispatching():
        await hospital.delivered(delivery)

    assert writer.numbers == [0, 0, 1, 2]


@pytest.mark.parametrize("timeout_s", [0.0, 60.0])
async def test_a_dispatcher_that_does_nothing_is_drained_at_once(
    hospital: Hospital, timeout_s: float
) -> None:
    with anyio.fail_after(WITHIN_S):
        async with hospital.dispatching() as dispatcher:
            await dispatcher.drain(timeout_s)


async def test_a_drained_dispatcher_takes_on_nothing_more(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        await dispatcher.drain(0.0)
        dispatcher.deliver(await hospital.route("XRAY"))
        dispatcher.wake("XRAY")
        await hospital.at_rest()

    assert writer.tried == 0
