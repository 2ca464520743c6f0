"""A real Orthanc as a candidate of kind orthanc-rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from router.clock import SystemClock
from router.delivery.destinations.orthanc import OrthancDestination
from router.delivery.destinations.web import Web
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable
from router.domain.reach import Credentials, Secret, WebReach
from router.net.exchange import RequestorTimeouts
from router.spool.log import LocalSpool
from tests.corpus import make_ct_series
from tests.delivery.builders import delivery
from tests.delivery.spooled import item_of, put, spooled
from tests.e2e.stack import data_set_of
from tests.interop.conftest import dcmsend, live_router
from tests.peers import Orthanc, orthanc
from tests.spool.helpers import a_spool, identity

STORED = Outcome(OutcomeKind.STORED, 0x0000, "")


@dataclass
class Case:
    """A router's side of an Orthanc."""

    spool: LocalSpool
    peer: Orthanc
    destination: OrthancDestination

    def candidate(self, credentials: Credentials | None = None) -> Candidate:
        """The Orthanc."""
        reach = WebReach(self.peer.url, credentials)
        return Candidate("ORTHANC", "127.0.0.1", 8042, "orthanc-rest", reach)

    async def send(
        self, items: Sequence[DeliveryItem], credentials: Credentials | None = None
    ) -> list[Outcome]:
        """All of them over one connection."""
        async with self.destination.open(self.candidate(credentials), items) as session:
            return [await session.send(item) for item in items]

    async def lost(self, study: str, items: Sequence[DeliveryItem]) -> dict[str, int]:
        """What a comparison finds missing: SOP Instance UID to reason."""
        of_study = replace(delivery(), study_instance_uid=study)
        report = await self.destination.commit(self.candidate(), of_study, items)
        assert len(report.committed) + len(report.failed) == len(items)
        return {reference.sop_instance_uid: reason for reference, reason in report.failed}


@asynccontextmanager
async def a_case(folder: Path, peer: Orthanc) -> AsyncIterator[Case]:
    async with a_spool(folder / "spool") as spool:
        web = Web(RequestorTimeouts(5.0, 5.0, 30.0))
        yield Case(spool, peer, OrthancDestination(spool, web, SystemClock()))


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path / "orthanc") as running:
        yield running


@pytest.fixture
async def case(tmp_path: Path, peer: Orthanc) -> AsyncIterator[Case]:
    async with a_case(tmp_path, peer) as made:
        yield made


async def test_a_study_is_delivered_when_orthanc_lists_all_of_it(
    data_folder: Path, tmp_path: Path, peer: Orthanc
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=40, rows=64, columns=64)
    candidate = f"{{ORTHANC: {{kind: orthanc-rest, url: '{peer.url}/', associations: 3}}}}"
    async with live_router(data_folder, candidate) as router:
        await dcmsend(router, tmp_path / "ct")
        await router.settled(studies=1)
        (listed,) = (await router.get("/deliveries"))["deliveries"]
        detail = await router.get(f"/deliveries/{listed['id']}")

    assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))
    assert [attempt["outcome"] for attempt in detail["attempts"]] == ["committing", "delivered"]


async def test_what_orthanc_has_lost_is_found(case: Case, tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=4, rows=8, columns=8)
    items = [await spooled(case.spool, path, number) for number, path in enumerate(paths)]
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    assert await case.send(items) == [STORED] * 4
    assert await case.lost(study, items) == {}

    (lost,) = case.peer.post("/tools/lookup", items[2].sop_instance_uid.encode())
    case.peer.delete(lost["Path"])

    assert await case.lost(study, items) == {items[2].sop_instance_uid: 0x0112}


async def test_an_instance_that_orthanc_keeps_in_another_version_is_found(
    case: Case, tmp_path: Path
) -> None:
    (path,) = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    old = await spooled(case.spool, path)
    data_set = pydicom.dcmread(path)
    data_set.ImageComments = "a later version"
    data_set.save_as(path)
    new = await spooled(case.spool, path)

    assert await case.send([old, new]) == [STORED, STORED]  # Orthanc keeps the first

    assert await case.lost(str(data_set.StudyInstanceUID), [old]) == {}
    assert await case.lost(str(data_set.StudyInstanceUID), [new]) == {new.sop_instance_uid: 0x0119}


async def test_a_delivery_says_that_orthanc_keeps_another_version(
    case: Case, tmp_path: Path
) -> None:
    (path,) = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    item = await spooled(case.spool, path)
    of_study = replace(delivery(), study_instance_uid=str(pydicom.dcmread(path).StudyInstanceUID))

    report = await case.destination.commit(case.candidate(), of_study, [item])

    assert report.describe(0x0119).startswith("Orthanc keeps another version of it")
    assert report.describe(report.failed[0][1]) == "Orthanc does not hold it"


async def test_a_study_that_is_not_there_at_all_is_lost_whole(case: Case, tmp_path: Path) -> None:
    (path,) = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    item = await spooled(case.spool, path)

    assert await case.lost("1.2.3.4", [item]) == {item.sop_instance_uid: 0x0112}


async def test_an_orthanc_that_transcodes_what_comes_in_holds_it_all_the_same(
    tmp_path: Path,
) -> None:
    (path,) = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    implicit = "1.2.840.10008.1.2"
    with orthanc(tmp_path / "orthanc", IngestTranscoding=implicit) as peer:
        async with a_case(tmp_path, peer) as case:
            item = await spooled(case.spool, path)
            assert await case.send([item]) == [STORED]

            (name,) = peer.instances()
            assert peer.bytes_of(f"/instances/{name}/metadata/TransferSyntax") == implicit.encode()
            assert await case.lost(str(pydicom.dcmread(path).StudyInstanceUID), [item]) == {}


async def test_what_orthanc_cannot_read_is_refused_for_good(case: Case) -> None:
    nonsense = item_of(await put(case.spool, identity(), b"\0" * 100), 1)

    (outcome,) = await case.send([nonsense])

    assert outcome.kind is OutcomeKind.PERMANENT
    assert outcome.reason.startswith("Orthanc answered 400: ")


async def test_an_orthanc_with_users_wants_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    users: dict[str, Any] = {"AuthenticationEnabled": True, "RegisteredUsers": {"router": "right"}}
    monkeypatch.setenv("RIGHT", "right")
    monkeypatch.setenv("WRONG", "wrong")
    with orthanc(tmp_path / "orthanc", **users) as peer:
        async with a_case(tmp_path, peer) as case:
            item = await spooled(case.spool, path)

            right = Credentials(Secret(variable="RIGHT"), "router")
            assert await case.send([item], right) == [STORED]

            for wrong in (None, Credentials(Secret(variable="WRONG"), "router")):
                with pytest.raises(CandidateUnavailable, match="does not accept our credentials"):
                    await case.send([item], wrong)


async def test_something_else_at_the_address_gets_nothing(case: Case) -> None:
    elsewhere = replace(case.candidate(), reach=WebReach(f"{case.peer.url}/no/such/path"))

    with pytest.raises(CandidateUnavailable, match="is no Orthanc"):
        await case.destination.probe(elsewhere)
