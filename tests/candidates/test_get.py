"""Studies come back by C-GET, on the association that asks: dcmtk's getscu and pynetdicom ask."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelGet,
)

from router.dicom import statuses, uids
from tests.candidates.descriptors import open_attachments
from tests.candidates.holdings import root_of
from tests.candidates.sources import head_and_data_set
from tests.candidates.writers import Writer, running_writer
from tests.corpus import make_ct_series
from tests.peers import dcmtk

INSTANCES = 3
GET = StudyRootQueryRetrieveInformationModelGet
PENDING, CANCELLED, SOME_FAILED, UNABLE = 0xFF00, 0xFE00, 0xB000, 0xA702


@asynccontextmanager
async def archived(
    tmp_path: Path, *, compress: bool = False, rows: int = 256
) -> AsyncIterator[tuple[Writer, list[Path]]]:
    """A writer that holds a study, and the files of it as they were sent."""
    sent = make_ct_series(tmp_path / "ct", instances=INSTANCES, rows=rows, columns=256)
    async with running_writer(tmp_path / "writer", compress=compress) as writer:
        for path in sent:
            assert await writer.store_file(path) == statuses.SUCCESS
        yield writer, sent


async def getscu(writer: Writer, folder: Path, *keys: str) -> subprocess.CompletedProcess[str]:
    """Ask for what the keys say; what comes is written into the folder, bit for bit."""
    folder.mkdir()
    asked = [word for key in keys for word in ("-k", key)]
    return await anyio.to_thread.run_sync(
        lambda: dcmtk(
            "getscu",
            *("-v", "-S", "-aec", "WRITER", "+B", "-od", str(folder), *asked),
            *("127.0.0.1", str(writer.port)),
        )
    )


def data_sets(paths: Sequence[Path]) -> list[bytes]:
    return sorted(head_and_data_set(path)[1] for path in paths)


@dataclass
class Asker:
    """pynetdicom as the SCU; ``stored`` is called with each instance that comes."""

    port: int
    stored: Callable[[Any], int] = lambda _: 0
    is_scp: bool = True
    patience_s: float = 60.0
    answers: list[tuple[Dataset, Dataset | None]] = field(default_factory=list)
    came: list[str] = field(default_factory=list)

    def ask(self, study: str) -> None:
        """Ask for a study, to the last response or the end of the association."""
        peer = AE("ASKER")
        peer.dimse_timeout = self.patience_s
        peer.add_requested_context(GET)
        peer.add_requested_context(CTImageStorage, uids.EXPLICIT_VR_LITTLE_ENDIAN)
        roles: list[Any] = [build_role(CTImageStorage, scp_role=True)] if self.is_scp else []
        association = peer.associate(
            "127.0.0.1",
            self.port,
            ae_title="WRITER",
            ext_neg=roles,
            evt_handlers=[(evt.EVT_C_STORE, self._stored)],
        )
        assert association.is_established
        asked = Dataset()
        asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", study
        self.answers = list(association.send_c_get(asked, GET))
        if association.is_established:
            association.release()

    def _stored(self, event: Any) -> int:
        self.came.append(event.request.AffectedSOPInstanceUID)
        return self.stored(event)

    @property
    def statuses(self) -> list[int]:
        return [answer.get("Status", -1) for answer, _ in self.answers]

    @property
    def counts(self) -> list[tuple[int | None, int, int]]:
        """Remaining, completed and failed sub-operations of each response."""
        return [
            (
                answer.get("NumberOfRemainingSuboperations"),
                answer.NumberOfCompletedSuboperations,
                answer.NumberOfFailedSuboperations,
            )
            for answer, _ in self.answers
        ]

    @property
    def failed(self) -> list[str]:
        """What the last response lists."""
        _, identifier = self.answers[-1]
        assert identifier is not None
        listed = identifier.FailedSOPInstanceUIDList
        return [listed] if isinstance(listed, str) else sorted(listed)


async def ask(asker: Asker, study: str) -> None:
    await anyio.to_thread.run_sync(asker.ask, study)


@pytest.mark.parametrize("compress", [False, True], ids=["as it is", "compressed"])
async def test_a_study_comes_back_byte_for_byte(tmp_path: Path, compress: bool) -> None:
    async with archived(tmp_path, compress=compress) as (writer, sent):
        study = writer.held()[0].study

        ran = await getscu(
            writer, tmp_path / "back", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}"
        )

    assert ran.returncode == 0, ran.stderr
    assert data_sets([*(tmp_path / "back").iterdir()]) == data_sets(sent)


async def test_one_instance_comes_back_alone(tmp_path: Path) -> None:
    async with archived(tmp_path) as (writer, _):
        one = writer.held()[1]

        await getscu(
            writer,
            tmp_path / "back",
            "QueryRetrieveLevel=IMAGE",
            f"StudyInstanceUID={one.study}",
            f"SeriesInstanceUID={one.series}",
            f"SOPInstanceUID={one.instance}",
        )

    [came] = (tmp_path / "back").iterdir()
    assert head_and_data_set(came)[0].sop_instance_uid == one.instance


async def test_every_response_says_how_far_it_is(tmp_path: Path) -> None:
    async with archived(tmp_path) as (writer, _):
        held = writer.held()
        asker = Asker(writer.port)
        await ask(asker, held[0].study)

    assert asker.statuses == [PENDING] * INSTANCES + [statuses.SUCCESS]
    assert asker.counts == [(2, 1, 0), (1, 2, 0), (0, 3, 0), (None, 3, 0)]
    assert asker.came == [one.instance for one in held]


async def test_a_study_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    async with archived(tmp_path) as (writer, _):
        asker = Asker(writer.port)
        await ask(asker, "1.2.3")

    assert asker.statuses == [statuses.SUCCESS]
    assert asker.counts == [(None, 0, 0)]


async def test_what_is_refused_or_unreadable_is_listed_and_the_rest_comes(tmp_path: Path) -> None:
    async with archived(tmp_path) as (writer, _):
        first, second, third = writer.held()
        second.path.unlink()

        def refusing_the_third(event: Any) -> int:
            is_third = event.request.AffectedSOPInstanceUID == third.instance
            return statuses.OUT_OF_RESOURCES if is_third else statuses.SUCCESS

        asker = Asker(writer.port, refusing_the_third)
        await ask(asker, first.study)

    assert asker.statuses[-1] == SOME_FAILED
    assert asker.counts[-1] == (None, 1, 2)
    assert asker.failed == sorted([second.instance, third.instance])
    assert asker.came == [first.instance, third.instance]


async def test_who_did_not_negotiate_to_be_scp_is_sent_nothing(tmp_path: Path) -> None:
    async with archived(tmp_path) as (writer, _):
        held = writer.held()
        asker = Asker(writer.port, is_scp=False)
        await ask(asker, held[0].study)

    assert asker.statuses[-1] == UNABLE
    assert asker.failed == sorted(one.instance for one in held)
    assert asker.came == []


async def test_a_cancellation_ends_it_after_the_instance_at_hand(tmp_path: Path) -> None:
    def cancelling(event: Any) -> int:
        event.assoc.send_c_cancel(1, query_model=GET)
        return statuses.SUCCESS

    async with archived(tmp_path) as (writer, _):
        asker = Asker(writer.port, cancelling)
        await ask(asker, writer.held()[0].study)

    assert asker.statuses == [PENDING, CANCELLED]
    assert asker.counts[-1] == (INSTANCES - 1, 1, 0)


async def test_who_leaves_in_the_middle_leaves_nothing_open(tmp_path: Path) -> None:
    def leaving(event: Any) -> int:
        event.assoc.abort()
        return statuses.SUCCESS

    async with archived(tmp_path) as (writer, _):
        study = writer.held()[0].study
        for _ in range(3):
            # once it has left, it waits for what cannot come any more
            await ask(Asker(writer.port, leaving, patience_s=0.5), study)
        asker = Asker(writer.port)
        await ask(asker, study)

        assert asker.statuses[-1] == statuses.SUCCESS
        assert open_attachments(root_of(writer.archive)) == []
