"""A revision that takes too long is delivered, held or discarded, as configured."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from router.domain.completion import OnMaxWait
from router.domain.study import OpenRevision, RevisionKey
from tests.clock import NOON
from tests.completion.desk import POLICY, STUDY, Desk, a_desk

DELIVER = replace(POLICY, max_wait=timedelta(minutes=5))
HOLD = replace(DELIVER, on_max_wait=OnMaxWait.HOLD)
DISCARD = replace(DELIVER, on_max_wait=OnMaxWait.DISCARD)
TOO_LONG = "not complete within 300 s of its first instance"


async def trickle(desk: Desk, minutes: int) -> None:
    """An association that stays open and brings an instance every half minute."""
    desk.service.associated("slow")
    for _ in range(2 * minutes):
        await desk.bring("slow")
        await desk.wait(30)


async def test_a_study_that_trickles_in_is_delivered_after_max_wait() -> None:
    async with a_desk(DELIVER) as desk:
        await trickle(desk, minutes=5)
        assert desk.books.sizes == [10]
        assert desk.books.reasons == [TOO_LONG]


async def test_a_study_that_is_complete_in_time_is_not_touched_by_max_wait() -> None:
    async with a_desk(HOLD) as desk:
        await desk.send("a")
        await desk.wait(400)
        assert desk.books.reasons == ["all associations released, quiet for 5 s"]
        assert desk.books.held == []


async def test_max_wait_counts_from_the_first_instance_of_each_revision() -> None:
    async with a_desk(DELIVER) as desk:
        await trickle(desk, minutes=8)
        assert desk.books.sizes == [10]
        await desk.wait(20)
        await desk.bring("slow")
        await desk.wait(59)
        assert len(desk.books.closed) == 1
        await desk.wait(60)
        assert len(desk.books.closed) == 2


async def test_an_instance_that_never_ends_does_not_outlast_max_wait() -> None:
    async with a_desk(DELIVER) as desk:
        desk.service.associated("a")
        await desk.bring("a")
        desk.begin("a")
        await desk.wait(300)
        assert desk.books.sizes == [1]
        desk.acknowledge("a")
        desk.record()
        desk.service.disassociated("a", released=True)
        await desk.wait(5)
        assert desk.books.sizes == [1, 1]


async def test_a_held_study_waits_until_somebody_says_that_it_is_complete() -> None:
    async with a_desk(HOLD) as desk:
        await trickle(desk, minutes=5)
        desk.service.disassociated("slow", released=True)
        await desk.wait(3600)
        assert desk.books.closed == []
        assert len(desk.books.held) == 1
        assert desk.service.complete_now(STUDY, "a person says so")
        await desk.rest()
        assert desk.books.sizes == [10]
        assert desk.books.reasons == ["a person says so"]
        assert desk.service.open_studies == 0


async def test_a_request_that_holds_all_of_a_held_study_is_no_person() -> None:
    async with a_desk(HOLD) as desk:
        await trickle(desk, minutes=5)
        assert not desk.service.complete_unless_held(STUDY, "a request held all of it")
        await desk.wait(3600)
        assert desk.books.closed == []
        assert len(desk.books.held) == 1


async def test_late_instances_join_the_study_that_is_held() -> None:
    async with a_desk(HOLD) as desk:
        await trickle(desk, minutes=5)
        await desk.send("late", count=3)
        await desk.wait(3600)
        assert desk.books.closed == []
        desk.service.complete_now(STUDY, "a person says so")
        await desk.rest()
        assert desk.books.sizes == [13]


async def test_an_instance_in_flight_when_a_held_study_is_completed_still_belongs_to_it() -> None:
    async with a_desk(HOLD) as desk:
        await trickle(desk, minutes=5)
        desk.begin("slow")
        desk.service.complete_now(STUDY, "a person says so")
        await desk.rest()
        assert desk.books.closed == []
        desk.acknowledge("slow")
        desk.record()
        await desk.rest()
        assert desk.books.sizes == [11]


async def test_a_study_that_is_held_stays_so_over_a_restart() -> None:
    async with a_desk(HOLD) as desk:
        key = RevisionKey(7, STUDY, 1)
        desk.service.restore([OpenRevision(key, NOON, NOON, 3, frozenset({"CT1"}), is_held=True)])
        await desk.wait(3600)
        assert desk.books.closed == []
        desk.service.complete_now(STUDY, "a person says so")
        desk.books.members[key] = 3
        await desk.rest()
        assert desk.books.sizes == [3]


async def test_max_wait_goes_on_over_a_restart() -> None:
    async with a_desk(HOLD) as desk:
        began = NOON - timedelta(seconds=280)
        key = RevisionKey(7, STUDY, 1)
        desk.service.restore([OpenRevision(key, began, began, 3, frozenset({"CT1"}))])
        await desk.wait(19)
        assert desk.books.held == []
        await desk.wait(1)
        assert desk.books.held == [key]


async def test_a_study_that_is_discarded_is_closed_and_what_comes_late_opens_the_next() -> None:
    async with a_desk(DISCARD) as desk:
        await trickle(desk, minutes=5)
        assert [desk.books.members[key] for key in desk.books.discarded] == [10]
        assert desk.books.closed == []
        assert desk.service.open_studies == 0
        await desk.send("late")
        desk.service.disassociated("slow", released=True)
        await desk.wait(5)
        assert [key.number for key, _ in desk.books.closed] == [2]
