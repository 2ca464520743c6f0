"""Each completion policy with a real router, real senders and real writers."""

from __future__ import annotations

from pathlib import Path

from router.completion.declaring import BY_REQUEST
from tests.corpus import make_ct_series, make_study
from tests.interop.completing import OVER, complete, completed_by, modality, study_of, until
from tests.interop.conftest import RouterWith, live_router
from tests.peers import StoreSCP, storescp

# -- max_wait --------------------------------------------------------------------------------------


async def test_max_wait_delivers_what_is_there(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=3)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 2s}"
    async with (
        router_with(policy) as router,
        modality(router) as send,
    ):
        await send(paths)
        study = await until(router, study_of(paths), *OVER)
    assert len(writer.data_sets()) == 3
    why = study["revisions"][0]["completed_by"]
    assert why == "not complete within 2 s of its first instance"


async def test_max_wait_holds_a_study_over_a_restart_until_a_person_completes_it(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=4)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 1s, on_max_wait: hold}"
    async with (
        router_with(policy) as router,
        modality(router) as send,
    ):
        await send(paths[:1])
        await until(router, study_of(paths), "held")
    async with router_with(policy) as router:
        async with modality(router) as send:
            await send(paths[1:])
        await until(router, study_of(paths), "held", instances=4)
        assert writer.data_sets() == {}
        await complete(router, study_of(paths))
        study = await until(router, study_of(paths), *OVER)
    assert len(writer.data_sets()) == 4
    assert [revision["completed_by"] for revision in study["revisions"]] == [BY_REQUEST]


async def test_max_wait_discards_a_study_and_its_bytes_but_not_its_record(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h, max_wait: 2s, on_max_wait: discard}"
    async with (
        router_with(policy, "retention: {retain_for: 0s}") as router,
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
    assert revision["completed_by"] == "not complete within 2 s of its first instance"
    assert revision["deliveries"] == []


# -- quiet, stable, explicit -----------------------------------------------------------------------


async def test_quiet_after_completes_a_study_when_its_association_was_released(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1h}"
    async with router_with(policy) as router:
        async with modality(router) as send:
            await send(paths)
        study = await until(router, study_of(paths), *OVER)
    assert len(writer.data_sets()) == 2
    assert completed_by(study) == ["all associations released, quiet for 0.3 s"]


async def test_stable_after_completes_a_study_whose_association_stays_open(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = "{quiet_after: 300ms, stable_after: 1s}"
    async with (
        router_with(policy) as router,
        modality(router) as send,
    ):
        await send(paths)
        study = await until(router, study_of(paths), *OVER)
    assert len(writer.data_sets()) == 2
    assert completed_by(study) == ["no instance for 1 s"]


async def test_an_explicit_rule_waits_for_a_person(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "mr", T1=2)["T1"]
    policy = """
  quiet_after: 100ms
  stable_after: 1h
  rules: [{source: MR1, explicit: true}]
"""
    async with router_with(policy) as router:
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


async def test_a_study_waits_for_its_named_series(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    series = make_study(tmp_path / "mr", Localizer=1, AXIAL_T2_FLAIR=3, sag_t1_tse=3)
    policy = """
  quiet_after: 300ms
  stable_after: 1h
  rules:
    - criteria: MODALITY|EQUAL|MR
      series: "'Axial T2' and ('Sag T1 GRE' or 'Sag T1 TSE')"
"""
    async with router_with(policy) as router:
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
