"""What one candidate gets, when, and what becomes of what it does not take."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import anyio

from router.delivery.gate import NOT_REGISTERED
from router.domain.delivery import DeliveryState
from router.domain.errors import LedgerFailed, StateConflict
from tests.clock import NOON
from tests.delivery.conftest import CT, SR, Hospital
from tests.delivery.writers import (
    BUSY,
    CORRUPT,
    CRASH,
    REFUSED,
    UNREADABLE,
    Writer,
    ended,
    uid,
    uids,
)
from tests.ledger.builders import choice

# -- what goes well ----------------------------------------------------------------------------


async def test_a_study_goes_whole_over_one_association_in_order_of_arrival(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=5)
        dispatcher.deliver(deliveries)
        await hospital.delivered(*deliveries)

    assert writer.stored == uids(range(5))
    assert writer.opened == 1


async def test_the_next_study_goes_over_the_same_association(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        first = await hospital.route("XRAY")
        dispatcher.deliver(first)
        await writer.until(lambda: writer.in_flight == 1)
        second = await hospital.route("XRAY", study="1.2.4")
        dispatcher.deliver(second)
        writer.hold.set()
        await hospital.delivered(*first, *second)

    assert (len(writer.stored), writer.opened) == (6, 1)


async def test_more_instances_than_a_page_holds_are_loaded_as_they_are_needed(
    hospital: Hospital,
) -> None:
    hospital.settings = replace(hospital.settings, page=2)
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=7)
        dispatcher.deliver(deliveries)
        await hospital.delivered(*deliveries)

    assert writer.stored == uids(range(7))


async def test_the_last_required_delivery_reports_the_revision_as_settled(
    hospital: Hospital,
) -> None:
    hospital.register("XRAY")
    hospital.register("ARCHIVE")
    async with hospital.dispatching() as dispatcher:
        first, last = await hospital.route("XRAY", "ARCHIVE")
        dispatcher.deliver([first])
        await hospital.delivered(first)
        assert hospital.settled == []
        dispatcher.deliver([last])
        await hospital.delivered(last)
        with anyio.fail_after(5):
            while not hospital.settled:
                await anyio.lowlevel.checkpoint()

    assert [key.study_instance_uid for key in hospital.settled] == ["1.2.3"]


async def test_a_candidate_gets_as_many_associations_at_once_as_it_may_have(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", associations=3)
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=9)
        dispatcher.deliver(deliveries)
        await writer.until(lambda: writer.in_flight == 3)
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()
        assert (lane.associations, lane.in_flight, lane.active) == (3, 3, 1)
        writer.hold.set()
        await hospital.delivered(*deliveries)

    assert sorted(writer.stored) == uids(range(9))
    assert writer.opened == 3


async def test_a_candidate_that_accepts_fewer_associations_is_sent_to_over_those(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", associations=3)
    writer.associations_at_most = 1
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=9)
        dispatcher.deliver(deliveries)
        await hospital.delivered(*deliveries)

    assert sorted(writer.stored) == uids(range(9))
    assert writer.opened == 1


async def test_what_an_association_does_not_carry_goes_over_another_one(
    hospital: Hospital,
) -> None:
    hospital.settings = replace(hospital.settings, page=1)  # proposed for one instance only
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=3, sop_class_uids=(CT, SR, SR))
        dispatcher.deliver(deliveries)
        await hospital.delivered(*deliveries)

    assert [sent.association for sent in writer.sent] == [1, 2, 2]


async def test_the_urgent_study_goes_first(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    normal = await hospital.route(choice("XRAY", priority=10), study="1.2.10")
    urgent = await hospital.route(choice("XRAY", priority=0), study="1.2.20", instances=20)
    async with hospital.dispatching():
        await hospital.delivered(*normal, *urgent)

    assert [sent.study for sent in writer.sent] == ["1.2.20"] * 20 + ["1.2.10"] * 3


async def test_what_came_later_of_a_study_never_overtakes_what_came_before(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", associations=2)
    writer.reacts(uid(0), BUSY)
    async with hospital.dispatching() as dispatcher:
        large = await hospital.route("XRAY", instances=5)
        small = await hospital.route(choice("XRAY", priority=0), instances=1, checksum="f")
        dispatcher.deliver([*small, *large])
        await hospital.delivered(*large, *small, within_s=10)

    assert writer.stored[-2:] == uids([0, 0])  # the first revision's at last, then the second's
    assert len(writer.stored) == 6


async def test_what_waits_for_what_came_before_says_so(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(0), BUSY)
    async with hospital.dispatching() as dispatcher:
        (first,) = await hospital.route("XRAY")
        dispatcher.deliver([first])
        await hospital.retrying(first)
        (second,) = await hospital.route("XRAY", instances=1, checksum="f")
        dispatcher.deliver([second])
        waiting = await hospital.retrying(second, attempts=0)
        await hospital.delivered(first, second, within_s=3)

    assert (waiting.attempts, waiting.reason) == (0, "waits for revision 1 of its study")


async def test_what_came_later_of_a_study_is_sent_when_what_came_before_is_dead(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), REFUSED)
    async with hospital.dispatching() as dispatcher:
        (first,) = await hospital.route("XRAY", instances=2)
        (second,) = await hospital.route("XRAY", instances=1, checksum="f")
        dispatcher.deliver([first, second])
        await hospital.delivered(second)
        await hospital.until(first, DeliveryState.DEAD)

    assert writer.numbers == [0, 1, 0]


async def test_an_urgent_study_overtakes_one_that_is_being_sent(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        large = await hospital.route(choice("XRAY", priority=10), study="1.2.10", instances=5)
        dispatcher.deliver(large)
        await writer.until(lambda: writer.in_flight == 1)
        urgent = await hospital.route(choice("XRAY", priority=0), study="1.2.20", instances=2)
        dispatcher.deliver(urgent)
        await anyio.wait_all_tasks_blocked()
        writer.hold.set()
        await hospital.delivered(*large, *urgent)

    assert [sent.study[-2:] for sent in writer.sent] == ["10", "20", "20", *["10"] * 4]
    assert sorted(writer.stored) == sorted([*uids(range(5), "1.2.10"), *uids(range(2), "1.2.20")])


# -- what is tried again -----------------------------------------------------------------------


async def test_only_what_was_not_accepted_is_sent_again(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), BUSY)
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=4)
        dispatcher.deliver(deliveries)
        failed = await hospital.retrying(*deliveries)
        assert failed.reason == "1 of 4 instances still to be sent: out of resources (1)"
        await hospital.delivered(*deliveries, within_s=3)

    assert writer.numbers == [0, 1, 2, 3, 1]


async def test_a_retry_waits_for_its_time(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), BUSY)
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=2)
        dispatcher.deliver(deliveries)
        failed = await hospital.retrying(*deliveries)
        assert failed.next_attempt_at is not None
        assert (failed.next_attempt_at - NOON).total_seconds() == 2.0
        hospital.clock.advance(1.9)
        await anyio.wait_all_tasks_blocked()
        assert writer.numbers == [0, 1]
        hospital.clock.advance(0.1)
        await hospital.delivered(*deliveries)


async def test_after_a_lost_association_the_rest_goes_over_another_one(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), CRASH)
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=4)
        dispatcher.deliver(deliveries)
        await hospital.delivered(*deliveries, within_s=3)

    assert [(sent.number, sent.association) for sent in writer.sent] == [
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 2),
        (1, 3),
    ]


async def test_a_candidate_that_fails_again_and_again_is_left_alone(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    for name in uids(range(10)):
        writer.reacts(name, BUSY)
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY", instances=10)
        dispatcher.deliver(deliveries)
        failed = await hospital.retrying(*deliveries)
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()

    assert writer.numbers == [0, 1, 2, 3]
    assert (lane.left_alone_s, lane.last_error) == (2.0, "out of resources")
    assert failed.reason == (
        "10 of 10 instances still to be sent; out of resources: out of resources (4)"
    )


def has_tried(writer: Writer, times: int) -> bool:
    return writer.tried + writer.probed == times


async def test_all_deliveries_of_a_dead_candidate_share_one_back_off_that_grows(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", associations=2)
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        for number in range(3):
            dispatcher.deliver(await hospital.route("XRAY", study=f"1.2.{number}"))
        for tries, back_off_s in ((1, 2.0), (2, 4.0), (3, 8.0)):
            await writer.until(partial(has_tried, writer, tries))
            await hospital.at_rest()
            (lane,) = dispatcher.statistics()
            assert (lane.waiting + lane.active, lane.left_alone_s) == (3, back_off_s)
            hospital.clock.advance(back_off_s)


async def test_what_comes_for_a_dead_candidate_says_why_it_waits(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        first = await hospital.route("XRAY")
        dispatcher.deliver(first)
        await hospital.retrying(*first)
        (second,) = await hospital.route("XRAY", study="1.2.4")
        dispatcher.deliver([second])
        waiting = await hospital.retrying(second, attempts=0)
        writer.is_up = True
        await hospital.delivered(*first, second, within_s=3)

    assert (waiting.attempts, waiting.reason) == (0, "XRAY: connection refused")
    assert waiting.next_attempt_at == NOON + timedelta(seconds=2)


async def test_a_dead_candidate_gets_everything_when_it_is_back(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY")
        dispatcher.deliver(deliveries)
        failed = await hospital.retrying(*deliveries)
        assert failed.reason == "3 of 3 instances still to be sent; XRAY: connection refused"
        writer.is_up = True
        await hospital.delivered(*deliveries, within_s=3)

    assert writer.stored == uids(range(3))


async def test_a_candidate_that_says_that_it_is_there_is_not_waited_for(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY")
        dispatcher.deliver(deliveries)
        await hospital.retrying(*deliveries)
        writer.is_up = True
        dispatcher.wake("XRAY")
        await hospital.delivered(*deliveries)

    assert hospital.clock.monotonic() == 0


async def test_who_wakes_while_an_attempt_is_being_ended_is_not_waited_for_either(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(2), BUSY)
    async with hospital.dispatching() as dispatcher:
        deliveries = await hospital.route("XRAY")
        dispatcher.deliver(deliveries)
        await writer.until(lambda: writer.numbers == [0, 1, 2] and not writer.in_flight)
        dispatcher.wake("XRAY")
        await hospital.delivered(*deliveries)

    assert hospital.clock.monotonic() == 0


async def test_a_delivery_that_fails_for_too_long_is_given_up_and_stays_visible(
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
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()

    assert dead.reason == ("given up: 3 of 3 instances still to be sent; XRAY: connection refused")
    assert (dead.attempts, dead.remaining_bytes) == (2, dead.total_bytes)
    assert (lane.waiting, lane.active) == (0, 0)
    assert hospital.settled == []


# -- what is refused for good ------------------------------------------------------------------


async def test_what_is_refused_for_good_is_not_sent_again_and_the_rest_goes_on(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(0), always=REFUSED)
    writer.reacts(uid(1), BUSY)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY", instances=4)
        dispatcher.deliver([delivery])
        dead = await hospital.until(delivery, DeliveryState.DEAD, within_s=3)

    assert writer.numbers == [0, 1, 2, 3, 1]
    assert (dead.delivered, dead.refused) == (3, 1)
    assert dead.reason == "1 of 4 instances refused for good: cannot understand (1)"
    assert hospital.settled == []


async def test_an_instance_that_associations_drop_on_is_sent_alone_and_last_then_set_aside(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", associations=2)
    writer.reacts(uid(1), always=CRASH)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY", instances=4)
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery, attempts=2, within_s=10)
        writer.hold = anyio.Event()
        others = await hospital.route("XRAY", study="1.2.4", instances=4)
        dispatcher.deliver(others)
        await writer.until(lambda: writer.in_flight == 2)
        hospital.clock.advance(60)  # the third attempt is due while others are being sent
        await anyio.wait_all_tasks_blocked()
        writer.hold.set()
        dead = await hospital.until(delivery, DeliveryState.DEAD)
        await hospital.delivered(*others)

    last = writer.sent[-1]
    assert (last.study, last.number, last.beside) == ("1.2.3", 1, 0)
    assert [sent.association for sent in writer.sent].count(last.association) == 1
    assert [sent.number for sent in writer.sent if sent.study == "1.2.3"].count(1) == 3
    assert sorted(writer.stored) == sorted([*uids([0, 2, 3]), *uids(range(4), "1.2.4")])
    assert dead.reason == (
        "1 of 4 instances refused for good: "
        "the association dropped 3 times on this instance: the peer aborted (1)"
    )


async def test_an_innocent_neighbour_of_such_an_instance_is_delivered(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(0), always=CRASH)
    writer.reacts(uid(1), CRASH, CRASH)  # was only beside it
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY", instances=2)
        dispatcher.deliver([delivery])
        dead = await hospital.until(delivery, DeliveryState.DEAD, within_s=60)

    assert writer.stored == uids([1])
    assert (dead.delivered, dead.refused) == (1, 1)


async def test_a_fault_of_our_own_with_an_instance_leaves_the_candidate_alone_for_a_while(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(0), ZeroDivisionError("a bug"))
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY", instances=3)
        dispatcher.deliver([delivery])
        failed = await hospital.retrying(delivery)
        (lane,) = dispatcher.statistics()
        assert lane.left_alone_s == 2.0
        assert "ZeroDivisionError: a bug" in failed.reason
        assert writer.numbers == [0]
        await hospital.delivered(delivery, within_s=3)

    assert writer.numbers == [0, 1, 2, 0]  # the one that it came up on goes last


async def test_a_fault_of_our_own_never_refuses_an_instance_nor_keeps_the_rest_from_being_sent(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.reacts(uid(1), always=ZeroDivisionError("a bug"))
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY", instances=3)
        dispatcher.deliver([delivery])
        failed = await hospital.retrying(delivery, attempts=4, within_s=60)
        (other,) = await hospital.route("XRAY", study="1.2.4")
        dispatcher.deliver([other])
        await hospital.delivered(other)

    assert (failed.delivered, failed.refused) == (2, 0)
    assert failed.reason == "1 of 3 instances still to be sent: ZeroDivisionError: a bug (1)"


async def test_what_the_spool_could_not_give_back_costs_its_association_but_not_the_next_instance(
    hospital: Hospital,
) -> None:
    hospital.settings = replace(hospital.settings, drops_allowed=1)
    writer = hospital.register("XRAY")
    writer.reacts(uid(0), ended(UNREADABLE))
    writer.reacts(uid(2), ended(CORRUPT))
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY", instances=4)
        dispatcher.deliver([delivery])
        dead = await hospital.until(delivery, DeliveryState.DEAD, within_s=3)

    assert writer.stored == uids([1, 3, 0])
    assert [sent.association for sent in writer.sent] == [1, 2, 2, 3, 4]
    assert (dead.delivered, dead.refused) == (3, 1)
    assert dead.reason == "1 of 4 instances refused for good: checksum (1)"


async def test_a_fault_of_our_own_with_an_association_leaves_the_candidate_alone(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.open_error = ZeroDivisionError("a bug")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        failed = await hospital.retrying(delivery)
        assert "ZeroDivisionError: a bug" in failed.reason
        writer.open_error = None
        await hospital.delivered(delivery, within_s=3)


# -- who is registered -------------------------------------------------------------------------


async def test_deliveries_wait_for_a_candidate_that_is_not_registered(
    hospital: Hospital,
) -> None:
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        waiting = await hospital.retrying(delivery, attempts=0)
        assert (waiting.reason, waiting.next_attempt_at) == (NOT_REGISTERED, None)
        hospital.clock.advance(2 * hospital.settings.retry.give_up_after_s)
        await anyio.wait_all_tasks_blocked()
        writer = hospital.register("XRAY")
        dispatcher.wake("XRAY")
        await hospital.delivered(delivery)

    assert writer.stored == uids(range(3))
    assert (await hospital.detail(delivery)).delivery.attempts == 1


async def test_a_candidate_that_is_removed_gets_nothing_more_until_it_is_back(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await writer.until(lambda: writer.in_flight == 1)
        candidate = hospital.registered.pop("XRAY")
        hospital.clock.advance(30)
        await anyio.wait_all_tasks_blocked()
        other = await hospital.route("XRAY", study="1.2.4")
        dispatcher.deliver(other)
        await hospital.retrying(*other, attempts=0)
        writer.hold.set()
        await writer.until(lambda: writer.open_now == 0)
        hospital.registered["XRAY"] = candidate
        dispatcher.wake("XRAY")
        await hospital.delivered(delivery, *other)

    assert sorted(writer.stored) == sorted([*uids(range(3)), *uids(range(3), "1.2.4")])
    assert len(writer.sent) == 6


async def test_a_candidate_of_a_kind_that_the_router_does_not_have_says_so(
    hospital: Hospital,
) -> None:
    hospital.register("XRAY", kind="carrier-pigeon")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        failed = await hospital.retrying(delivery)

    assert "of kind 'carrier-pigeon', which this router does not have; it has test" in failed.reason


# -- the ledger --------------------------------------------------------------------------------


async def test_while_the_ledger_is_away_nothing_is_sent_uncounted_or_forgotten(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        hospital.ledger.trouble(delivery, *[LedgerFailed("database is locked")] * 2)
        dispatcher.deliver([delivery])
        await hospital.clock.asleep_until(1.0)
        assert writer.sent == []
        hospital.clock.advance(1)
        await hospital.clock.asleep_until(2.0)
        hospital.clock.advance(1)
        await hospital.delivered(delivery)

    assert writer.numbers == [0, 1, 2]


async def test_results_are_kept_until_the_ledger_takes_them(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await writer.until(lambda: writer.in_flight == 1)
        hospital.ledger.trouble(delivery, *[LedgerFailed("disk I/O error")] * 3)
        writer.hold.set()
        await hospital.delivered(delivery, within_s=5)

    assert writer.numbers == [0, 1, 2]


async def test_a_delivery_that_somebody_else_has_ended_leaves_the_queue(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    async with hospital.dispatching() as dispatcher:
        (ended,) = await hospital.route("XRAY", study="1.2.4")
        await hospital.ledger.end_attempt(ended.id, DeliveryState.DEAD, NOON, None, "by a person")
        other = await hospital.route("XRAY")
        dispatcher.deliver([ended, *other])
        await hospital.delivered(*other)
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()

    assert writer.stored == uids(range(3))
    assert (lane.waiting, lane.active) == (0, 0)


async def test_a_delivery_that_is_ended_while_it_is_sent_leaves_the_queue_too(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (ended,) = await hospital.route("XRAY", study="1.2.4")
        dispatcher.deliver([ended])
        await writer.until(lambda: writer.in_flight == 1)
        hospital.ledger.trouble(ended, StateConflict("it is over"))
        writer.hold.set()
        other = await hospital.route("XRAY")
        dispatcher.deliver(other)
        await hospital.delivered(*other)
        await hospital.at_rest()
        (lane,) = dispatcher.statistics()

    assert (lane.waiting, lane.active, lane.in_flight) == (0, 0, 0)
