"""What becomes of deliveries that a person decides about, while their lanes run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.delivery import Delivery, DeliveryState
from router.domain.errors import StateConflict
from tests.delivery.conftest import Hospital
from tests.delivery.writers import CRASH, REFUSED, uid, uids


async def test_a_dead_delivery_is_attempted_again_at_once_with_what_was_refused(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), REFUSED)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.until(delivery, DeliveryState.DEAD)

        await hospital.interventions(dispatcher).retry(delivery.id)
        await hospital.delivered(delivery)

    assert writer.numbers == [0, 1, 2, 1]
    assert len(hospital.settled) == 1


async def test_a_person_need_not_wait_for_a_back_off(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery)
        writer.is_up = True

        await hospital.interventions(dispatcher).retry(delivery.id)
        await hospital.delivered(delivery)


async def test_an_instance_that_was_set_aside_is_judged_anew(hospital: Hospital) -> None:
    hospital.settings = replace(hospital.settings, drops_allowed=2)
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), CRASH, CRASH, CRASH)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.until(delivery, DeliveryState.DEAD, within_s=10)

        await hospital.interventions(dispatcher).retry(delivery.id)
        await hospital.delivered(delivery, within_s=10)


async def test_a_delivery_that_was_given_up_for_its_age_is_tried_as_long_again(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery)
        hospital.clock.advance(3600)
        dead = await hospital.until(delivery, DeliveryState.DEAD)

        await hospital.interventions(dispatcher).retry(delivery.id)
        await hospital.retrying(delivery, attempts=dead.attempts + 1)


async def test_a_redirected_delivery_goes_to_the_other_candidate_and_not_to_the_first(
    hospital: Hospital,
) -> None:
    first, other = hospital.register("XRAY"), hospital.register("ARCHIVE")
    first.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery)

        new, old = await hospital.interventions(dispatcher).redirect(delivery.id, "ARCHIVE")
        await hospital.delivered(new)
        first.is_up = True
        hospital.clock.advance(60)
        await hospital.at_rest()

    assert old.state is DeliveryState.DISMISSED
    assert other.stored == uids(range(3))
    assert first.sent == []
    assert len(hospital.settled) == 1


async def test_a_dismissed_delivery_is_not_sent_and_lets_the_revision_settle(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery)

        await hospital.interventions(dispatcher).dismiss(delivery.id, "not needed")
        writer.is_up = True
        hospital.clock.advance(60)
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()

    assert writer.sent == []
    assert (lane.waiting, lane.active) == (0, 0)
    assert len(hospital.settled) == 1


async def test_what_is_being_sent_is_not_dismissed(hospital: Hospital) -> None:
    async with hospital.dispatching() as dispatcher:
        delivery = await being_sent(hospital)
        with pytest.raises(StateConflict, match="active"):
            await hospital.interventions(dispatcher).dismiss(delivery.id, "not needed")


async def being_sent(hospital: Hospital) -> Delivery:
    """A delivery whose attempt is counted."""
    (delivery,) = await hospital.route("XRAY")
    await hospital.ledger.begin_attempt(delivery.id, hospital.clock.now())
    return delivery


async def test_a_study_is_sent_again_to_a_candidate_that_came_later(hospital: Hospital) -> None:
    hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.delivered(delivery)
        late = hospital.register("LATE")

        sent = await hospital.interventions(dispatcher).resend("1.2.3", ["LATE"])
        await hospital.delivered(*sent)

    assert late.stored == uids(range(3))
