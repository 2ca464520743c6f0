"""A candidate that is asked for storage commitment has a study only when it says so."""

from __future__ import annotations

from dataclasses import replace

import anyio

from router.domain.delivery import Delivery, DeliveryState
from tests.delivery.conftest import Hospital
from tests.delivery.writers import REFUSED, SILENCE, uid, uids

NO_SUCH_INSTANCE = 0x0112


async def committing(hospital: Hospital, delivery: Delivery, **more: float) -> Delivery:
    """Wait until a request for this delivery has been in vain."""
    return await hospital.until(
        delivery, DeliveryState.COMMITTING, attempts=2, within_s=more.get("within_s", 0)
    )


async def test_a_delivery_is_delivered_when_everything_is_committed(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.report = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        waiting = await committing(hospital, delivery)
        (lane,) = dispatcher.statistics()
        assert (waiting.delivered, lane.committing, hospital.settled) == (3, 1, [])
        writer.report.set()
        await hospital.delivered(delivery)

    assert writer.asked == [uids(range(3))]
    assert len(hospital.settled) == 1
    attempts = (await hospital.detail(delivery)).attempts
    assert [attempt.outcome for attempt in attempts] == ["committing", "delivered"]


async def test_other_studies_are_sent_while_a_report_is_awaited(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.report = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        first = await hospital.route("XRAY", study="1.2.1")
        second = await hospital.route("XRAY", study="1.2.2")
        dispatcher.deliver([*first, *second])
        await writer.until(lambda: len(writer.asked) == 2)
        writer.report.set()
        await hospital.delivered(*first, *second)

    assert len(writer.stored) == 6


async def test_what_was_lost_is_sent_again_and_everything_is_asked_for_again(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.append({uid(1): NO_SUCH_INSTANCE})
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        failed = await hospital.retrying(delivery)
        assert (failed.delivered, failed.reason) == (
            2,
            "1 of 3 instances still to be sent: not committed: no such object instance (0112) (1)",
        )
        await hospital.delivered(delivery, within_s=3)

    assert writer.numbers == [0, 1, 2, 1]
    assert writer.asked == [uids(range(3)), uids(range(3))]


async def test_a_delivery_is_told_in_the_words_of_who_compares(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.append({uid(1): NO_SUCH_INSTANCE})
    writer.meanings[NO_SUCH_INSTANCE] = "the server does not list it"
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        failed = await hospital.retrying(delivery)

    assert "still to be sent: the server does not list it (1)" in failed.reason


async def test_an_instance_that_is_lost_again_and_again_is_refused(hospital: Hospital) -> None:
    hospital.settings = replace(hospital.settings, drops_allowed=2)
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.extend([{uid(1): NO_SUCH_INSTANCE}] * 3)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        dead = await hospital.until(delivery, DeliveryState.DEAD, within_s=30)

    assert writer.numbers == [0, 1, 2, 1, 1]
    assert (dead.delivered, dead.refused) == (2, 1)
    assert dead.reason == (
        "1 of 3 instances refused for good: not committed: no such object instance (0112) (1)"
    )
    assert hospital.settled == []


async def test_a_candidate_that_does_not_report_is_asked_again_with_pauses(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.extend([SILENCE, SILENCE])
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        silent = await committing(hospital, delivery)
        assert silent.reason == (
            "everything is stored, nothing is committed yet: no answer within 120 s"
        )
        assert len(writer.asked) == 1
        await hospital.delivered(delivery, within_s=10)

    assert len(writer.asked) == 3
    assert writer.numbers == [0, 1, 2]


async def test_a_fault_of_our_own_while_asking_is_no_refusal(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.append(ZeroDivisionError("a bug"))
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        failed = await committing(hospital, delivery)
        assert "ZeroDivisionError: a bug" in failed.reason
        await hospital.delivered(delivery, within_s=3)


async def test_a_candidate_that_never_reports_is_given_up_on_visibly(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.extend([SILENCE] * 2)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await committing(hospital, delivery)
        hospital.clock.advance(3600)
        dead = await hospital.until(delivery, DeliveryState.DEAD)

    assert dead.reason.startswith("given up: everything is stored, nothing is committed yet")


async def test_after_a_restart_the_candidate_is_asked_again_and_nothing_is_sent_again(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.report = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await committing(hospital, delivery)
    writer.report.set()

    async with hospital.dispatching():
        await hospital.delivered(delivery)

    assert len(writer.asked) == 2
    assert writer.numbers == [0, 1, 2]


async def test_a_router_that_stops_does_not_wait_for_reports(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.report = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await committing(hospital, delivery)
        with anyio.fail_after(5):
            await dispatcher.drain(3600)  # on a clock that stands still

    assert (await hospital.detail(delivery)).delivery.state is DeliveryState.COMMITTING


async def test_a_candidate_that_is_gone_is_asked_when_it_is_back(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.append(SILENCE)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await committing(hospital, delivery)
        away = hospital.registered.pop("XRAY")
        hospital.clock.advance(60)
        await hospital.at_rest()
        assert len(writer.asked) == 1
        hospital.registered["XRAY"] = away
        dispatcher.wake("XRAY")
        await hospital.delivered(delivery)


async def test_a_candidate_that_need_not_commit_itself_any_more_has_what_it_stored(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.lost.append(SILENCE)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await committing(hospital, delivery)
        hospital.register("XRAY", commitment=False)
        await hospital.delivered(delivery, within_s=3)

    assert len(writer.asked) == 1


async def test_what_is_refused_for_good_is_not_asked_for(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.reacts(uid(1), REFUSED)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.until(delivery, DeliveryState.DEAD)

    assert writer.asked == []


async def test_a_delivery_whose_report_never_comes_can_be_dismissed(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", commitment=True)
    writer.report = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await committing(hospital, delivery)

        await hospital.interventions(dispatcher).dismiss(delivery.id, "it never reports")
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()

    assert lane.committing == 0
    assert len(hospital.settled) == 1
