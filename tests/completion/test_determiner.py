"""The determiner routes every complete revision, whatever fails meanwhile, and each once."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from router.completion.determiner import HOLDS_UP_FOR, Determiner
from router.dicom import uids
from router.dicom.scanner import ScanLimits
from router.domain.attributes import parse_attribute
from router.domain.candidate import Candidate
from router.domain.criteria import parse_criteria
from router.domain.delivery import Delivery
from router.domain.determination import Decision
from router.domain.errors import LedgerFailed, SpoolFailed, StateConflict
from router.domain.study import RevisionKey
from router.ledger.ledger import SqlLedger
from tests.clock import NOON
from tests.ingress.doorway import Doorway, a_doorway, attributes, store

WITHIN_S = 10
SYNTAXES = [
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
]


def candidate(ae_title: str, criteria: object = None, **changes: Any) -> Candidate:
    """A writer with these criteria; none: a backup writer."""
    expression = None if criteria is None else parse_criteria(criteria)
    return Candidate(ae_title, "writer", 4242, criteria=expression, **changes)


class FlakyLedger(SqlLedger):
    """A real ledger whose ``route`` fails as often as it is told to, maybe for one study only."""

    failures = 0
    only_for: RevisionKey | None = None

    async def route(
        self, revision: RevisionKey, at: datetime, decision: Decision
    ) -> Sequence[Delivery]:
        if self.failures and self.only_for in (None, revision):
            self.failures -= 1
            raise LedgerFailed("the disk is full")
        return await super().route(revision, at, decision)


@dataclass
class Bureau:
    """A determiner at work behind a door, and what it handed over."""

    doorway: Doorway
    determiner: Determiner
    ledger: FlakyLedger
    candidates: list[Candidate]
    handed_over: list[Delivery] = field(default_factory=list)
    more: anyio.Event = field(default_factory=anyio.Event)

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """What the determiner hands its deliveries to."""
        self.handed_over.extend(deliveries)
        self.more.set()
        self.more = anyio.Event()

    async def revision(self, *data_sets: Any, syntax: str = SYNTAXES[1]) -> RevisionKey:
        """These instances have arrived and are recorded; the revision that they opened."""
        association = self.doorway.associate()
        for data_set in data_sets:
            assert await store(association, data_set, transfer_syntax=syntax).status() == 0
        await self.doorway.settle()
        key = self.doorway.recorded[-1][1]
        assert key is not None
        return key

    async def routed(self, count: int = 1) -> list[str]:
        """Who gets something, as soon as so many deliveries have been handed over."""
        with anyio.fail_after(WITHIN_S):
            while len(self.handed_over) < count:
                await self.more.wait()
        return [delivery.ae_title for delivery in self.handed_over]

    async def idle(self) -> None:
        """Wait until nothing stands to be determined now."""
        with anyio.fail_after(WITHIN_S):
            while self.determiner._working or self.waits_for_s <= 0:
                await checkpoint()

    @property
    def waits_for_s(self) -> float:
        """How long the determiner has nothing to do."""
        earliest = self.determiner._agenda._earliest()
        return math.inf if earliest is None else earliest - self.now

    @property
    def now(self) -> float:
        return self.doorway.clock.monotonic()


@asynccontextmanager
async def a_bureau(
    directory: Path, *candidates: Candidate, asked: Sequence[str] = ()
) -> AsyncIterator[Bureau]:
    """A determiner over a real spool and ledger, at work."""
    async with (
        a_doorway(directory, asked=[parse_attribute(name) for name in asked]) as doorway,
        anyio.create_task_group() as tasks,
    ):
        ledger = FlakyLedger(doorway.ledger._database)
        known = list(candidates)
        bureau: Bureau
        determiner = Determiner(
            ledger,
            doorway.spool,
            doorway.clock,
            lambda: known,
            lambda deliveries: bureau.deliver(deliveries),
            ScanLimits(),
        )
        bureau = Bureau(doorway, determiner, ledger, known)
        await tasks.start(determiner.run)
        yield bureau
        tasks.cancel_scope.cancel()


def hide(bureau: Bureau) -> Callable[[], None]:
    """The spool's files are gone; what comes back brings them back."""
    directory = bureau.doorway.spool._directory
    bureau.doorway.spool._readers.close()
    hidden = [(path, path.with_suffix(".gone")) for path in directory.glob("*.seg")]
    for path, elsewhere in hidden:
        path.rename(elsewhere)

    def bring_back() -> None:
        for path, elsewhere in hidden:
            elsewhere.rename(path)

    return bring_back


async def test_a_complete_revision_is_routed_to_every_candidate_that_matches(
    tmp_path: Path,
) -> None:
    async with a_bureau(
        tmp_path,
        candidate("XRAY", "MODALITY|IN|CR,DX"),
        candidate("GENERIC", "MODALITY|NOT_IN|CR,DX"),
        candidate("BACKUP"),
    ) as bureau:
        key = await bureau.revision(attributes(1), attributes(2))
        await bureau.determiner.complete(key, "stable")
        assert await bureau.routed(2) == ["BACKUP", "GENERIC"]
        assert [delivery.instances for delivery in bureau.handed_over] == [2, 2]
        [revision] = (await bureau.ledger.views.study(key.study_instance_uid)).revisions
        assert (revision.completed_by, revision.completed_at) == ("stable", NOON)
        assert {choice.ae_title for choice in revision.decisions[0].choices} == {
            "XRAY",
            "GENERIC",
            "BACKUP",
        }


@pytest.mark.parametrize("syntax", SYNTAXES, ids=uids.name)
async def test_attributes_that_the_arrival_did_not_ask_for_are_read_from_the_spool(
    tmp_path: Path, syntax: str
) -> None:
    criteria = ["BitsAllocated|EQUAL|16", "ScheduledProcedureStepID|EQUAL|S7"]
    async with a_bureau(
        tmp_path, candidate("ALL", criteria), candidate("NONE", "BitsAllocated|EQUAL|8")
    ) as bureau:
        key = await bureau.revision(
            attributes(1, BitsAllocated=16),
            attributes(2, ScheduledProcedureStepID="S7"),
            syntax=syntax,
        )
        await bureau.determiner.complete(key, "stable")
        assert await bureau.routed() == ["ALL"]


async def test_attributes_that_the_arrival_asked_for_need_no_spool(tmp_path: Path) -> None:
    asked = ["BitsAllocated", "StationAETitle"]
    criteria = ["BitsAllocated|EQUAL|16", "StationAETitle|IS_NULL"]
    async with a_bureau(tmp_path, candidate("ALL", criteria), asked=asked) as bureau:
        key = await bureau.revision(attributes(1, BitsAllocated=16))
        hide(bureau)
        await bureau.determiner.complete(key, "stable")
        assert await bureau.routed() == ["ALL"]


async def test_instances_of_a_former_configuration_are_asked_what_they_were_not(
    tmp_path: Path,
) -> None:
    async with a_doorway(tmp_path) as before:
        await store(before.associate(), attributes(1, BitsAllocated=16)).status()
        await before.settle()
    criteria = "BitsAllocated|EQUAL|16"
    async with a_bureau(tmp_path, candidate("ALL", criteria), asked=["BitsAllocated"]) as bureau:
        key = await bureau.revision(attributes(2))
        await bureau.determiner.complete(key, "stable")
        assert await bureau.routed() == ["ALL"]
        assert bureau.handed_over[0].instances == 2


async def test_many_instances_are_read_in_several_turns(tmp_path: Path) -> None:
    criteria = "BitsAllocated|EQUAL|16"
    async with a_bureau(tmp_path, candidate("SOME", criteria, level="instance")) as bureau:
        data_sets = [
            attributes(number, BitsAllocated=8 + 8 * (number % 2)) for number in range(150)
        ]
        key = await bureau.revision(*data_sets)
        await bureau.determiner.complete(key, "stable")
        await bureau.routed()
        assert bureau.handed_over[0].instances == 75
        assert not bureau.doorway.spool._readers._reading


async def test_a_study_whose_bytes_are_gone_is_not_lost(tmp_path: Path) -> None:
    async with a_bureau(tmp_path, candidate("ALL", "BitsAllocated|IS_NULL")) as bureau:
        key = await bureau.revision(attributes(1))
        bring_back = hide(bureau)
        with capture_logs() as logs:
            await bureau.determiner.complete(key, "stable")
            await bureau.idle()
        [line] = [line for line in logs if line["log_level"] == "error"]
        assert "is gone" in line["error"]
        assert line["study_instance_uid"] == key.study_instance_uid
        assert await bureau.ledger.unrouted_revisions() == [key]
        bring_back()
        bureau.doorway.clock.advance(5)
        assert await bureau.routed() == ["ALL"]


async def test_pauses_between_attempts_grow_and_end_with_success(tmp_path: Path) -> None:
    async with a_bureau(tmp_path, candidate("BACKUP")) as bureau:
        bureau.ledger.failures = 4
        key = await bureau.revision(attributes(1))
        await bureau.determiner.complete(key, "stable")
        await bureau.idle()
        for step_s in (5, 10, 20, 40):
            assert step_s / 2 <= bureau.waits_for_s <= step_s
            bureau.doorway.clock.advance(bureau.waits_for_s)
            await bureau.idle()
        assert await bureau.routed() == ["BACKUP"]
        assert bureau.determiner._failures == {}


async def test_one_study_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    async with a_bureau(tmp_path) as bureau:
        first = await bureau.revision(attributes(1))
        await bureau.determiner.complete(first, "stable")
        await bureau.idle()
        second = await bureau.revision(attributes(2, StudyInstanceUID="9.9"))
        await bureau.determiner.complete(second, "stable")
        await bureau.idle()
        bureau.candidates.append(candidate("BACKUP"))
        bureau.ledger.failures, bureau.ledger.only_for = 1, first
        await bureau.determiner.route_unrouted()
        await bureau.routed()
        await bureau.idle()
        assert [delivery.revision_id for delivery in bureau.handed_over] == [second.id]
        bureau.doorway.clock.advance(5)
        await bureau.routed(2)
        assert await bureau.ledger.unrouted_revisions() == []


async def test_a_study_that_nobody_wants_is_held_until_somebody_does(tmp_path: Path) -> None:
    async with a_bureau(tmp_path, candidate("XRAY", "MODALITY|EQUAL|DX")) as bureau:
        key = await bureau.revision(attributes(1))
        with capture_logs() as logs:
            await bureau.determiner.complete(key, "stable")
            await bureau.idle()
            await bureau.determiner.route_unrouted()
            await bureau.idle()
        assert [line["event"] for line in logs] == ["no candidate matches; the study is held"]
        assert await bureau.ledger.unrouted_revisions() == [key]
        bureau.candidates.append(candidate("BACKUP"))
        await bureau.determiner.route_unrouted()
        assert await bureau.routed() == ["BACKUP"]


async def test_candidates_that_change_while_a_study_is_determined_count(tmp_path: Path) -> None:
    async with a_bureau(tmp_path) as bureau:
        key = await bureau.revision(attributes(1))
        reached, go_on = anyio.Event(), anyio.Event()
        instances = bureau.ledger.instances

        async def slowly(revision_id: int) -> Any:
            reached.set()
            await go_on.wait()
            return await instances(revision_id)

        bureau.ledger.instances = slowly  # type: ignore[method-assign]
        await bureau.determiner.complete(key, "stable")
        with anyio.fail_after(WITHIN_S):
            await reached.wait()
        bureau.candidates.append(candidate("BACKUP"))
        await bureau.determiner.route_unrouted()
        go_on.set()
        assert await bureau.routed() == ["BACKUP"]
        await bureau.idle()
        assert len(bureau.handed_over) == 1


async def test_a_revision_that_was_routed_already_is_let_go(tmp_path: Path) -> None:
    async with a_bureau(tmp_path, candidate("BACKUP")) as bureau:
        key = await bureau.revision(attributes(1))
        await bureau.determiner.complete(key, "stable")
        await bureau.routed()
        bureau.determiner._agenda.note(key, 0.0)
        await bureau.idle()
        await checkpoint()
        assert len(bureau.handed_over) == 1
        with pytest.raises(StateConflict):
            await bureau.determiner.complete(key, "again")


async def test_a_revision_that_is_routed_by_hand_says_what_went_wrong(tmp_path: Path) -> None:
    async with a_bureau(tmp_path, candidate("ALL", "BitsAllocated|IS_NULL")) as bureau:
        key = await bureau.revision(attributes(1))
        await bureau.ledger.complete(key, NOON, "stable")
        hide(bureau)
        with pytest.raises(SpoolFailed, match="is gone"):
            await bureau.determiner.route(key)


async def two_revisions(bureau: Bureau) -> tuple[RevisionKey, RevisionKey]:
    """A study, and what came of it after it was complete; the first cannot be recorded."""
    first = await bureau.revision(attributes(1))
    await bureau.ledger.complete(first, NOON, "stable")
    second = await bureau.revision(attributes(2))
    assert (second.study_instance_uid, second.number) == (first.study_instance_uid, 2)
    bureau.ledger.only_for = first
    return first, second


async def test_a_later_revision_waits_for_the_earlier_one_of_its_study(tmp_path: Path) -> None:
    async with a_bureau(tmp_path, candidate("BACKUP")) as bureau:
        first, second = await two_revisions(bureau)
        bureau.ledger.failures = 1
        await bureau.determiner.route_unrouted()
        await bureau.idle()
        await bureau.determiner.complete(second, "stable")
        await bureau.idle()
        assert bureau.handed_over == []

        bureau.doorway.clock.advance(bureau.waits_for_s)
        await bureau.routed(2)
        assert [one.revision_id for one in bureau.handed_over] == [first.id, second.id]


async def test_a_revision_that_fails_for_minutes_holds_up_later_ones_no_more(
    tmp_path: Path,
) -> None:
    async with a_bureau(tmp_path, candidate("BACKUP")) as bureau:
        first, second = await two_revisions(bureau)
        bureau.ledger.failures = HOLDS_UP_FOR + 1
        await bureau.determiner.route_unrouted()
        await bureau.determiner.complete(second, "stable")
        for _ in range(HOLDS_UP_FOR - 1):
            await bureau.idle()
            assert bureau.handed_over == []
            bureau.doorway.clock.advance(bureau.waits_for_s)
        await bureau.routed(1)
        assert bureau.handed_over[0].revision_id == second.id

        bureau.doorway.clock.advance(bureau.waits_for_s)
        await bureau.idle()
        bureau.doorway.clock.advance(bureau.waits_for_s)
        await bureau.routed(2)
        assert bureau.handed_over[1].revision_id == first.id
