"""Candidate determination with many candidates, over a ledger with many studies."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import anyio

from bench.generator import CT_IMAGE
from bench.history import History, fill_ledger
from bench.plan import Figures, Scale, Scenario, Trial, Value, at_most
from bench.receivers import Receiver, program, serve, settings
from bench.senders import materials
from router.app import spare_the_garbage_collector
from router.clock import SystemClock
from router.completion.determiner import Determiner
from router.dicom import uids
from router.dicom.scanner import ScanLimits
from router.domain.candidate import Candidate
from router.domain.criteria import parse_criteria
from router.domain.determination import determine
from router.domain.instance import Disposition, Identity, Instance, Provenance, SpoolRef
from router.ledger.ledger import open_ledger
from router.observe.logging import configure_logging
from router.spool.log import open_spool
from tests.e2e.stack import wait_until

PURE, WHOLE = "decide ms", "whole ms"
PURE_CPU, WHOLE_CPU = "decide CPU ms", "whole CPU ms"
STUDIES, LISTS = "a study of 20 instances", "API lists"
HOW = """\
Each of 1,000 candidates has ten criteria, all of which have to match; the first nine match
every study here, so that all ten are looked at, and three candidates match in all. "decide"
is the determination itself, "whole" all that the router does from a complete revision to its
deliveries: reading the facts of its instances from the ledger, deciding, keeping the decision
with all its reasons, making the deliveries, durably. Beside each stands the processor time of
it, which other programs on the machine disturb less. The ledger holds 100,000 studies of
three instances. The lists are asked of a running router with both; the median of 20 GETs
each."""


def scenario(scale: Scale) -> Scenario:
    """The scenario."""
    candidates, studies = scale.pick(1000, 200), scale.pick(100_000, 1000)
    trials = [
        Trial(STUDIES, {"router": partial(measure_studies, candidates, studies)}),
        Trial(LISTS, {"router": partial(measure_lists, candidates, studies)}),
    ]
    claims = [
        Value(STUDIES, PURE, "router", at_most(5, " ms")),
        Value(STUDIES, WHOLE, "router", at_most(5, " ms")),
        *(
            Value(LISTS, figure, "router", at_most(50, " ms"))
            for figure in (f"{name} ms" for name in PATHS)
        ),
    ]
    return Scenario("determination", "Determination", HOW, trials, claims)


PATHS = {
    "studies": "/studies",
    "next page": "/studies?after=50000",
    "patient": "/studies?patient_id=P1000",
    "study": "/studies/1.2.826.0.1.3680043.10.99.1000",
    "deliveries": "/deliveries",
    "pending": "/deliveries?state=pending",
    "candidates": "/candidates",
}


def criteria(number: int) -> list[str]:
    """Ten criteria, of which only the last one tells candidates apart."""
    return [
        "MODALITY|IN|CT,MR,PT",
        "INSTITUTION_NAME|NOT_NULL",
        "STUDY_DESCRIPTION|CONTAINS|orax",
        "MANUFACTURER|NOT_EQUAL|Other",
        "BODY_PART_EXAMINED|IN|CHEST,ABDOMEN,HEAD",
        "PATIENT_ID|STARTS_WITH|B-",
        "STUDY_DATE|GREATER_THAN|20200101",
        "SOURCE_AE_TITLE|NOT_IN|CT8,CT9",
        "ACCESSION_NUMBER|MATCHES|^A[0-9]+",
        "MODALITY|EQUAL|CT" if number < 3 else f"STATION_NAME|EQUAL|STATION{number}",
    ]


def arrivals(study: str, many: int) -> list[Instance]:
    """A study as it comes to the recorder."""
    facts = {
        "SOPClassUID": (CT_IMAGE,),
        "StudyDate": ("20260101",),
        "AccessionNumber": ("A123456",),
        "Modality": ("CT",),
        "Manufacturer": ("Maker",),
        "InstitutionName": ("Bench Hospital",),
        "StudyDescription": ("Thorax",),
        "StationName": ("CT-ROOM-1",),
        "PatientID": ("B-1",),
        "BodyPartExamined": ("CHEST",),
        "StudyInstanceUID": (study,),
        "SourceAETitle": ("CT1",),
    }
    provenance = Provenance("CT1", "ROUTER", "10.0.0.7:1", "a-1", SystemClock().now())
    return [
        Instance(
            Identity(
                CT_IMAGE,
                f"{study}.1.{number}",
                study,
                f"{study}.1",
                uids.EXPLICIT_VR_LITTLE_ENDIAN,
            ),
            provenance,
            facts,
            SpoolRef(f"segment-{study}", 64 + 10_240 * number, 10_240, 192, 9_600, 384),
            f"{number:016x}",
            Disposition.ACCEPTED,
            "",
        )
        for number in range(many)
    ]


@cache
def prepared(studies: int) -> Path:
    """A data folder with that many studies."""
    folder = materials() / f"studies-{studies}"
    (folder / "data").mkdir(parents=True)
    fill_ledger(folder / "data" / "ledger.db", History(studies, 3))
    return folder


def measure_studies(candidates: int, studies: int) -> Figures:
    """Determine twenty studies, one after the other."""
    configure_logging(json=False, level="WARNING")
    return anyio.run(_determine, candidates, prepared(studies))


async def _determine(candidates: int, folder: Path) -> Figures:
    known = [
        Candidate(
            f"WRITER{number}", "127.0.0.1", 104, criteria=parse_criteria({"all": criteria(number)})
        )
        for number in range(candidates)
    ]
    spare_the_garbage_collector()  # as the router does
    taken: dict[str, list[float]] = defaultdict(list)
    async with (
        open_ledger(folder / "data" / "ledger.db") as ledger,
        open_spool(folder / "other-spool") as spool,
    ):
        determiner = Determiner(
            ledger, spool, SystemClock(), lambda: known, lambda _: None, ScanLimits()
        )
        for _ in range(20):
            study = f"1.2.826.0.1.3680043.10.97.{time.time_ns()}"
            instances = arrivals(study, 20)
            key = (await ledger.record(instances))[0]
            assert key is not None
            await ledger.complete(key, SystemClock().now(), "bench")
            with _timed(taken, WHOLE, WHOLE_CPU):
                await determiner.route(key)
            members = [
                (number, one.facts, one.identity.series_instance_uid)
                for number, one in enumerate(instances)
            ]
            with _timed(taken, PURE, PURE_CPU):
                decision = determine(known, members)
            assert len(decision.chosen) == min(3, candidates)
    return {name: statistics.median(times) for name, times in taken.items()}


@contextmanager
def _timed(taken: dict[str, list[float]], elapsed: str, processor: str) -> Iterator[None]:
    """Add what the block takes, in ms: by the clock, and of the processors."""
    began, began_cpu = time.perf_counter(), time.process_time()
    yield
    taken[elapsed].append((time.perf_counter() - began) * 1000)
    taken[processor].append((time.process_time() - began_cpu) * 1000)


def measure_lists(candidates: int, studies: int) -> Figures:
    """Ask a running router for its lists."""
    folder = prepared(studies)
    sections = {
        "candidates": {
            f"WRITER{number}": {"host": "127.0.0.1", "port": 1, "criteria": criteria(number)}
            for number in range(candidates)
        },
        "retention": {"retain_for": "30d"},
        "completion": {"quiet_after": "1h", "stable_after": "1h"},
    }
    config, port, http = settings(folder, sections)
    with program(serve(config), folder / "log.txt") as child:
        receiver = Receiver(port, child.pid, folder, f"http://127.0.0.1:{http}")
        wait_until(lambda: receiver.is_ready("/readyz"), "the router is ready")
        return {f"{name} ms": _median_get_ms(receiver, path) for name, path in PATHS.items()}


def _median_get_ms(receiver: Receiver, path: str) -> float:
    times = []
    for _ in range(20):
        began = time.perf_counter()
        receiver.get(path)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000
