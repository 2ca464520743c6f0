"""The router survives every hostile object, and does with it what is written in the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.candidates.holdings import held_in
from tests.e2e.stack import RouterProcess, WriterProcess, running, wait_until
from tests.hostile.expected import CANNOT_UNDERSTAND, Fate, HostileObject, Uids
from tests.hostile.fates import fates_in
from tests.hostile.lengths import FULL
from tests.hostile.memory import forget_peak, peak_bytes
from tests.hostile.objects import OBJECTS
from tests.hostile.sending import send
from tests.wire.runner import Target, echo_failure
from tests.wire.seen import Answered, Seen

SETTINGS = {"completion": {"quiet_after": "200ms", "stable_after": "5s"}}
PATIENCE_S = 60.0  # a machine that does much else at the same time is not measured here
ANSWERS_WITHIN_S = 240.0  # the largest ones take five seconds of a machine that does nothing else
MAY_GROW_BY = 96 << 20
"""Bytes of memory that one object may cost the router for a moment, however large it is."""

pytestmark = pytest.mark.timeout(900)
NUMBERED = tuple(enumerate(OBJECTS, start=1))


@dataclass(frozen=True, slots=True)
class Record:
    """What one object did."""

    seen: Seen
    echo_failure: str
    grew_by: int


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What was seen, and what the ledger and the writer hold after all objects."""

    records: dict[str, Record]
    fates: dict[str, tuple[str, str]]  # SOP Instance UID to disposition and reason
    files: dict[str, Path]  # SOP Instance UID to what the writer has stored

    def has_passed(self, sop_instance_uid: str, content: bytes) -> bool:
        """Whether the writer's file ends with the data set, byte for byte."""
        path = self.files.get(sop_instance_uid)
        return path is not None and path.read_bytes().endswith(content)


def send_all(router: RouterProcess) -> dict[str, Record]:
    """Each object on an association of its own, and an echo after it."""
    target = Target("127.0.0.1", router.dicom_port, "ROUTER", PATIENCE_S, PATIENCE_S)
    pid = router.child.pid
    records = {}
    for number, hostile in NUMBERED:
        forget_peak(pid)
        before = router.resident_bytes
        seen = send(hostile, Uids(number), target, ANSWERS_WITHIN_S)
        failure = echo_failure(target)
        records[hostile.name] = Record(seen, failure, peak_bytes(pid) - before)
    return records


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("hostile")
    router = RouterProcess(folder / "router", SETTINGS)
    writer = WriterProcess(folder, "WRITER", router.url, None)
    passed = sum(hostile.expected.fate is Fate.PASSED for hostile in OBJECTS)
    with running(router, writer):
        wait_until(lambda: router.candidates() == {"WRITER"}, "the writer is a candidate")
        records = send_all(router)
        wait_until(lambda: writer.count() >= passed, f"the writer has {passed} objects", 120)
        assert "Traceback" not in router.log.read_text()
        files = {one.instance: one.path for one in held_in(writer.storage)}
        yield Aftermath(records, fates_in(router.directory / "data" / "ledger.db"), files)


@pytest.mark.parametrize(("number", "hostile"), NUMBERED, ids=[one.name for one in OBJECTS])
def test_hostile_object(aftermath: Aftermath, number: int, hostile: HostileObject) -> None:
    record, uids = aftermath.records[hostile.name], Uids(number)
    disposition, reason = aftermath.fates.get(uids.instance, ("accepted", ""))
    content = b"".join(hostile.content(uids))

    assert isinstance(record.seen, Answered), f"{record.seen}; {reason}"
    assert record.seen.status == hostile.expected.status, reason
    assert record.echo_failure == ""
    assert record.grew_by < MAY_GROW_BY
    assert hostile.expected.reason in reason
    assert (disposition == "quarantined") == (hostile.expected.fate is Fate.QUARANTINED), reason
    assert (uids.instance in aftermath.files) == (hostile.expected.fate is Fate.PASSED)
    assert aftermath.has_passed(uids.instance, content) == (hostile.expected.fate is Fate.PASSED)


def test_an_object_cut_at_any_of_its_bytes_is_passed_on_or_cannot_be_understood(
    tmp_path: Path,
) -> None:
    router = RouterProcess(tmp_path / "router", SETTINGS)
    uids = Uids(len(OBJECTS) + 1)
    whole = b"".join(FULL(uids))
    series = whole.index(uids.series.encode()) + len(uids.series) + len(uids.series) % 2
    with running(router):
        target = Target("127.0.0.1", router.dicom_port, "ROUTER", PATIENCE_S, PATIENCE_S)

        def answer(size: int) -> Seen:
            cut = HostileObject("cut", "", lambda _: [whole[:size]], OBJECTS[0].expected)
            return send(cut, uids, target)

        statuses = [getattr(answer(size), "status", None) for size in range(len(whole))]

    assert set(statuses[:series]) == {CANNOT_UNDERSTAND}
    assert set(statuses[series:]) == {0}


def test_every_object_has_a_name_of_its_own() -> None:
    assert len({one.name for one in OBJECTS}) == len(OBJECTS) >= 120
