"""Series into ChRIS: what its backend finds, is told by a real broker, and hears over real NATS.

The backend (CUBE) cannot be installed here. The contract is made from the sources of oxidicom and
CUBE; a real Celery worker takes the registrations and judges them (tests/delivery/cube.py).
"""

from __future__ import annotations

import os
import subprocess
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nats
import pydicom
import pytest

from router.clock import SystemClock
from router.delivery.destinations.chris import TASK, ChrisDestination
from router.delivery.destinations.tasks import TaskBroker
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable
from router.domain.lonk import DONE, progress
from router.domain.reach import Broker, ChrisReach, Credentials, Progress, Secret
from router.spool.log import LocalSpool
from tests import peers
from tests.corpus import make_ct_series, make_study
from tests.delivery import cube_backend
from tests.delivery.builders import delivery
from tests.delivery.cube_backend import Cube
from tests.delivery.spooled import spooled
from tests.e2e.stack import data_set_of, free_port, wait_until
from tests.interop.conftest import run_blocking
from tests.spool.helpers import a_spool, segments

STORED = Outcome(OutcomeKind.STORED, 0x0000, "")
PATIENCE_S = 20.0


async def registered(cube: Cube, pacs_name: str, count: int) -> list[dict[str, Any]]:
    """So many registrations, and not one more: tasks are taken one after the other."""
    last = f"{pacs_name}-{count}-end"
    names = ("PatientID", "StudyDate", "StudyInstanceUID", "SeriesInstanceUID", "path")
    arguments = {**dict.fromkeys(names, "20260101"), "pacs_name": last, "ndicom": 0}
    broker = TaskBroker("test", Broker(cube.broker, "main2"), PATIENCE_S)
    await broker.send(TASK, last, arguments)
    await run_blocking(lambda: wait_until(lambda: cube.registrations(last), "CUBE has taken all"))
    found = cube.registrations(pacs_name)
    assert len(found) == count
    return found


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cube]:
    folder = tmp_path_factory.mktemp("cube")
    with (
        peers.redis_server(folder / "redis") as port,
        cube_backend.cube(folder, f"redis://127.0.0.1:{port}/0") as made,
    ):
        yield made


@dataclass
class Case:
    """A router's side of a ChRIS."""

    spool: LocalSpool
    spool_folder: Path
    cube: Cube
    reach: ChrisReach
    pacs_name: str
    patience_s: float = PATIENCE_S
    number: int = 1
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    async def items(self, paths: Sequence[Path]) -> list[DeliveryItem]:
        """What these files hold, in the spool."""
        made = [await spooled(self.spool, path, number) for number, path in enumerate(paths)]
        return [replace(item, calling_ae_title=self.pacs_name) for item in made]

    async def send(self, items: Sequence[DeliveryItem]) -> Sequence[Outcome]:
        """One transfer of one study."""
        destination = ChrisDestination(self.spool, SystemClock(), self.patience_s)
        candidate = Candidate("CHRIS", "", 0, "chris", self.reach, associations=2)
        of_study = replace(delivery(self.number), study_instance_uid="1.2.3")
        return await destination.transfer(candidate, of_study, items)


@pytest.fixture
async def case(cube: Cube, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    """Each test has a PACS of its own."""
    async with a_spool(tmp_path / "spool") as spool:
        name = f"PACS{zlib.crc32(request.node.name.encode())}"
        reach = ChrisReach(str(cube.files), Broker(cube.broker, "main2"))
        yield Case(spool, tmp_path / "spool", cube, reach, name)


def changed(path: Path, **changes: str | None) -> Path:
    """Give an instance other values, or take them away."""
    data_set = pydicom.dcmread(path)
    for keyword, value in changes.items():
        if value is None:
            delattr(data_set, keyword)
        else:
            setattr(data_set, keyword, value)
    data_set.save_as(path)
    return path


def sent(paths: Sequence[Path]) -> dict[str, bytes]:
    return {str(pydicom.dcmread(path).SOPInstanceUID): data_set_of(path) for path in paths}


# -- files and registrations ---------------------------------------------------------------------


async def test_each_series_is_registered_once_when_its_files_are_there(
    case: Case, tmp_path: Path
) -> None:
    series = make_study(tmp_path / "in", T1_axial=3, T2_axial=2)
    paths = [path for one in series.values() for path in one]

    assert await case.send(await case.items(paths)) == [STORED] * 5

    told = await registered(case.cube, case.pacs_name, 2)
    assert [one["objection"] for one in told] == ["", ""]
    assert [(one["told"]["SeriesDescription"], one["told"]["ndicom"]) for one in told] == [
        ("T1 axial", 3),
        ("T2 axial", 2),
    ]
    assert told[0]["told"]["StudyDate"] == "2026-01-01"
    assert told[0]["told"]["PatientName"] == "Test^Patient"
    assert case.cube.held(case.pacs_name) == sent(paths)


async def test_nothing_is_left_beside_the_files(case: Case, tmp_path: Path) -> None:
    await case.send(await case.items(make_ct_series(tmp_path / "in", 2, 8, 8)))

    assert [path.name for path in case.cube.files.iterdir()] == ["SERVICES"]


async def test_a_series_has_one_folder_though_its_instances_are_described_differently(
    case: Case, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "in", 3, 8, 8)
    changed(paths[2], SeriesDescription="another")

    assert await case.send(await case.items(paths)) == [STORED] * 3

    (told,) = await registered(case.cube, case.pacs_name, 1)
    assert (told["objection"], told["told"]["ndicom"]) == ("", 3)


async def test_a_pacs_can_be_named_and_its_name_is_one_that_cube_takes(
    case: Case, tmp_path: Path
) -> None:
    items = await case.items(make_ct_series(tmp_path / "in", 1, 8, 8))
    spaced = f"{case.pacs_name} A"
    await case.send([replace(item, calling_ae_title=spaced) for item in items])
    case.reach = replace(case.reach, pacs_name=f"{case.pacs_name}.B")
    await case.send(items)

    for name in (f"{case.pacs_name}_A", f"{case.pacs_name}.B"):
        (told,) = await registered(case.cube, name, 1)
        assert told["objection"] == ""


async def test_the_same_again_overwrites_the_same_and_repeats_the_same_registration(
    case: Case, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "in", 3, 8, 8)
    items = await case.items(paths)
    await case.send(items)
    before = case.cube.held(case.pacs_name)
    await case.send(items)

    first, second = await registered(case.cube, case.pacs_name, 2)
    assert first == second
    assert case.cube.held(case.pacs_name) == before == sent(paths)


async def test_what_comes_later_of_a_series_is_counted_with_what_is_there(
    case: Case, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "in", 5, 8, 8)
    items = await case.items(paths)
    await case.send(items[:3])
    await registered(case.cube, case.pacs_name, 1)
    await case.send(items[3:])

    _, later = await registered(case.cube, case.pacs_name, 2)
    assert (later["objection"], later["told"]["ndicom"]) == ("", 5)


# -- what CUBE cannot have -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PatientID": None}, "CUBE needs PatientID (0010,0020), and it is missing"),
        ({"PatientID": ""}, "CUBE needs PatientID (0010,0020), and it is missing"),
        ({"StudyDate": None}, "CUBE needs StudyDate (0008,0020), and it is missing"),
    ],
)
async def test_an_instance_that_lacks_a_required_attribute_is_refused_for_good(
    changes: dict[str, str | None], reason: str, case: Case, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "in", 3, 8, 8)
    changed(paths[0], **changes)

    refused, *others = await case.send(await case.items(paths))

    assert refused == Outcome(OutcomeKind.PERMANENT, None, reason)
    assert others == [STORED] * 2
    (told,) = await registered(case.cube, case.pacs_name, 1)
    assert (told["objection"], told["told"]["ndicom"]) == ("", 2)


async def test_an_instance_that_has_changed_in_the_spool_is_refused_and_never_there(
    case: Case, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "in", 3, 8, 8)
    items = await case.items(paths)
    (segment,) = segments(case.spool_folder)
    ref = items[1].ref
    with segment.open("r+b") as file:
        file.seek(ref.data_set_offset + ref.data_set_length - 1)
        last = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([last[0] ^ 1]))

    outcomes = await case.send(items)

    assert [one.kind for one in outcomes] == [
        OutcomeKind.STORED,
        OutcomeKind.PERMANENT,
        OutcomeKind.STORED,
    ]
    assert case.cube.held(case.pacs_name) == sent([paths[0], paths[2]])


# -- a broker or a folder that is away -----------------------------------------------------------


async def test_without_its_broker_a_delivery_waits_and_is_registered_once_when_it_is_back(
    case: Case, tmp_path: Path
) -> None:
    port = free_port()
    case.reach = replace(case.reach, broker=Broker(f"redis://127.0.0.1:{port}/0", "main2"))
    items = await case.items(make_ct_series(tmp_path / "in", 2, 8, 8))

    with pytest.raises(
        CandidateUnavailable, match=f"CHRIS: broker redis://127.0.0.1:{port}/0: .*refused"
    ):
        await case.send(items)
    with peers.redis_server(tmp_path / "redis", port=port):
        assert await case.send(items) == [STORED] * 2
        assert waiting(port) == 1


async def test_a_broker_that_does_not_answer_is_not_waited_for_for_ever(
    case: Case, tmp_path: Path
) -> None:
    with peers.redis_server(tmp_path / "redis") as port:
        case.reach = replace(case.reach, broker=Broker(f"redis://127.0.0.1:{port}/0", "main2"))
        case.patience_s = 1.0
        items = await case.items(make_ct_series(tmp_path / "in", 1, 8, 8))
        redis_cli(port, "CLIENT", "PAUSE", "60000", "ALL")

        with pytest.raises(CandidateUnavailable):
            await case.send(items)


async def test_a_broker_gets_the_password_that_it_wants(case: Case, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    items = await case.items(make_ct_series(tmp_path / "in", 1, 8, 8))
    with peers.redis_server(tmp_path / "redis", "--requirepass", "secret") as port:
        broker = Broker(f"redis://127.0.0.1:{port}/0", "main2")
        case.reach = replace(case.reach, broker=broker)
        with pytest.raises(CandidateUnavailable, match=r"(?i)auth"):
            await case.send(items)
        known = Credentials(Secret(str(tmp_path / "password")), "default")
        case.reach = replace(case.reach, broker=replace(broker, credentials=known))
        assert await case.send(items) == [STORED]


async def test_what_was_registered_is_kept_though_the_next_series_is_not(
    case: Case, tmp_path: Path
) -> None:
    series = make_study(tmp_path / "in", one=2, two=2)
    items = await case.items([path for one in series.values() for path in one])
    folder = case.cube.files / "SERVICES" / "PACS" / case.pacs_name
    second = await blocked_folder(case, items[2:])

    outcomes = await case.send(items)

    assert second.is_file()
    assert outcomes[:2] == [STORED] * 2
    assert {one.kind for one in outcomes[2:]} == {OutcomeKind.TEMPORARY}
    second.unlink()
    assert await case.send(items[2:]) == [STORED] * 2
    told = await registered(case.cube, case.pacs_name, 2)
    assert [one["objection"] for one in told] == ["", ""]
    assert len(list(folder.rglob("*.dcm"))) == 4


async def test_a_folder_that_is_away_is_not_made(case: Case, tmp_path: Path) -> None:
    case.reach = replace(case.reach, path=str(tmp_path / "away"))

    with pytest.raises(CandidateUnavailable, match="is the share mounted"):
        await case.send(await case.items(make_ct_series(tmp_path / "in", 1, 8, 8)))
    assert not (tmp_path / "away").exists()


async def test_it_is_there_when_folder_and_broker_are(case: Case) -> None:
    destination = ChrisDestination(case.spool, SystemClock(), PATIENCE_S)
    candidate = Candidate("CHRIS", "", 0, "chris", case.reach)

    await destination.probe(candidate)
    away = replace(case.reach, broker=Broker(f"redis://127.0.0.1:{free_port()}/0", "main2"))
    with pytest.raises(CandidateUnavailable):
        await destination.probe(replace(candidate, reach=away))


# -- progress ------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(case: Case, folder: Path) -> AsyncIterator[None]:
    """A watcher of all that is told; the block's messages are there when it ends."""
    with peers.nats_server(folder) as port:
        url = f"nats://127.0.0.1:{port}"
        case.reach = replace(case.reach, progress=Progress(url, "oxidicom"))
        watcher = await nats.connect(url)
        try:
            subscription = await watcher.subscribe("oxidicom.>")
            await watcher.flush()
            yield
            await watcher.publish("oxidicom.end")
            while (message := await subscription.next_msg(PATIENCE_S)).subject != "oxidicom.end":
                case.messages.append((message.subject, message.data))
        finally:
            await watcher.close()


async def test_progress_is_told_from_the_first_file_to_the_end(case: Case, tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "in", 4, 8, 8)
    series = str(pydicom.dcmread(paths[0]).SeriesInstanceUID)
    async with listening(case, tmp_path / "nats"):
        await case.send(await case.items(paths))

    told = [message for _, message in case.messages]
    assert {subject for subject, _ in case.messages} == {
        f"oxidicom.{case.pacs_name}.{series.replace('.', '_')}"
    }
    assert told[0] == progress(1)
    assert told[-2:] == [progress(4), DONE]
    assert told[:-2] == sorted(told[:-2])


async def test_what_is_refused_is_told_to_who_watches(case: Case, tmp_path: Path) -> None:
    (path,) = make_ct_series(tmp_path / "in", 1, 8, 8)
    changed(path, StudyDate=None)
    async with listening(case, tmp_path / "nats"):
        await case.send(await case.items([path]))

    assert [message for _, message in case.messages] == [
        b"\x02CUBE needs StudyDate (0008,0020), and it is missing"
    ]


async def test_nothing_depends_on_who_watches(case: Case, tmp_path: Path) -> None:
    nowhere = Progress(f"nats://127.0.0.1:{free_port()}", "oxidicom")
    case.reach = replace(case.reach, progress=nowhere)

    assert (
        await case.send(await case.items(make_ct_series(tmp_path / "in", 2, 8, 8))) == [STORED] * 2
    )
    await registered(case.cube, case.pacs_name, 1)


# -- helpers -------------------------------------------------------------------------------------


async def blocked_folder(case: Case, items: Sequence[DeliveryItem]) -> Path:
    """A file that stands where the folder of a series should be."""
    name = f"{case.pacs_name}X"
    await case.send([replace(item, calling_ae_title=name) for item in items])
    pacs = case.cube.files / "SERVICES" / "PACS"
    (folder,) = {path.parent for path in (pacs / name).rglob("*.dcm")}
    blocked = pacs / case.pacs_name / folder.relative_to(pacs / name)
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    return blocked


def redis_cli(port: int, *command: str) -> str:
    done = subprocess.run(
        ["/usr/bin/redis-cli", "-p", str(port), *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.strip()


def waiting(port: int) -> int:
    """How many tasks are queued."""
    return int(redis_cli(port, "LLEN", "main2"))
