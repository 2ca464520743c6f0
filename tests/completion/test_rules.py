"""The first rule that matches a study decides how it becomes complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from router.domain.completion import OnMaxWait
from router.domain.completion_rules import CompletionRule
from router.domain.criteria import parse_criteria
from router.domain.errors import LedgerFailed
from router.domain.named_series import parse_named_series
from tests.completion.desk import POLICY, STUDY, a_desk
from tests.completion.test_service import left_open

SERIES = parse_named_series("'Axial T2' and ('Sag T1 GRE' or 'Sag T1 TSE')")
NAMED = replace(POLICY, series=SERIES)
EXPLICIT = replace(POLICY, quiet_after=None)
SLOW = replace(POLICY, quiet_after=timedelta(seconds=30))
AXIAL = {"SeriesDescription": ("AXIAL T2",), "Modality": ("MR",)}
SAGITTAL = {"SeriesDescription": ("Sag T1 TSE 3mm",), "Modality": ("MR",)}
CT = {"Modality": ("CT",)}


# -- named series ----------------------------------------------------------------------------------


async def test_quiet_says_nothing_before_the_named_series_have_arrived() -> None:
    async with a_desk(NAMED) as desk:
        await desk.send("a", facts=AXIAL)
        await desk.wait(50)
        assert desk.books.closed == []
        await desk.send("b", count=3, facts=SAGITTAL)
        await desk.wait(4.5)
        assert desk.books.closed == []
        await desk.wait(0.5)
        assert desk.books.sizes == [4]
        assert desk.books.reasons == [
            "the named series have arrived, all associations released, quiet for 5 s"
        ]


async def test_the_last_named_series_is_waited_for_until_it_is_whole() -> None:
    async with a_desk(NAMED) as desk:
        await desk.send("a", facts=AXIAL)
        desk.service.associated("b")
        for _ in range(5):
            await desk.bring("b", facts=SAGITTAL)
            await desk.wait(20)
        assert desk.books.closed == []
        desk.service.disassociated("b", released=True)
        await desk.wait(5)
        assert desk.books.sizes == [6]


async def test_named_series_that_never_come_leave_it_to_stable_after() -> None:
    async with a_desk(NAMED) as desk:
        await desk.send("a", facts=AXIAL)
        await desk.wait(60)
        assert desk.books.reasons == ["no instance for 60 s"]


async def test_a_late_instance_finds_the_named_series_in_the_revision_before() -> None:
    async with a_desk(NAMED) as desk:
        await desk.send("a", facts=AXIAL)
        await desk.send("b", facts=SAGITTAL)
        await desk.wait(5)
        await desk.send("late", facts={"SeriesDescription": ("Report",)})
        await desk.wait(5)
        assert desk.books.sizes == [2, 1]


# -- rules -----------------------------------------------------------------------------------------


async def test_a_rule_holds_for_its_source_and_the_general_policy_for_others() -> None:
    rule = CompletionRule(SLOW, frozenset({"MR1", "MR2"}))
    async with a_desk(rules=[rule]) as desk:
        await desk.send("a", "1.1", calling="MR2")
        await desk.send("b", "2.2", calling="CT1")
        await desk.wait(5)
        assert [key.study_instance_uid for key, _ in desk.books.closed] == ["2.2"]
        await desk.wait(25)
        assert [key.study_instance_uid for key, _ in desk.books.closed] == ["2.2", "1.1"]


async def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        CompletionRule(SLOW, criteria=parse_criteria("MODALITY|EQUAL|CT")),
        CompletionRule(EXPLICIT, criteria=parse_criteria("MODALITY|IN|CT,MR")),
    ]
    async with a_desk(rules=rules) as desk:
        await desk.send("a", facts=CT)
        await desk.wait(30)
        assert desk.books.reasons == ["all associations released, quiet for 30 s"]


async def test_criteria_look_at_the_values_of_the_whole_study_as_it_grows() -> None:
    rule = CompletionRule(SLOW, criteria=parse_criteria("MODALITY|EQUAL|SR"))
    async with a_desk(rules=[rule]) as desk:
        await desk.send("a", facts=CT)
        await desk.wait(4)
        await desk.send("b", facts={"Modality": ("SR",)})
        await desk.wait(29)
        assert desk.books.closed == []
        await desk.wait(1)
        assert desk.books.reasons == ["all associations released, quiet for 30 s"]


async def test_source_and_criteria_must_both_match() -> None:
    rule = CompletionRule(SLOW, frozenset({"MR1"}), parse_criteria("MODALITY|EQUAL|MR"))
    async with a_desk(rules=[rule]) as desk:
        await desk.send("a", "1.1", calling="MR1", facts=CT)
        await desk.send("b", "2.2", calling="CT1", facts=AXIAL)
        await desk.wait(5)
        assert len(desk.books.closed) == 2


async def test_an_explicit_rule_waits_for_somebody_who_knows() -> None:
    async with a_desk(rules=[CompletionRule(EXPLICIT, frozenset({"CT1"}))]) as desk:
        await desk.send("a")
        await desk.wait(50)
        assert desk.books.closed == []
        desk.service.complete_now(STUDY, "CT1 asked for storage commitment")
        await desk.rest()
        assert desk.books.reasons == ["CT1 asked for storage commitment"]


async def test_an_explicit_rule_leaves_the_last_resort_to_stable_after() -> None:
    async with a_desk(rules=[CompletionRule(EXPLICIT, frozenset({"CT1"}))]) as desk:
        await desk.send("a")
        await desk.wait(60)
        assert desk.books.reasons == ["no instance for 60 s"]


async def test_a_rule_may_have_a_max_wait_of_its_own() -> None:
    limit = timedelta(seconds=40)
    policy = replace(EXPLICIT, max_wait=limit, on_max_wait=OnMaxWait.HOLD)
    async with a_desk(rules=[CompletionRule(policy, frozenset({"MR1"}))]) as desk:
        await desk.send("a", "1.1", calling="MR1")
        await desk.send("b", "2.2")
        await desk.wait(40)
        assert [key.study_instance_uid for key in desk.books.held] == ["1.1"]
        assert [key.study_instance_uid for key, _ in desk.books.closed] == ["2.2"]


async def test_a_rule_that_matches_later_may_say_that_it_has_been_too_long_already() -> None:
    policy = replace(POLICY, max_wait=timedelta(seconds=10), on_max_wait=OnMaxWait.HOLD)
    rule = CompletionRule(policy, criteria=parse_criteria("MODALITY|EQUAL|SR"))
    async with a_desk(rules=[rule]) as desk:
        desk.service.associated("a")
        await desk.bring("a", facts=CT)
        await desk.wait(30)
        assert desk.books.held == []
        await desk.bring("a", facts={"Modality": ("SR",)})
        await desk.wait(1)
        assert len(desk.books.held) == 1


async def test_nothing_is_read_while_instances_arrive_and_each_only_once() -> None:
    async with a_desk(NAMED) as desk:
        await desk.send("a", count=50, facts=AXIAL)
        assert desk.books.reads == 0
        await desk.wait(59)
        assert desk.books.reads <= 3


async def test_a_ledger_that_cannot_be_read_is_asked_again() -> None:
    async with a_desk(NAMED) as desk:
        desk.books.failures = [LedgerFailed("the disk is full")]
        await desk.send("a", facts=AXIAL)
        await desk.send("b", facts=SAGITTAL)
        await desk.wait(10)
        assert desk.books.sizes == [2]


async def test_a_restart_keeps_the_sources_of_a_study() -> None:
    async with a_desk(rules=[CompletionRule(SLOW, frozenset({"CT1"}))]) as desk:
        desk.service.restore([left_open(STUDY)])
        await desk.send("a", calling="OTHER")
        await desk.wait(29)
        assert desk.books.closed == []
        await desk.wait(1)
        assert len(desk.books.closed) == 1
