"""An instance that takes one candidate down is given to no other until a person says so."""

from __future__ import annotations

from dataclasses import replace

from router.domain.delivery import Delivery, DeliveryState
from router.domain.errors import AssociationAborted
from tests.delivery.conftest import Hospital
from tests.delivery.test_courier import Site
from tests.delivery.writers import CRASH, SILENCE, uid, uids

HELD_BACK = (
    "1 of 3 instances refused for good: held back: associations with XRAY dropped 3 times on this "
    "instance; retry sends it all the same (1)"
)


async def set_aside_at_xray(hospital: Hospital, *others: str) -> list[Delivery]:
    """Route a study to XRAY, which instance 1 takes down, and to others: their deliveries."""
    hospital.register("XRAY").reacts(uid(1), always=CRASH)
    async with hospital.dispatching() as dispatcher:
        first, *rest = await hospital.route("XRAY", *others)
        dispatcher.deliver([first, *rest])
        await hospital.until(first, DeliveryState.DEAD, within_s=20)
    return [first, *rest]


async def test_what_took_one_candidate_down_is_not_given_to_the_next(hospital: Hospital) -> None:
    _, late = await set_aside_at_xray(hospital, "LATE")
    writer = hospital.register("LATE")
    async with hospital.dispatching():
        dead = await hospital.until(late, DeliveryState.DEAD, within_s=20)

    assert writer.numbers == [0, 2]
    assert (dead.delivered, dead.refused) == (2, 1)
    assert dead.reason == HELD_BACK


async def test_what_was_held_back_is_sent_when_a_person_says_so(hospital: Hospital) -> None:
    _, late = await set_aside_at_xray(hospital, "LATE")
    writer = hospital.register("LATE")
    async with hospital.dispatching() as dispatcher:
        await hospital.until(late, DeliveryState.DEAD, within_s=20)
        hospital.clock.advance(1)
        await hospital.interventions(dispatcher).retry(late.id)
        await hospital.delivered(late, within_s=20)

    assert writer.stored == uids([0, 2, 1])


async def test_what_was_held_back_stays_so_where_the_first_delivery_is_dismissed(
    hospital: Hospital,
) -> None:
    first, late = await set_aside_at_xray(hospital, "LATE")
    writer = hospital.register("LATE")
    dispatcher = hospital.dispatcher()
    await hospital.interventions(dispatcher).dismiss(first.id, "not needed")
    async with hospital.dispatching():
        await hospital.until(late, DeliveryState.DEAD, within_s=20)

    assert writer.numbers == [0, 2]


async def test_that_one_has_stored_it_does_not_clear_it_for_the_next(hospital: Hospital) -> None:
    healthy = hospital.register("HEALTHY")
    _, _, late = await set_aside_at_xray(hospital, "HEALTHY", "LATE")
    writer = hospital.register("LATE")
    async with hospital.dispatching():
        await hospital.until(late, DeliveryState.DEAD, within_s=20)

    assert healthy.stored == uids(range(3))
    assert writer.numbers == [0, 2]


async def test_what_is_held_back_is_left_out_of_a_transfer_of_the_whole_study(
    hospital: Hospital,
) -> None:
    _, late = await set_aside_at_xray(hospital, "LATE")
    site = Site(hospital)
    hospital.register("LATE", kind="archive")
    async with hospital.dispatching():
        dead = await hospital.until(late, DeliveryState.DEAD, within_s=20)

    assert site.archive.came == [[0, 2]]
    assert dead.reason == HELD_BACK


async def test_an_abort_is_a_refusal_and_accuses_no_instance(hospital: Hospital) -> None:
    hospital.register("XRAY").reacts(uid(1), always=AssociationAborted("the peer aborted"))
    async with hospital.dispatching() as dispatcher:
        first, late = await hospital.route("XRAY", "LATE")
        dispatcher.deliver([first, late])
        dead = await hospital.until(first, DeliveryState.DEAD, within_s=20)
        writer = hospital.register("LATE")
        dispatcher.wake("LATE")
        await hospital.delivered(late, within_s=20)

    assert "dropped 3 times on this instance" in dead.reason
    assert writer.stored == uids(range(3))


async def test_a_candidate_that_breaks_on_everything_accuses_no_instance(
    hospital: Hospital,
) -> None:
    hospital.settings = replace(hospital.settings, drops_allowed=1)
    sick = hospital.register("XRAY")
    for number in range(3):
        sick.reacts(uid(number), always=CRASH)
    async with hospital.dispatching() as dispatcher:
        first, late = await hospital.route("XRAY", "LATE")
        dispatcher.deliver([first, late])
        await hospital.until(first, DeliveryState.DEAD, within_s=20)
        writer = hospital.register("LATE")
        dispatcher.wake("LATE")
        await hospital.delivered(late, within_s=20)

    assert writer.stored == uids(range(3))


async def test_a_candidate_that_refuses_or_is_slow_accuses_no_instance(hospital: Hospital) -> None:
    hospital.register("XRAY").reacts(uid(1), SILENCE, CRASH)
    async with hospital.dispatching() as dispatcher:
        first, late = await hospital.route("XRAY", "LATE")
        dispatcher.deliver([first, late])
        await hospital.delivered(first, within_s=20)
        writer = hospital.register("LATE")
        dispatcher.wake("LATE")
        await hospital.delivered(late, within_s=20)

    assert writer.stored == uids(range(3))
