"""Each completion policy with a real router, real senders and real writers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from pydicom import dcmread

from router.completion.declaring import BY_REQUEST
from router.dicom import uids
from router.dicom.negotiation import propose
from router.modality.media import find_below
from router.modality.sender import FileSource
from router.net.requestor import associate
from tests.corpus import make_ct_series, make_study
from tests.interop.conftest import LiveRouter, live_router
from tests.peers import StoreSCP, storescp

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
CONTEXTS = [
    (sop_class, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    for sop_class in (MR_IMAGE_STORAGE, CT_IMAGE_STORAGE)
]

OVER = ("settled", "reclaimed")

Sending = Callable[[Sequence[Path]], Awaitable[None]]


@asynccontextmanager
async def modality(router: LiveRouter, calling: str = "MR1") -> AsyncIterator[Sending]:
    """An association of a modality, as long as the block runs; what it is given it sends."""
    async with associate(
        "127.0.0.1", router.port, calling, "ROUTER", contexts=propose(CONTEXTS)
    ) as association:

        async def send(paths: Sequence[Path]) -> None:
            for file in (one.file for one in find_below(paths) if one.file is not None):
                with closing(FileSource(file)) as source:
                    answer = await association.store(
                        file.sop_class_uid,
                        file.sop_instance_uid,
                        file.transfer_syntax_uid,
                        source,
                    )
                    assert answer.status == 0

        yield send


def study_of(paths: Sequence[Path]) -> str:
    """The Study Instance UID of files."""
    return str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)


async def until(
    router: LiveRouter, study: str, *states: str, instances: int = 0, revisions: int = 1
) -> Any:
    """The study, as soon as its latest revision is in one of these states and it has so much."""
    return await router.until(
        f"the study is {' or '.join(states)}, of {instances} instances in {revisions} revisions",
        lambda answer: (
            answer.get("state") in states
            and answer["instances"] >= instances
            and len(answer["revisions"]) == revisions
        ),
        f"/studies/{study}",
    )


async def complete(router: LiveRouter, study: str) -> None:
    """What a person says."""
    async with router.session.post(f"/studies/{study}/complete") as answer:
        assert answer.status == 200, await answer.text()


def completed_by(study: Any) -> list[str]:
    """What completed each revision."""
    return [revision["completed_by"] for revision in study["revisions"]]


def candidate(writer: StoreSCP) -> str:
    """A writer that gets everything."""
    return f"{{BACKUP: {{host: 127.0.0.1, port: {writer.port}}}}}"


# -- max_wait --------------------------------------------------------------------------------------


async def test_max_wait_delivers_what_is_there(data_folder: Path, tmp_path: Path) -> None:
    paths = make_study(tmp_path / "mr", T1=3)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 1s}"
    with storescp(tmp_path / "writer") as writer:
        async with (
            live_router(data_folder, candidate(writer), completion=policy) as router,
            modality(router) as send,
        ):
            await send(paths)
            study = await until(router, study_of(paths), *OVER)
        assert len(writer.data_sets()) == 3
    why = study["revisions"][0]["completed_by"]
    assert why == "not complete within 1 s of its first instance"


async def test_max_wait_holds_a_study_over_a_restart_until_a_person_completes_it(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=4)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 1s, on_max_wait: hold}"
    with storescp(tmp_path / "writer") as writer:
        async with (
            live_router(data_folder, candidate(writer), completion=policy) as router,
            modality(router) as send,
        ):
            await send(paths[:1])
            await until(router, study_of(paths), "held")
        async with live_router(data_folder, candidate(writer), completion=policy) as router:
            async with modality(router) as send:
                await send(paths[1:])
            await until(router, study_of(paths), "held", instances=4)
            assert writer.data_sets() == {}
            await complete(router, study_of(paths))
            study = await until(router, study_of(paths), *OVER)
        assert len(writer.data_sets()) == 4
    assert [revision["completed_by"] for revision in study["revisions"]] == [BY_REQUEST]


async def test_max_wait_discards_a_study_and_its_bytes_but_not_its_record(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 1s, on_max_wait: discard}"
    with storescp(tmp_path / "writer") as writer:
        async with (
            live_router(
                data_folder, candidate(writer), "retention: {retain_for: 0s}", completion=policy
            ) as router,
            modality(router) as send,
        ):
            await send(paths)
            study = await until(router, study_of(paths), "discarded")
            await router.until(
                "its bytes are reclaimed",
                lambda answer: answer["revisions"][0]["reclaimed_at"] is not None,
                f"/studies/{study['study_instance_uid']}",
            )
            study = await until(router, study_of(paths), "discarded")
        assert writer.data_sets() == {}
    (revision,) = study["revisions"]
    assert revision["completed_by"] == "not complete within 1 s of its first instance"
    assert revision["deliveries"] == []


# -- quiet, stable, explicit -----------------------------------------------------------------------


async def test_quiet_after_completes_a_study_when_its_association_was_released(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h}"
    with storescp(tmp_path / "writer") as writer:
        async with live_router(data_folder, candidate(writer), completion=policy) as router:
            async with modality(router) as send:
                await send(paths)
            study = await until(router, study_of(paths), *OVER)
        assert len(writer.data_sets()) == 2
    assert completed_by(study) == ["all associations released, quiet for 0.3 s"]


async def test_stable_after_completes_a_study_whose_association_stays_open(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1s}"
    with storescp(tmp_path / "writer") as writer:
        async with (
            live_router(data_folder, candidate(writer), completion=policy) as router,
            modality(router) as send,
        ):
            await send(paths)
            study = await until(router, study_of(paths), *OVER)
        assert len(writer.data_sets()) == 2
    assert completed_by(study) == ["no instance for 1 s"]


async def test_an_explicit_rule_waits_for_a_person(data_folder: Path, tmp_path: Path) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = """
  quiet_after: 100ms
  stable_after: 1h
  rules: [{source: MR1, explicit: true}]
"""
    with storescp(tmp_path / "writer") as writer:
        async with live_router(data_folder, candidate(writer), completion=policy) as router:
            async with modality(router, "MR1") as send:
                await send(paths)
            other = make_study(tmp_path / "other", T1=1)["T1"]
            async with modality(router, "CT1") as send:
                await send(other)
            await until(router, study_of(other), *OVER)
            await until(router, study_of(paths), "open")
            await complete(router, study_of(paths))
            study = await until(router, study_of(paths), *OVER)
        assert len(writer.data_sets()) == 3
    assert completed_by(study) == [BY_REQUEST]


# -- named series ----------------------------------------------------------------------------------


async def test_a_study_waits_for_its_named_series(data_folder: Path, tmp_path: Path) -> None:
    series = make_study(tmp_path / "mr", Localizer=1, AXIAL_T2_FLAIR=3, sag_t1_tse=3)
    policy = """
  quiet_after: 300ms
  stable_after: 1h
  rules:
    - criteria: MODALITY|EQUAL|MR
      series: "'Axial T2' and ('Sag T1 GRE' or 'Sag T1 TSE')"
"""
    with storescp(tmp_path / "writer") as writer:
        async with live_router(data_folder, candidate(writer), completion=policy) as router:
            for name in ("Localizer", "AXIAL_T2_FLAIR"):
                async with modality(router) as send:
                    await send(series[name])
            other = make_ct_series(tmp_path / "ct", 1, 16, 16)
            async with modality(router) as send:
                await send(other)
            await until(router, study_of(other), *OVER)
            mr = study_of(series["Localizer"])
            await until(router, mr, "open", instances=4)
            async with modality(router) as send:
                await send(series["sag_t1_tse"])
            study = await until(router, mr, *OVER)
        assert len(writer.data_sets()) == 8
    assert completed_by(study) == [
        "the named series have arrived, all associations released, quiet for 0.3 s"
    ]


# -- late instances --------------------------------------------------------------------------------


async def test_late_instances_open_a_revision_that_reaches_the_same_candidates(
    data_folder: Path, tmp_path: Path
) -> None:
    series = make_study(tmp_path / "mr", T1=2, late_report=1)
    policy = "{quiet_after: 300ms, stable_after: 1h}"
    with storescp(tmp_path / "mr-writer") as chosen, storescp(tmp_path / "other") as other:
        candidates = (
            f"{{MR: {{host: 127.0.0.1, port: {chosen.port}, criteria: MODALITY|EQUAL|MR}},"
            f" XR: {{host: 127.0.0.1, port: {other.port}, criteria: MODALITY|EQUAL|DX}}}}"
        )
        async with live_router(data_folder, candidates, completion=policy) as router:
            for number, paths in enumerate(series.values(), start=1):
                async with modality(router) as send:
                    await send(paths)
                study = await until(router, study_of(paths), *OVER, revisions=number)
        assert len(chosen.data_sets()) == 3
        assert other.data_sets() == {}
    assert [revision["instances"] for revision in study["revisions"]] == [2, 1]
    assert [
        [delivery["ae_title"] for delivery in revision["deliveries"]]
        for revision in study["revisions"]
    ] == [["MR"], ["MR"]]
