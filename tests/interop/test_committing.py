"""The router asks candidates for storage commitment: pynetdicom and Orthanc do the answering."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from tests.corpus import make_ct_series
from tests.e2e.stack import free_port
from tests.interop.conftest import dcmsend, live_router, pynetdicom_scp
from tests.interop.test_commitment import COMMITMENT, CT, INSTANCE, uids_of
from tests.peers import orthanc


class Archive:
    """A candidate that stores, and reports on the association that it is asked on."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.asked: list[list[str]] = []
        self.loses: dict[str, int] = {}
        """Failure reasons by SOP Instance UID, the first time that it is asked."""

    def _store(self, event: Any) -> int:
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def _asked(self, event: Any) -> tuple[int, None]:
        threading.Thread(target=self._report, args=(event.assoc, event.action_information)).start()
        return 0x0000, None

    def _report(self, association: Any, request: Dataset) -> None:
        items = list(request.ReferencedSOPSequence)
        self.asked.append([str(item.ReferencedSOPInstanceUID) for item in items])
        lost, self.loses = self.loses, {}
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        report.ReferencedSOPSequence = [
            item for item in items if item.ReferencedSOPInstanceUID not in lost
        ]
        report.FailedSOPSequence = [item for item in items if item.ReferencedSOPInstanceUID in lost]
        for item in report.FailedSOPSequence:
            item.FailureReason = lost[item.ReferencedSOPInstanceUID]
        association.send_n_event_report(report, 2 if lost else 1, COMMITMENT, INSTANCE)

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Serve, on a port of its own."""
        ae = AE("ARCHIVE")
        ae.add_supported_context(CT)
        ae.add_supported_context(COMMITMENT)
        handlers = {evt.EVT_C_STORE: self._store, evt.EVT_N_ACTION: self._asked}
        with pynetdicom_scp(ae, handlers) as port:
            yield port


def committing(port: int) -> str:
    return f"{{ARCHIVE: {{host: 127.0.0.1, port: {port}, commitment: true}}}}"


async def test_a_study_is_delivered_when_the_archive_reports_on_the_same_association(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)
    archive = Archive()
    with archive.listening() as port:
        async with live_router(data_folder, committing(port)) as router:
            await dcmsend(router, tmp_path / "ct")
            await router.settled(studies=1)

    assert [sorted(asked) for asked in archive.asked] == [sorted(uids_of(paths))]


async def test_what_the_archive_has_lost_is_sent_again(data_folder: Path, tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)
    archive = Archive()
    lost = uids_of(paths)[1]
    archive.loses = {lost: 0x0112}
    with archive.listening() as port:
        async with live_router(data_folder, committing(port)) as router:
            await dcmsend(router, tmp_path / "ct")
            await router.settled(studies=1)
            answer = await router.get("/deliveries")
            detail = await router.get(f"/deliveries/{answer['deliveries'][0]['id']}")

    assert archive.stored.count(lost) == 2
    assert len(archive.stored) == 4
    assert len(archive.asked) == 2
    outcomes = [attempt["outcome"] for attempt in detail["attempts"]]
    assert outcomes == ["committing", "retrying", "committing", "delivered"]


async def test_an_archive_that_offers_no_commitment_holds_the_study_visibly(
    data_folder: Path, tmp_path: Path
) -> None:
    make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    ae = AE("ARCHIVE")
    ae.add_supported_context(CT)
    with pynetdicom_scp(ae, {evt.EVT_C_STORE: lambda _: 0x0000}) as port:
        async with live_router(data_folder, committing(port)) as router:
            await dcmsend(router, tmp_path / "ct")
            answer = await router.until(
                "the request was in vain",
                lambda answer: any(
                    "does not accept" in one["reason"] for one in answer["deliveries"]
                ),
                "/deliveries?state=committing",
            )

    assert "nothing is committed yet" in answer["deliveries"][0]["reason"]


async def test_orthanc_reports_on_an_association_of_its_own(
    data_folder: Path, tmp_path: Path
) -> None:
    make_ct_series(tmp_path / "ct", instances=3, rows=16, columns=16)
    router_port, archive_port = free_port(), free_port()
    modalities = {"router": ["ROUTER", "127.0.0.1", router_port]}
    folder = tmp_path / "orthanc"
    with orthanc(folder, "ARCHIVE", port=archive_port, DicomModalities=modalities) as peer:
        async with live_router(
            data_folder, committing(archive_port), port=str(router_port)
        ) as router:
            await dcmsend(router, tmp_path / "ct")
            await router.settled(studies=1)
            answer = await router.get("/deliveries")
            detail = await router.get(f"/deliveries/{answer['deliveries'][0]['id']}")

        assert len(peer.instances()) == 3
    assert [attempt["outcome"] for attempt in detail["attempts"]] == ["committing", "delivered"]
