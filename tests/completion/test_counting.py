"""The source's own count completes a study at once, or keeps it from being complete too early."""

from __future__ import annotations

from dataclasses import replace

import anyio
from structlog.testing import capture_logs

from router.completion.counting import LEAVE_ALONE_S, CountSource, SourceCounts
from router.domain.errors import AssociationLost, LedgerFailed, RouterError
from tests.clock import ManualClock
from tests.completion.desk import POLICY, STUDY, Desk, a_desk
from tests.completion.test_rules import AXIAL, NAMED

REACHED = "the source counts as many instances as have arrived"


def counted(desk: Desk, *missing: int | None) -> None:
    """CT1 is a PACS that answers so."""
    desk.source.calling_ae_title = "CT1"
    desk.source.missing_there = list(missing)


async def test_a_count_that_is_reached_completes_the_study_without_the_quiet_time() -> None:
    async with a_desk() as desk:
        counted(desk, 0)
        await desk.send("a", count=3)
        await desk.wait(1)
        assert desk.books.sizes == [3]
        assert desk.books.reasons == [REACHED]


async def test_while_the_source_has_more_quiet_does_not_complete_the_study() -> None:
    async with a_desk() as desk:
        counted(desk, 5)
        await desk.send("a")
        await desk.wait(59)
        assert desk.books.closed == []
        await desk.wait(1)
        assert desk.books.reasons == ["no instance for 60 s"]
        assert len(desk.source.asked_at) <= 7


async def test_the_rest_that_comes_is_asked_about_again_and_completes_it() -> None:
    async with a_desk() as desk:
        counted(desk, 2)
        await desk.send("a")
        await desk.wait(20)
        asked = len(desk.source.asked_at)
        counted(desk, 0)
        await desk.send("b", count=2)
        await desk.wait(1)
        assert desk.books.sizes == [3]
        assert asked <= 5


async def test_it_is_asked_once_for_many_short_associations() -> None:
    async with a_desk() as desk:
        counted(desk, 0)
        for number in range(30):
            await desk.send(f"a{number}")
            await desk.wait(0.5)
        assert desk.source.asked_at == []
        await desk.wait(0.5)
        assert len(desk.source.asked_at) == 1
        assert desk.books.sizes == [30]


async def test_a_source_that_does_not_answer_leaves_it_to_the_timers() -> None:
    async with a_desk() as desk:
        counted(desk, None)
        await desk.send("a")
        await desk.wait(4.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert desk.books.reasons == ["all associations released, quiet for 5 s"]


async def test_an_answer_that_takes_its_time_is_waited_for_beyond_the_quiet_time() -> None:
    async with a_desk() as desk:
        counted(desk, None)
        desk.source.gate = anyio.Event()
        await desk.send("a")
        await desk.send("b", "9.9", calling="OTHER")
        await desk.wait(15)
        assert [key.study_instance_uid for key, _ in desk.books.closed] == ["9.9"]
        desk.source.gate.set()
        await desk.rest()
        assert len(desk.books.closed) == 2


async def test_an_instance_that_comes_while_the_source_is_asked_makes_its_answer_stale() -> None:
    async with a_desk() as desk:
        counted(desk, 0, 4)
        desk.source.gate = anyio.Event()
        await desk.send("a")
        await desk.wait(2)
        desk.service.associated("b")
        await desk.bring("b")
        desk.source.gate.set()
        await desk.wait(30)
        assert desk.books.closed == []


async def test_an_association_that_stays_open_does_not_hide_a_count_that_is_reached() -> None:
    async with a_desk() as desk:
        counted(desk, 0)
        desk.service.associated("a")
        await desk.bring("a")
        await desk.wait(5)
        assert desk.books.reasons == [REACHED]


async def test_a_source_that_cannot_be_asked_is_not() -> None:
    async with a_desk() as desk:
        counted(desk, 0)
        await desk.send("a", calling="MR1")
        await desk.wait(5)
        assert desk.source.asked_at == []
        assert desk.books.reasons == ["all associations released, quiet for 5 s"]


async def test_an_explicit_policy_asks_nobody() -> None:
    async with a_desk(replace(POLICY, quiet_after=None)) as desk:
        counted(desk, 0)
        await desk.send("a")
        await desk.wait(30)
        assert desk.source.asked_at == []
        assert desk.books.closed == []


async def test_named_series_are_waited_for_though_the_source_has_no_more_yet() -> None:
    async with a_desk(NAMED) as desk:
        counted(desk, 0)
        await desk.send("a", facts=AXIAL)
        await desk.wait(59)
        assert desk.books.closed == []


# -- asking several sources, once ------------------------------------------------------------------


class Peers:
    """PACS by AE title: the counts that they answer, or what goes wrong."""

    def __init__(self, **answers: int | RouterError):
        self.answers = answers
        self.asked: list[str] = []
        self.clock = ManualClock()
        self.arrived = 3
        self.failure: RouterError | None = None
        sources = {name: CountSource("host", 104, f"{name}_SCP") for name in answers}
        self.counts = SourceCounts(sources, self._query, self._count, self.clock)

    async def _query(self, source: CountSource, study_uid: str) -> int:
        name = source.ae_title.removesuffix("_SCP")
        self.asked.append(name)
        answer = self.answers[name]
        if isinstance(answer, RouterError):
            raise answer
        return answer

    async def _count(self, study_uid: str) -> int:
        if self.failure is not None:
            raise self.failure
        return self.arrived

    async def missing(self, *calling: str) -> int | None:
        return await self.counts.missing(STUDY, calling)


async def test_what_is_missing_is_what_the_source_has_and_has_not_arrived() -> None:
    assert await Peers(A=10).missing("A") == 7


async def test_of_several_sources_the_one_that_has_most_counts() -> None:
    assert await Peers(A=3, B=5, C=9).missing("A", "B", "OTHER") == 2


async def test_one_source_that_is_silent_leaves_it_to_the_others() -> None:
    assert await Peers(A=AssociationLost("gone"), B=5).missing("A", "B") == 2


async def test_a_source_that_fails_is_reported_once_and_left_alone_for_a_while() -> None:
    peers = Peers(A=AssociationLost("connection refused"))
    with capture_logs() as logs:
        for _ in range(5):
            assert await peers.missing("A") is None
        assert peers.asked == ["A"]
        peers.clock.advance(LEAVE_ALONE_S + 1)
        assert await peers.missing("A") is None
        assert peers.asked == ["A", "A"]
    [entry] = logs
    assert "completion.sources" in entry["event"]
    assert (entry["source"], entry["error"]) == ("A", "connection refused")


async def test_a_source_that_is_back_is_believed_again() -> None:
    peers = Peers(A=AssociationLost("gone"))
    await peers.missing("A")
    peers.answers["A"] = 4
    peers.clock.advance(LEAVE_ALONE_S + 1)
    assert await peers.missing("A") == 1
    peers.answers["A"] = 3
    assert await peers.missing("A") == 0


async def test_a_ledger_that_cannot_count_leaves_it_to_the_timers() -> None:
    peers = Peers(A=4)
    peers.failure = LedgerFailed("the disk is full")
    assert await peers.missing("A") is None


async def test_a_source_that_makes_us_stumble_is_left_alone_as_well() -> None:
    peers = Peers(A=4)
    del peers.answers["A"]  # a KeyError where nobody expects one
    with capture_logs() as logs:
        assert await peers.missing("A") is None
        assert await peers.missing("A") is None
    assert peers.asked == ["A"]
    assert [entry["log_level"] for entry in logs] == ["error", "warning"]
