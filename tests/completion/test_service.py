"""The completion service closes each revision once, whole, and none too early."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import LedgerFailed, StateConflict
from router.domain.study import OpenRevision, RevisionKey
from tests.completion.desk import STUDY, Desk, a_desk, instance

OTHER = "9.9.9"


async def test_a_study_is_complete_when_its_association_was_released_and_it_was_quiet() -> None:
    async with a_desk() as desk:
        await desk.send("a", count=3)
        await desk.wait(4.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert desk.books.sizes == [3]
        assert desk.books.reasons == ["all associations released, quiet for 5 s"]
        assert desk.service.open_studies == 0


async def test_an_association_that_stays_open_is_not_waited_for_longer_than_stable_after() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a")
        await desk.wait(59.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert desk.books.reasons == ["no instance for 60 s"]


async def test_each_instance_begins_the_wait_anew() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        for _ in range(5):
            await desk.bring("a")
            await desk.wait(50)
        assert desk.books.closed == []
        await desk.wait(10)
        assert desk.books.sizes == [5]


async def test_a_study_over_several_associations_waits_for_the_last_release() -> None:
    async with a_desk() as desk:
        desk.service.associated("slow")
        await desk.bring("slow")
        await desk.send("quick", count=2)
        await desk.wait(30)
        assert desk.books.closed == []
        desk.service.disassociated("slow", released=True)
        await desk.wait(5)
        assert desk.books.sizes == [3]


async def test_one_association_may_bring_several_studies() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a", STUDY)
        await desk.wait(30)
        await desk.bring("a", OTHER)
        await desk.wait(30)
        assert [key.study_instance_uid for key, _ in desk.books.closed] == [STUDY]
        desk.service.disassociated("a", released=True)
        await desk.wait(5)
        assert [key.study_instance_uid for key, _ in desk.books.closed] == [STUDY, OTHER]


async def test_a_late_instance_opens_the_next_revision() -> None:
    async with a_desk() as desk:
        await desk.send("a", count=2)
        await desk.wait(5)
        await desk.send("b")
        await desk.wait(5)
        assert [key.number for key, _ in desk.books.closed] == [1, 2]
        assert desk.books.sizes == [2, 1]


# -- instances in flight ---------------------------------------------------------------------------


async def test_a_long_instance_of_the_study_is_waited_for_until_it_is_recorded() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a")
        desk.begin("a")
        await desk.wait(300)
        desk.acknowledge("a")
        await desk.wait(100)
        assert desk.books.closed == []
        desk.record()
        await desk.wait(60)
        assert desk.books.sizes == [2]


async def test_nothing_is_closed_between_the_last_byte_of_an_instance_and_its_flush() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a")
        desk.begin("a", None)
        await desk.wait(90)
        desk.service.recognised(STUDY, "a")
        await desk.rest()
        assert desk.books.closed == []
        desk.acknowledge("a")
        desk.record()
        await desk.rest()
        assert desk.books.closed == []
        await desk.wait(60)
        assert desk.books.sizes == [2]


async def test_the_first_instance_of_a_second_association_is_waited_for_too() -> None:
    async with a_desk() as desk:
        desk.service.associated("slow")
        desk.begin("slow")
        await desk.send("quick")
        await desk.wait(200)
        assert desk.books.closed == []
        desk.acknowledge("slow")
        desk.record()
        desk.service.disassociated("slow", released=True)
        await desk.wait(5)
        assert desk.books.sizes == [2]


async def test_an_instance_that_is_refused_holds_nothing_up_any_more() -> None:
    async with a_desk() as desk:
        desk.service.associated("slow")
        desk.begin("slow")
        await desk.send("quick")
        await desk.wait(200)
        desk.service.answered("slow")
        await desk.rest()
        assert desk.books.sizes == [1]


async def test_an_instance_of_another_study_holds_nothing_up() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a", STUDY)
        desk.begin("a", OTHER)
        await desk.wait(60)
        assert [key.study_instance_uid for key, _ in desk.books.closed] == [STUDY]


async def test_a_sender_without_end_holds_no_study_up_for_ever() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a", STUDY)
        for _ in range(10):  # one after the other, and each says only at its end whose it is
            desk.begin("a", None)
            await desk.wait(7)
            desk.service.recognised(OTHER, "a")
            desk.acknowledge("a", OTHER)
            desk.begin("a", None)
            desk.service.answered("a")
            desk.record()
        assert [key.study_instance_uid for key, _ in desk.books.closed] == [STUDY]


async def test_an_association_that_broke_off_says_nothing_of_completeness() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a")
        desk.service.disassociated("a", released=False)
        await desk.wait(59.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert desk.books.reasons == ["no instance for 60 s"]


async def test_a_sender_that_comes_back_after_it_broke_off_completes_the_study() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a")
        desk.service.disassociated("a", released=False)
        await desk.wait(20)
        await desk.send("b", count=2)
        await desk.wait(5)
        assert desk.books.sizes == [3]
        assert desk.books.reasons == ["all associations released, quiet for 5 s"]


async def test_a_sender_that_breaks_off_after_another_was_released_is_waited_for() -> None:
    async with a_desk() as desk:
        desk.service.associated("b")
        await desk.bring("b")
        await desk.send("a")
        desk.service.disassociated("b", released=False)
        await desk.wait(59)
        assert desk.books.closed == []


async def test_an_instance_that_outlives_its_association_joins_its_study() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a")
        desk.begin("a")
        desk.service.disassociated("a", released=False)
        await desk.wait(100)
        assert desk.books.closed == []
        desk.acknowledge("a")
        desk.record()
        await desk.wait(60)
        assert desk.books.sizes == [2]


async def test_an_instance_that_outlives_its_association_may_be_the_only_one_of_its_study() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        desk.begin("a", None)
        desk.service.disassociated("a", released=False)
        await desk.wait(10)
        desk.service.recognised(STUDY, "a")
        desk.acknowledge("a")
        desk.record()
        await desk.wait(60)
        assert desk.books.sizes == [1]


# -- the recorder lags, the ledger fails -----------------------------------------------------------


async def test_a_study_is_not_closed_before_the_ledger_has_all_of_it() -> None:
    async with a_desk() as desk:
        desk.service.associated("a")
        await desk.bring("a")
        desk.begin("a")
        desk.acknowledge("a")
        desk.service.disassociated("a", released=True)
        await desk.wait(600)
        assert desk.books.closed == []
        desk.record()
        await desk.rest()
        assert desk.books.sizes == [2]


async def test_an_instance_that_is_recorded_while_its_revision_is_closed_opens_the_next() -> None:
    async with a_desk() as desk:
        desk.books.gate = anyio.Event()
        await desk.send("a")
        await desk.wait(5)
        await desk.send("b")
        desk.books.gate.set()
        await desk.wait(5)
        assert [key.number for key, _ in desk.books.closed] == [1, 2]
        assert desk.service.open_studies == 0


async def test_an_instance_that_is_acknowledged_while_its_revision_is_closed_opens_the_next() -> (
    None
):
    async with a_desk() as desk:
        desk.books.gate = anyio.Event()
        await desk.send("a")
        await desk.wait(5)
        desk.service.associated("b")
        desk.begin("b")
        desk.acknowledge("b")
        desk.books.gate.set()
        await desk.rest()
        assert desk.service.open_studies == 1
        desk.record()
        desk.service.disassociated("b", released=True)
        await desk.wait(5)
        assert [key.number for key, _ in desk.books.closed] == [1, 2]


async def test_an_instance_that_slipped_in_before_the_revision_closed_closes_nothing_twice() -> (
    None
):
    async with a_desk() as desk:
        desk.books.gate = anyio.Event()
        await desk.send("a")
        await desk.wait(5)
        [(key, _)] = desk.books.closed
        desk.service.associated("b")
        desk.begin("b")
        desk.service.acknowledged(STUDY, "b")
        desk.service.answered("b")
        desk.books.gate.set()
        await desk.rest()
        desk.service.recorded([(instance(STUDY), key)])  # the recorder hears of it late
        await desk.wait(600)
        assert desk.books.closed == [(key, "all associations released, quiet for 5 s")]
        assert desk.service.open_studies == 0


async def test_a_ledger_that_cannot_close_a_revision_is_asked_again() -> None:
    async with a_desk() as desk:
        desk.books.failures = [LedgerFailed("the disk is full")] * 3
        await desk.send("a")
        await desk.send("b", OTHER)
        await desk.wait(5 + 5 + 5 + 5)
        assert [key.study_instance_uid for key, _ in desk.books.closed] == [OTHER, STUDY]
        assert desk.service.open_studies == 0


async def test_an_instance_that_comes_while_the_ledger_fails_joins_the_revision() -> None:
    async with a_desk() as desk:
        desk.books.failures = [LedgerFailed("the disk is full")]
        await desk.send("a")
        await desk.wait(6)
        await desk.send("b")
        await desk.wait(4.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert desk.books.sizes == [2]


async def test_a_revision_that_somebody_else_closed_is_let_go() -> None:
    async with a_desk() as desk:
        desk.books.failures = [StateConflict("revision 1 is routed")]
        await desk.send("a")
        await desk.wait(60)
        assert desk.books.failures == []
        assert desk.books.closed == []
        assert desk.service.open_studies == 0


# -- restart ---------------------------------------------------------------------------------------


def left_open(study_uid: str, number: int = 1) -> OpenRevision:
    at = datetime(2026, 2, 1, tzinfo=UTC)
    return OpenRevision(RevisionKey(7, study_uid, number), at, at, 3, frozenset({"CT1"}))


async def test_revisions_of_a_former_run_are_closed_once_nothing_more_came() -> None:
    async with a_desk() as desk:
        desk.service.restore([left_open(STUDY), left_open(OTHER)])
        await desk.wait(59.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert {key.study_instance_uid for key, _ in desk.books.closed} == {STUDY, OTHER}


async def test_a_sender_that_comes_back_after_a_restart_completes_its_study() -> None:
    async with a_desk() as desk:
        desk.service.restore([left_open(STUDY)])
        await desk.wait(50)
        await desk.send("a")
        await desk.wait(5)
        assert desk.books.reasons == ["all associations released, quiet for 5 s"]


async def test_an_instance_that_nobody_announced_is_not_forgotten() -> None:
    async with a_desk() as desk:
        desk.service.recorded([(instance(STUDY), desk.books.record(STUDY))])
        await desk.wait(60)
        assert desk.books.sizes == [1]


async def test_a_quarantined_instance_opens_nothing() -> None:
    async with a_desk() as desk:
        desk.service.recorded([(instance(STUDY), None)])
        assert desk.service.open_studies == 0


async def test_a_duplicate_of_a_study_that_is_over_opens_nothing() -> None:
    async with a_desk() as desk:
        desk.service.associated("A")
        desk.begin("A")
        desk.acknowledge("A")
        desk.service.recorded([(instance(STUDY), None)])
        assert desk.service.open_studies == 0
        desk.service.disassociated("A", released=True)


async def test_a_duplicate_does_not_keep_its_open_study_waiting_for_the_recorder() -> None:
    async with a_desk() as desk:
        desk.service.associated("A")
        await desk.bring("A")
        desk.begin("A")
        desk.service.acknowledged(STUDY, "A")
        desk.service.answered("A")
        desk.service.recorded([(instance(STUDY), None)])
        desk.service.disassociated("A", released=True)
        await desk.wait(60)
        assert desk.books.sizes == [1]


async def test_associations_that_nobody_announced_are_put_up_with() -> None:
    async with a_desk() as desk:
        desk.begin("?")
        desk.acknowledge("?")
        desk.record()
        desk.service.disassociated("?", released=True)
        await desk.wait(60)
        assert desk.books.sizes == [1]


async def test_nothing_is_kept_of_what_is_over() -> None:
    async with a_desk() as desk:
        for number in range(20):
            await desk.send(f"a{number}", f"1.2.{number}", count=2)
        desk.service.associated("broken")
        desk.begin("broken", None)
        desk.service.disassociated("broken", released=False)
        desk.service.answered("broken")
        await desk.wait(60)
        assert len(desk.books.closed) == 20
        assert desk.service._open == {}
        assert desk.service._associations == {}
        assert not desk.service._arriving
        assert len(desk.service._agenda) == 0


# -- any order of events ---------------------------------------------------------------------------

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("associate"), st.integers(0, 2)),
        st.tuples(st.just("release"), st.integers(0, 2)),
        st.tuples(st.just("break off"), st.integers(0, 2)),
        st.tuples(st.just("begin"), st.integers(0, 2), st.sampled_from(["", STUDY, OTHER])),
        st.tuples(st.just("acknowledge"), st.integers(0, 2), st.sampled_from([STUDY, OTHER])),
        st.tuples(st.just("refuse"), st.integers(0, 2)),
        st.tuples(st.just("record")),
        st.tuples(st.just("fail")),
        st.tuples(st.just("wait"), st.integers(1, 70)),
    ),
    max_size=40,
)


class _Play:
    """Takes those steps that can happen, as a connection would, and watches the promises."""

    def __init__(self, desk: Desk):
        self.desk = desk
        self.open: set[str] = set()
        self.arriving: dict[str, str] = {}
        self.acknowledged = 0

    async def step(self, what: str, *details: object) -> None:
        association = f"a{details[0]}" if details else ""
        service = self.desk.service
        match what:
            case "associate" if association not in self.open | self.arriving.keys():
                self.open.add(association)
                service.associated(association)
            case "release" if association in self.open and association not in self.arriving:
                self.open.discard(association)
                service.disassociated(association, released=True)
            case "break off" if association in self.open:
                self.open.discard(association)
                service.disassociated(association, released=False)
            case "begin" if association in self.open and association not in self.arriving:
                self.arriving[association] = str(details[1])
                self.desk.begin(association, str(details[1]) or None)
            case "acknowledge" if association in self.arriving:
                study_uid = self.arriving.pop(association) or str(details[1])
                service.recognised(study_uid, association)
                self.desk.acknowledge(association, study_uid)
                self.acknowledged += 1
            case "refuse" if association in self.arriving:
                del self.arriving[association]
                service.answered(association)
            case "record":
                self.desk.record()
            case "fail":
                self.desk.books.failures.append(LedgerFailed("busy"))
            case "wait":
                await self.desk.wait(float(str(details[0])))
        await self.desk.rest()

    async def end(self) -> None:
        """Everything that was begun comes to its end."""
        for association in sorted(self.arriving):
            await self.step("refuse", association.removeprefix("a"))
        for association in sorted(self.open):
            await self.step("release", association.removeprefix("a"))
        self.desk.record()
        await self.desk.wait(60 + 5 * len(self.desk.books.failures) + 60)


async def _play(steps: list[tuple[object, ...]]) -> None:
    async with a_desk() as desk:
        play = _Play(desk)
        for what, *details in steps:
            waiting = set(play.arriving.values()) - {""}
            unrecorded = set(desk._unrecorded)
            before = len(desk.books.closed)
            await play.step(str(what), *details)
            closed = {key.study_instance_uid for key, _ in desk.books.closed[before:]}
            if what == "wait":
                assert not closed & (waiting | unrecorded)
        await play.end()
        assert sum(desk.books.members.values()) == play.acknowledged
        assert sorted(desk.books.sizes) == sorted(desk.books.members.values())
        assert len({key for key, _ in desk.books.closed}) == len(desk.books.closed)
        assert desk.service._open == {}
        assert desk.service._associations == {}


@given(_STEPS)
def test_every_acknowledged_instance_is_closed_in_one_revision_whatever_happens(
    steps: list[tuple[object, ...]],
) -> None:
    anyio.run(_play, steps)
