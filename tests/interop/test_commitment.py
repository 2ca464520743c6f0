"""Modalities ask whether their instances are safe: pynetdicom and Orthanc do the asking."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from tests.corpus import make_ct_series
from tests.e2e.stack import free_port, wait_until
from tests.interop.conftest import live_router, pynetdicom_scp, run_blocking
from tests.peers import orthanc, storescp

COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
PATIENCE_S = 30


class Modality:
    """An AE that stores, asks for storage commitment, and takes reports."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reports: queue.Queue[tuple[int, Dataset]] = queue.Queue()

    def _reported(self, event: Any) -> tuple[int, None]:
        self.reports.put((event.event_type, event.event_information))
        return 0x0000, None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take reports on new associations, too."""
        ae = AE("MODALITY")
        ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
        with pynetdicom_scp(ae, {evt.EVT_N_EVENT_REPORT: self._reported}, self.port):
            yield

    def ask(
        self, router: int, paths: Sequence[Path], references: Sequence[str], *, stay: bool
    ) -> tuple[int, str]:
        """Store, then ask on the same association; the N-ACTION status and transaction UID."""
        ae = AE("MODALITY")
        ae.add_requested_context(CT, "1.2.840.10008.1.2.1")
        ae.add_requested_context(COMMITMENT)
        association = ae.associate(
            "127.0.0.1",
            router,
            ae_title="ROUTER",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._reported)],
        )
        assert association.is_established
        assert [association.send_c_store(path).Status for path in paths] == [0] * len(paths)
        request = Dataset()
        request.TransactionUID = generate_uid()
        request.ReferencedSOPSequence = [_reference(uid) for uid in references]
        status, _ = association.send_n_action(request, 1, COMMITMENT, INSTANCE)
        if stay:
            wait_until(lambda: not self.reports.empty(), "the report has come")
        association.release()
        return status.Status, request.TransactionUID

    def report(self) -> tuple[int, Dataset]:
        """The next report: its event type and what it says."""
        return self.reports.get(timeout=PATIENCE_S)


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
    return item


def uids_of(paths: Sequence[Path]) -> list[str]:
    return [str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths]


def uids_in(items: Any) -> list[str]:
    return sorted(item.ReferencedSOPInstanceUID for item in items)


def settings(writer: int, modality: int, more: str = "") -> dict[str, str]:
    return {
        "candidates": f"{{BACKUP: {{host: 127.0.0.1, port: {writer}}}}}",
        "more": f"commitment: {{report_to: {{MODALITY: '127.0.0.1:{modality}'}}{more}}}\n",
    }


async def test_a_modality_that_stays_gets_the_report_on_its_association(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)
    modality = Modality(free_port())
    with storescp(tmp_path / "writer") as writer:
        async with live_router(data_folder, **settings(writer.port, modality.port)) as router:
            ask = partial(modality.ask, router.port, paths, uids_of(paths), stay=True)
            status, transaction = await run_blocking(ask)
            kind, said = modality.report()

        assert (status, kind) == (0x0000, 1)
        assert said.TransactionUID == transaction
        assert uids_in(said.ReferencedSOPSequence) == sorted(uids_of(paths))
        assert len(writer.data_sets()) == 3


async def test_a_modality_that_has_left_is_called_until_it_takes_the_report(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    modality = Modality(free_port())
    with storescp(tmp_path / "writer") as writer:
        async with live_router(data_folder, **settings(writer.port, modality.port)) as router:
            ask = partial(modality.ask, router.port, paths, uids_of(paths), stay=False)
            await run_blocking(ask)
            await router.settled(studies=1)  # the first calls are in vain: nobody listens yet
            with modality.listening():
                kind, said = await run_blocking(modality.report)

    assert kind == 1
    assert uids_in(said.ReferencedSOPSequence) == sorted(uids_of(paths))


async def test_what_was_never_sent_is_reported_as_no_such_instance(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    modality = Modality(free_port())
    unknown = generate_uid()
    with storescp(tmp_path / "writer") as writer:
        async with live_router(data_folder, **settings(writer.port, modality.port)) as router:
            references = [*uids_of(paths), unknown]
            await run_blocking(partial(modality.ask, router.port, paths, references, stay=True))
            kind, said = modality.report()

    assert kind == 2
    assert uids_in(said.ReferencedSOPSequence) == sorted(uids_of(paths))
    [failed] = said.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (unknown, 0x0112)


async def test_nothing_is_committed_before_every_required_candidate_holds_it(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    modality, away = Modality(free_port()), free_port()
    async with live_router(data_folder, **settings(away, modality.port)) as router:
        with modality.listening():
            ask = partial(modality.ask, router.port, paths, uids_of(paths), stay=False)
            await run_blocking(ask)
            await router.until(
                "the delivery was tried in vain",
                lambda answer: any(one["state"] == "retrying" for one in answer["deliveries"]),
                "/deliveries",
            )
            assert modality.reports.empty()
            with storescp(tmp_path / "writer", port=away):
                kind, said = await run_blocking(modality.report)

    assert kind == 1
    assert uids_in(said.ReferencedSOPSequence) == sorted(uids_of(paths))


async def test_with_spooled_the_router_itself_answers_for_the_instances(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    modality, nobody = Modality(free_port()), free_port()
    options = settings(nobody, modality.port, ", committed_when: spooled")
    async with live_router(data_folder, **options) as router:
        ask = partial(modality.ask, router.port, paths, uids_of(paths), stay=True)
        await run_blocking(ask)
        kind, _ = modality.report()

    assert kind == 1


async def test_a_request_that_lists_the_whole_study_completes_it_at_once(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    modality, nobody = Modality(free_port()), free_port()
    async with live_router(data_folder, **settings(nobody, modality.port)) as router:
        ask = partial(modality.ask, router.port, paths, uids_of(paths), stay=False)
        await run_blocking(ask)
        answer = await router.until(
            "the study is routed",
            lambda answer: any(one["state"] == "routed" for one in answer["studies"]),
            "/studies",
        )
        uid = answer["studies"][0]["study_instance_uid"]
        study = await router.get(f"/studies/{uid}")

    assert "storage commitment" in study["revisions"][0]["completed_by"]


def ask_for_nothing_sensible(router: int) -> list[int]:
    """Ask, where text stands in the place of the list; the statuses of N-ACTION and of C-ECHO."""
    ae = AE("MODALITY")
    ae.add_requested_context(COMMITMENT, "1.2.840.10008.1.2.1")
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate("127.0.0.1", router, ae_title="ROUTER")
    request = Dataset()
    request.TransactionUID = generate_uid()
    request.add_new("ReferencedSOPSequence", "LO", "everything")
    answer, _ = association.send_n_action(request, 1, COMMITMENT, INSTANCE)
    echo = association.send_c_echo()
    association.release()
    return [answer.Status, echo.Status]


async def test_a_request_that_makes_no_sense_is_refused_and_ends_nothing(
    data_folder: Path,
) -> None:
    async with live_router(data_folder, **settings(free_port(), free_port())) as router:
        answers = await run_blocking(partial(ask_for_nothing_sensible, router.port))

    assert answers == [0x0115, 0x0000]


async def test_orthanc_asks_and_is_called_back(data_folder: Path, tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=3, rows=16, columns=16)
    port = free_port()
    with storescp(tmp_path / "writer") as writer:
        candidate = f"{{BACKUP: {{host: 127.0.0.1, port: {writer.port}}}}}"
        more = f"commitment: {{report_to: {{ORTHANC: '127.0.0.1:{port}'}}}}\n"
        async with live_router(data_folder, candidate, more) as router:
            modalities = {"router": ["ROUTER", "127.0.0.1", router.port]}
            with orthanc(tmp_path / "orthanc", port=port, DicomModalities=modalities) as peer:

                def ask() -> Any:
                    for path in paths:
                        peer.post("/instances", path.read_bytes())
                    names = peer.instances()
                    peer.post("/modalities/router/store", json.dumps(names).encode())
                    body = json.dumps({"Resources": names}).encode()
                    request = peer.post("/modalities/router/storage-commitment", body)
                    path = request["Path"]
                    wait_until(
                        lambda: peer.get(path)["Status"] != "Pending", "Orthanc has the report"
                    )
                    return peer.get(path)

                report = await run_blocking(ask)

    assert report["Status"] == "Success"
    assert len(report["Success"]) == 3
