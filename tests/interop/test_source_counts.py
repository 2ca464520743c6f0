"""PACS of others say how many instances a study has."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from router.domain.errors import AssociationLost, ContextNotAccepted, PeerTimeout, QueryFailed
from router.net.counting import count_instances
from router.net.exchange import RequestorTimeouts
from tests.corpus import make_study
from tests.e2e.stack import free_port
from tests.interop.completing import OVER, completed_by, modality, study_of, until
from tests.interop.conftest import RouterWith, pynetdicom_scp, run_blocking
from tests.peers import StoreSCP, dcmqrscp, dcmtk, orthanc, storescp

QUICK = RequestorTimeouts(connect_s=2.0, association_s=2.0, response_s=1.0)
UNKNOWN = "1.2.3.4.5.6"


async def count(port: int, ae_title: str, study: str) -> int:
    return await count_instances("127.0.0.1", port, ae_title, "ROUTER", study, QUICK)


async def test_orthanc_counts_the_instances_of_a_study(tmp_path: Path) -> None:
    series = make_study(tmp_path / "mr", T1=3, T2=4)
    paths = [*series["T1"], *series["T2"]]
    with orthanc(tmp_path / "orthanc", DicomAlwaysAllowFind=True) as pacs:
        for path in paths:
            await run_blocking(pacs.post, "/instances", path.read_bytes())
        assert await count(pacs.port, "ORTHANC", study_of(paths)) == 7
        assert await count(pacs.port, "ORTHANC", UNKNOWN) == 0


async def test_an_archive_without_counts_is_asked_for_its_instances(tmp_path: Path) -> None:
    series = make_study(tmp_path / "mr", T1=3, T2=4)
    paths = [*series["T1"], *series["T2"]]
    with dcmqrscp(tmp_path / "archive") as pacs:
        send = ("dcmsend", "-aec", "DCMQRSCP", "127.0.0.1", str(pacs.port), *map(str, paths))
        await run_blocking(lambda: dcmtk(*send))
        assert await count(pacs.port, "DCMQRSCP", study_of(paths)) == 7
        assert await count(pacs.port, "DCMQRSCP", UNKNOWN) == 0


Answers = Callable[[Dataset], Iterator[tuple[int, Dataset | None]]]


@contextmanager
def pynetdicom_pacs(answers: Answers, syntaxes: Sequence[str] = ()) -> Iterator[int]:
    """A C-FIND SCP that answers as told; its port."""
    entity = AE("PACS")
    entity.add_supported_context(Verification)
    context = StudyRootQueryRetrieveInformationModelFind
    entity.add_supported_context(context, list(syntaxes or DEFAULT_TRANSFER_SYNTAXES))

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield from answers(event.identifier)

    with pynetdicom_scp(entity, {evt.EVT_C_FIND: find}) as port:
        yield port


def match(identifier: Dataset, **values: Any) -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel = identifier.QueryRetrieveLevel
    answer.StudyInstanceUID = identifier.StudyInstanceUID
    for name, value in values.items():
        setattr(answer, name, value)
    return answer


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
async def test_the_identifier_is_encoded_in_the_syntax_that_the_peer_accepts(syntax: str) -> None:
    def answers(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, match(identifier, NumberOfStudyRelatedInstances=321)

    with pynetdicom_pacs(answers, [syntax]) as port:
        assert await count(port, "PACS", UNKNOWN) == 321


async def test_counts_per_series_are_added_up_where_there_is_none_per_study() -> None:
    def answers(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        if identifier.QueryRetrieveLevel == "STUDY":
            yield 0xFF00, match(identifier)
            return
        for number in (1, 2):
            counts = {"NumberOfSeriesRelatedInstances": 10 * number}
            yield 0xFF01, match(identifier, SeriesInstanceUID=f"1.2.{number}", **counts)

    with pynetdicom_pacs(answers) as port:
        assert await count(port, "PACS", UNKNOWN) == 30


async def test_answers_about_other_studies_are_passed_over() -> None:
    def answers(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        for study, number in (("9.9.9", 5), (UNKNOWN, 8)):
            answer = match(identifier, NumberOfStudyRelatedInstances=number)
            answer.StudyInstanceUID = study
            yield 0xFF00, answer

    with pynetdicom_pacs(answers) as port:
        assert await count(port, "PACS", UNKNOWN) == 8


@pytest.mark.parametrize("status", [0xA700, 0xC000, 0x0122])
async def test_a_failure_is_no_count(status: int) -> None:
    def answers(_identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        yield status, None

    with pynetdicom_pacs(answers) as port, pytest.raises(QueryFailed, match=f"{status:04X}"):
        await count(port, "PACS", UNKNOWN)


async def test_a_peer_that_does_not_count_at_all_says_so() -> None:
    def answers(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, match(identifier)  # a series, too, without its UID

    with pynetdicom_pacs(answers) as port, pytest.raises(QueryFailed, match="neither per study"):
        await count(port, "PACS", UNKNOWN)


async def test_a_peer_without_query_is_no_source_of_counts(tmp_path: Path) -> None:
    with storescp(tmp_path / "writer") as peer, pytest.raises(ContextNotAccepted):
        await count(peer.port, "ANY", UNKNOWN)


async def test_nobody_there_is_no_source_of_counts() -> None:
    with pytest.raises(AssociationLost, match="no connection"):
        await count(free_port(), "PACS", UNKNOWN)


async def test_a_peer_that_is_silent_is_not_waited_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PeerTimeout):
        await count(server.getsockname()[1], "PACS", UNKNOWN)


# -- the whole router ------------------------------------------------------------------------------


async def test_a_study_waits_until_all_that_its_pacs_has_is_there(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    """Orthanc sends one series, and later the other one; quiet says twice that it is complete."""
    series = make_study(tmp_path / "mr", T1=3, T2=4)
    pacs_port = free_port()
    policy = f"""
  quiet_after: 300ms
  stable_after: 1h
  sources: {{ORTHANC: {{host: 127.0.0.1, port: {pacs_port}, ae_title: ORTHANC}}}}
"""
    async with router_with(policy) as router:
        modalities = {"router": ["ROUTER", "127.0.0.1", router.port]}
        with orthanc(
            tmp_path / "orthanc",
            port=pacs_port,
            DicomModalities=modalities,
            DicomAlwaysAllowFind=True,
        ) as pacs:

            def keep(paths: Sequence[Path]) -> list[str]:
                return [pacs.post("/instances", path.read_bytes())["ID"] for path in paths]

            def send(names: Sequence[str]) -> None:
                pacs.post("/modalities/router/store", json.dumps(names).encode())

            first = await run_blocking(keep, series["T1"])
            second = await run_blocking(keep, series["T2"])
            await run_blocking(send, first)
            whole = study_of(series["T1"])
            await until(router, whole, "open", instances=3)
            other = make_study(tmp_path / "other", T1=1)["T1"]
            async with modality(router, "MR1") as another:  # whose studies nobody counts
                await another(other)
            await until(router, study_of(other), *OVER)
            await until(router, whole, "open", instances=3)
            await run_blocking(send, second)
            study = await until(router, whole, *OVER)
    assert len(writer.data_sets()) == 8
    assert completed_by(study) == ["the source counts as many instances as have arrived"]


async def test_a_pacs_that_does_not_answer_leaves_its_studies_to_the_timers(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = f"""
  quiet_after: 300ms
  stable_after: 1h
  sources: {{MR1: {{host: 127.0.0.1, port: {free_port()}, ae_title: PACS}}}}
"""
    async with router_with(policy) as router:
        async with modality(router, "MR1") as send:
            await send(paths)
        study = await until(router, study_of(paths), *OVER)
    assert len(writer.data_sets()) == 2
    assert completed_by(study) == ["all associations released, quiet for 0.3 s"]
