"""The life of writers that register themselves, as their studies feel it.

A real registry, determiner, dispatcher and ledger; the writers and the clock are the test's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from router.completion.determiner import Determiner
from router.completion.held import CandidateFollower
from router.delivery.dispatcher import Dispatcher
from router.dicom.scanner import ScanLimits
from router.domain.candidate import CandidateState
from router.domain.delivery import Delivery, DeliveryState
from router.domain.errors import UnknownCandidate
from router.domain.study import RevisionKey, RevisionState
from router.domain.views import StudyDetail
from router.registry.request import RegistrationRequest
from router.registry.service import Registry
from tests.delivery.conftest import Hospital
from tests.delivery.writers import Writer, uids
from tests.ledger.builders import instance
from tests.registry.conftest import settings_of
from tests.spool.helpers import a_spool

LEASE_S = 60.0


@dataclass
class Ward:
    """A router without its door: studies arrive by way of the ledger."""

    hospital: Hospital
    registry: Registry
    determiner: Determiner
    _segments: Any = field(default_factory=lambda: count(1))

    async def register(self, ae_title: str = "XRAY", host: str = "xray", **said: Any) -> Writer:
        """A writer says that it is there."""
        body = {"aet": ae_title, "host": host, "port": 104, "associations": 1, **said}
        await self.registry.register(RegistrationRequest.model_validate(body))
        await self.hospital.at_rest()
        return self.hospital.writers[ae_title]

    async def begin(self, study: str, modality: str = "CR", **facts: str) -> RevisionKey:
        """The first two instances of a study arrive."""
        segment = f"segment-{next(self._segments)}"
        told = {"Modality": (modality,), **{name: (value,) for name, value in facts.items()}}
        arrivals = [
            replace(instance(number, study=study, segment=segment), facts=told)
            for number in range(2)
        ]
        key = (await self.hospital.ledger.record(arrivals))[0]
        assert key is not None
        return key

    async def complete(self, key: RevisionKey) -> StudyDetail:
        """The study counts as complete; how it stands when it is determined."""
        await self.determiner.complete(key, "stable")
        await self.hospital.at_rest()
        return await self.study(key)

    async def arrives(self, study: str, modality: str = "CR", **facts: str) -> StudyDetail:
        """A whole study arrives."""
        return await self.complete(await self.begin(study, modality, **facts))

    async def study(self, key: RevisionKey) -> StudyDetail:
        """How a study stands."""
        return await self.hospital.ledger.views.study(key.study_instance_uid)

    async def passes(self, seconds: float) -> None:
        """Let time pass, and what it brings happen."""
        await self.hospital.at_rest()
        self.hospital.clock.advance(seconds)
        await self.hospital.at_rest()


def delivery_of(study: StudyDetail) -> Delivery:
    """The only delivery of the only revision."""
    ((delivery,),) = [revision.deliveries for revision in study.revisions]
    return delivery


def is_held(study: StudyDetail) -> bool:
    return study.summary.state is RevisionState.UNROUTED


def reason_of(study: StudyDetail) -> str:
    """Why the only candidate gets it, or does not."""
    (choice,) = study.revisions[0].decisions[-1].choices
    return choice.reason


@pytest.fixture
async def ward(hospital: Hospital, tmp_path: Path) -> AsyncIterator[Ward]:
    patient = replace(hospital.settings.retry, give_up_after_s=30 * 86400.0)
    hospital.settings = replace(hospital.settings, retry=patient)
    async with (
        a_spool(tmp_path / "spool") as spool,
        staffed(hospital, spool) as ward,
    ):
        yield ward


@asynccontextmanager
async def staffed(hospital: Hospital, spool: Any) -> AsyncIterator[Ward]:
    ledger, clock, writers = hospital.ledger, hospital.clock, hospital.writers
    registry = Registry(settings_of(), ledger, ledger.views, clock, writers.probe)

    def candidate(ae_title: str) -> Any:
        try:
            return registry.candidate(ae_title)
        except UnknownCandidate:
            return None

    dispatcher = Dispatcher(
        ledger, {"dimse": writers}, candidate, clock, hospital.settings, hospital.settled.append
    )
    determiner = Determiner(
        ledger, spool, clock, registry.candidates, dispatcher.deliver, ScanLimits()
    )
    follower = CandidateFollower(registry.changes, determiner, dispatcher.wake, clock)
    async with anyio.create_task_group() as tasks:
        for service in (determiner, dispatcher, registry, follower):
            await tasks.start(service.run)
        await dispatcher.restore()
        yield Ward(hospital, registry, determiner)
        tasks.cancel_scope.cancel()


# -- leases ------------------------------------------------------------------------------------


async def test_studies_are_held_for_a_writer_whose_lease_has_ended_until_it_is_back(
    ward: Ward,
) -> None:
    writer = await ward.register(routingCriteria="MODALITY|IN|CR,DX")
    writer.is_up = False
    await ward.passes(LEASE_S)
    assert ward.registry.candidate("XRAY").state is CandidateState.LAPSED

    study = await ward.arrives("1.2.1")
    assert "its lease has lapsed: held until it returns" in reason_of(study)
    waiting = delivery_of(study)
    await ward.passes(3600)
    assert writer.stored == []

    writer.is_up = True
    await ward.register(routingCriteria="MODALITY|IN|CR,DX")
    await ward.hospital.delivered(waiting)
    assert writer.stored == uids(range(2), "1.2.1")


async def test_a_writer_that_was_away_too_long_is_not_forgotten_while_studies_wait_for_it(
    ward: Ward,
) -> None:
    writer = await ward.register()
    writer.is_up = False
    await ward.arrives("1.2.1")
    for _ in range(8):
        await ward.passes(24 * 3600)

    assert ward.registry.candidate("XRAY").state is CandidateState.LAPSED


async def test_a_writer_that_comes_back_at_another_address_gets_what_waits_for_it_there(
    ward: Ward,
) -> None:
    writer = await ward.register(host="old-host")
    writer.is_up = False
    waiting = delivery_of(await ward.arrives("1.2.1"))
    await ward.passes(LEASE_S)
    writer.is_up = True
    await ward.register(host="new-host")
    await ward.hospital.delivered(waiting)

    assert set(writer.hosts) == {"old-host", "new-host"}
    assert writer.hosts[-1] == "new-host"


# -- leaving -----------------------------------------------------------------------------------


async def test_a_draining_writer_gets_what_it_was_given_and_nothing_new(ward: Ward) -> None:
    writer = await ward.register()
    writer.hold = anyio.Event()
    given = delivery_of(await ward.arrives("1.2.1"))
    await ward.registry.drain("XRAY")
    refused = await ward.arrives("1.2.2")
    writer.hold.set()
    await ward.hospital.delivered(given)

    assert is_held(refused)
    assert reason_of(refused) == "draining: it receives nothing new"
    assert writer.stored == uids(range(2), "1.2.1")


async def test_what_a_draining_writer_did_not_get_goes_to_it_when_it_is_live_again(
    ward: Ward,
) -> None:
    writer = await ward.register()
    await ward.registry.drain("XRAY")
    assert is_held(await ward.arrives("1.2.1"))
    await ward.register()
    await ward.hospital.at_rest()

    assert writer.stored == uids(range(2), "1.2.1")


async def test_a_removed_writer_gets_what_it_was_given_when_it_registers_again(
    ward: Ward,
) -> None:
    writer = await ward.register()
    writer.is_up = False
    waiting = delivery_of(await ward.arrives("1.2.1"))
    await ward.registry.remove("XRAY")
    writer.is_up = True
    await ward.passes(3600)
    assert writer.stored == []
    assert (await ward.hospital.detail(waiting)).delivery.state is DeliveryState.RETRYING

    await ward.register(routingCriteria="MODALITY|EQUAL|MR")  # what it was given, it was given
    await ward.hospital.delivered(waiting)


# -- other criteria in mid-study ---------------------------------------------------------------


async def test_a_writer_that_changes_its_criteria_in_mid_study_gets_none_of_it(
    ward: Ward,
) -> None:
    writer = await ward.register(routingCriteria="MODALITY|EQUAL|CR")
    key = await ward.begin("1.2.1", "CR")
    await ward.registry.remove("XRAY")
    await ward.register(routingCriteria="MODALITY|EQUAL|MR")

    study = await ward.complete(key)

    assert is_held(study)
    assert "CR" in reason_of(study)
    assert writer.sent == []


async def test_a_writer_that_joins_in_mid_study_gets_the_whole_of_it(ward: Ward) -> None:
    key = await ward.begin("1.2.1", "CR")
    writer = await ward.register(routingCriteria="MODALITY|EQUAL|CR")
    await ward.hospital.delivered(delivery_of(await ward.complete(key)))

    assert writer.stored == uids(range(2), "1.2.1")


async def test_a_held_study_goes_whole_to_a_writer_that_comes_later(ward: Ward) -> None:
    study = await ward.arrives("1.2.1", "CR")
    assert is_held(study)
    writer = await ward.register(routingCriteria="MODALITY|EQUAL|CR")
    await ward.hospital.at_rest()

    assert writer.stored == uids(range(2), "1.2.1")


async def test_a_delivery_under_way_is_finished_whatever_the_writer_wants_by_now(
    ward: Ward,
) -> None:
    writer = await ward.register(routingCriteria="MODALITY|EQUAL|CR")
    writer.hold = anyio.Event()
    given = delivery_of(await ward.arrives("1.2.1", "CR"))
    await ward.register(routingCriteria="MODALITY|EQUAL|MR")
    writer.hold.set()
    await ward.hospital.delivered(given)

    assert writer.stored == uids(range(2), "1.2.1")


# -- two writers, one AE title -----------------------------------------------------------------


async def test_of_two_writers_with_one_ae_title_the_last_one_gets_the_studies_and_it_shows(
    ward: Ward,
) -> None:
    await ward.register(host="first")
    writer = await ward.register(host="second")
    await ward.hospital.delivered(delivery_of(await ward.arrives("1.2.1")))

    assert writer.hosts == ["second"]
    entry = ward.registry.entry("XRAY")
    assert entry is not None
    assert entry.displaced == "first:104"


async def test_each_study_goes_whole_to_one_of_two_writers_that_take_turns(ward: Ward) -> None:
    for number, host in enumerate(["first", "second", "first"]):
        writer = await ward.register(host=host)
        await ward.hospital.delivered(delivery_of(await ward.arrives(f"1.2.{number}")))

    assert writer.hosts == ["first", "second", "first"]
    assert len(writer.stored) == len(set(writer.stored)) == 6


# -- a candidate's own discard filters ---------------------------------------------------------


async def test_a_candidates_discard_filter_keeps_a_study_from_it_that_its_criteria_match(
    ward: Ward,
) -> None:
    writer = await ward.register(
        routingCriteria="MODALITY|IN|CR,DX", discard=["INSTITUTION_NAME|EQUAL|TEST"]
    )
    refused = await ward.arrives("1.2.1", "CR", InstitutionName="TEST")
    taken = await ward.arrives("1.2.2", "CR", InstitutionName="WARD")
    await ward.hospital.delivered(delivery_of(taken))

    assert is_held(refused)
    assert "but its discard filter" in reason_of(refused)
    assert writer.stored == uids(range(2), "1.2.2")


async def test_a_candidates_discard_filter_is_not_felt_by_others(ward: Ward) -> None:
    picky = await ward.register("PICKY", discard=["MODALITY|EQUAL|CR"])
    backup = await ward.register("BACKUP")
    await ward.hospital.delivered(delivery_of(await ward.arrives("1.2.1", "CR")))

    assert picky.sent == []
    assert backup.stored == uids(range(2), "1.2.1")
