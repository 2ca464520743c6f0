"""``dicom-router explain``: what would become of files, and why."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from router.admin.models.candidates import CandidateAnswer, Candidates
from router.domain.candidate import Candidate, CandidateState, Level, Origin
from router.domain.criteria import parse_criteria
from router.http.server import HttpServer, serve_http
from tests.cli.command import Ran, dicom_router
from tests.corpus import make_ct_series, make_deep_nesting, make_dx, real_files

DEFLATED = "1.2.840.10008.1.2.1.99"
YAML = """\
discard: [MODALITY|IS_NULL]
candidates:
  BACKUP: {host: backup-writer, port: 4242}
  XRAY: {host: xray-writer, port: 4242, criteria: "MODALITY|IN|CR,DX"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path, YAML)


def configured(folder: Path, text: str) -> Path:
    path = folder / "router.yaml"
    path.write_text(text)
    return path


def choices(ran: Ran) -> dict[str, bool]:
    """Who gets the only study."""
    [study] = ran.json["studies"]
    return {choice["ae_title"]: choice["matched"] for choice in study["choices"]}


async def test_who_gets_a_study_is_said_with_reasons(config: Path, tmp_path: Path) -> None:
    path = make_dx(tmp_path / "dx", 8, 8)

    ran = await dicom_router("explain", "--config", config, path)

    assert ran.status == 0
    assert "Modality: DX" in ran.out
    assert "accepted" in ran.out
    assert "no criteria: it receives every study" in ran.out
    assert "Modality is {DX}; IN CR,DX: yes" in ran.out


async def test_the_same_can_be_had_as_json(config: Path, tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)

    ran = await dicom_router("explain", "--json", "--config", config, *paths)

    assert ran.status == 0
    [first, _] = ran.json["files"]
    assert first["file"] == str(paths[0])
    assert first["facts"] == {"Modality": ["CT"]}
    assert (first["disposition"], first["status"], first["reason"]) == ("accepted", "0000", "")
    [study] = ran.json["studies"]
    assert study["study_instance_uid"] == first["study_instance_uid"]
    assert study["choices"] == [
        {
            "ae_title": "BACKUP",
            "matched": True,
            "reason": "no criteria: it receives every study",
            "required": True,
            "files": [str(path) for path in paths],
        },
        {
            "ae_title": "XRAY",
            "matched": False,
            "reason": "Modality is {CT}; IN CR,DX: no",
            "required": True,
            "files": [],
        },
    ]


async def test_files_of_one_study_are_judged_together_and_studies_apart(
    config: Path, tmp_path: Path
) -> None:
    ct = make_ct_series(tmp_path / "ct", instances=2, rows=8, columns=8)
    dx = make_dx(tmp_path / "dx", 8, 8)

    ran = await dicom_router("explain", "--json", "--config", config, *ct, dx)

    matched = [[choice["matched"] for choice in study["choices"]] for study in ran.json["studies"]]
    assert matched == [[True, False], [True, True]]


async def test_a_discarded_file_is_delivered_to_nobody(config: Path, tmp_path: Path) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8, modality="")

    ran = await dicom_router("explain", "--json", "--config", config, path)

    [file] = ran.json["files"]
    assert (file["disposition"], file["status"]) == ("discarded", "0000")
    assert file["reason"] == "discard filter: Modality has no value; IS_NULL: yes"
    assert ran.json["studies"] == []


async def test_the_status_of_a_discarded_file_is_the_one_that_is_configured(tmp_path: Path) -> None:
    config = configured(tmp_path, "router: {on_discard: refuse}\ndiscard: [MODALITY|EQUAL|CT]\n")
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)

    ran = await dicom_router("explain", "--config", config, path)

    assert "answer: not authorised (0124)" in ran.out


async def test_a_file_that_would_crash_its_receivers_is_quarantined(
    config: Path, tmp_path: Path
) -> None:
    path = make_deep_nesting(tmp_path / "deep", levels=3000)

    ran = await dicom_router("explain", "--json", "--config", config, path)

    [file] = ran.json["files"]
    assert file["disposition"] == "quarantined"
    assert "(0040,0275) is nested 65 levels deep; 64 are allowed" in file["reason"]
    assert ran.json["studies"] == []


async def test_warnings_are_said_of_a_file_that_is_accepted(config: Path, tmp_path: Path) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    path.write_bytes(path.read_bytes()[:-4])

    ran = await dicom_router("explain", "--json", "--config", config, path)

    [file] = ran.json["files"]
    assert file["disposition"] == "accepted"
    assert file["warnings"] == ["cut short: the data set ends in the middle of an element"]


async def test_a_deflated_file_is_read(config: Path) -> None:
    path = next(file.path for file in real_files() if file.transfer_syntax_uid == DEFLATED)

    ran = await dicom_router("explain", "--json", "--config", config, path)

    assert ran.json["files"][0]["facts"]["Modality"] != []
    assert choices(ran)["BACKUP"] is True


async def test_the_calling_ae_title_can_be_assumed(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        "candidates: {CT1S: {host: a, port: 4242, criteria: SOURCE_AE_TITLE|EQUAL|CT1}}\n",
    )
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)

    from_ct1 = await dicom_router("explain", "--json", "-c", config, "--calling", "CT1", path)
    from_ct2 = await dicom_router("explain", "--json", "-c", config, "--calling", "CT2", path)

    assert choices(from_ct1) == {"CT1S": True}
    assert choices(from_ct2) == {"CT1S": False}


async def test_who_may_not_associate_is_told_so(tmp_path: Path) -> None:
    config = configured(tmp_path, "router: {accept_calling: [CT1]}\n")
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)

    ran = await dicom_router("explain", "--json", "-c", config, "--calling", "CT2", path)

    [file] = ran.json["files"]
    assert (file["disposition"], file["status"]) == ("refused", None)
    assert file["reason"] == "the association is rejected: router.accept_calling does not name CT2"


async def test_a_candidate_may_get_a_part(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        "candidates: {TWO: {host: a, port: 4242, level: instance,"
        " criteria: INSTANCE_NUMBER|EQUAL|2}}\n",
    )
    paths = make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)

    ran = await dicom_router("explain", "--json", "--config", config, *paths)

    [study] = ran.json["studies"]
    assert study["choices"][0]["files"] == [str(paths[1])]
    assert "1 of 3 instances, by instance" in study["choices"][0]["reason"]


async def test_a_study_that_nobody_gets_is_said_to_be_held(tmp_path: Path) -> None:
    config = configured(
        tmp_path, "candidates: {MR: {host: a, port: 4242, criteria: MODALITY|EQUAL|MR}}\n"
    )
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)

    ran = await dicom_router("explain", "--config", config, path)

    assert "No candidate matches: the router would hold the study until one does." in ran.out


async def test_a_value_does_not_steer_the_terminal(config: Path, tmp_path: Path) -> None:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8, modality="CT_CT_CT")
    path.write_bytes(path.read_bytes().replace(b"CT_CT_CT", b"\x1b[2J[/b]"))

    ran = await dicom_router("explain", "--config", config, path)

    assert "\x1b" not in ran.out
    assert r"Modality: \x1b[2J[/b]" in ran.out


async def test_a_file_that_is_none_of_dicom_fails_and_the_others_are_explained(
    config: Path, tmp_path: Path
) -> None:
    path = make_dx(tmp_path / "dx", 8, 8)

    ran = await dicom_router("explain", "--json", "--config", config, config, path)

    assert ran.status == 1
    assert f"{config}: not a DICOM file: the prefix DICM is missing" in ran.err
    assert [file["file"] for file in ran.json["files"]] == [str(path)]


async def test_a_file_whose_head_is_cut_short_fails(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes(bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2")

    ran = await dicom_router("explain", "--config", config, path)

    assert ran.status == 1
    assert "cut.dcm: the File Meta group is cut short" in ran.err


async def test_a_file_that_is_not_there_is_a_wrong_argument(config: Path) -> None:
    ran = await dicom_router("explain", "--config", config, "nothing.dcm")

    assert ran.status == 2
    assert "'nothing.dcm' does not exist" in ran.err


# -- with the candidates of a running router ------------------------------------------------------

CT_LOVER = Candidate(
    ae_title="CTS",
    host="ct-writer",
    port=4242,
    criteria=parse_criteria({"all": ["MODALITY|EQUAL|CT", {"not": "PATIENT_ID|IS_NULL"}]}),
    origin=Origin.REGISTERED,
)


@asynccontextmanager
async def running_router(*candidates: Candidate) -> AsyncIterator[HttpServer]:
    """Answers ``GET /candidates`` as a router does."""

    async def answer(request: web.Request) -> web.Response:
        answers = [CandidateAnswer.of(candidate, None) for candidate in candidates]
        text = Candidates(candidates=answers).model_dump_json()
        return web.Response(text=text, content_type="application/json")

    application = web.Application()
    application.router.add_get("/candidates", answer)
    async with serve_http(application, "127.0.0.1", 0) as server:
        yield server


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    [path] = make_ct_series(tmp_path / "ct", instances=1, rows=8, columns=8)
    return path


async def test_registered_candidates_take_part(config: Path, ct: Path) -> None:
    async with running_router(CT_LOVER) as server:
        ran = await dicom_router("explain", "--json", "-c", config, "--url", server.url, ct)

    assert choices(ran) == {"BACKUP": True, "CTS": True, "XRAY": False}
    assert ran.json["files"][0]["facts"] == {"Modality": ["CT"], "PatientID": ["T-1"]}


async def test_the_routing_yaml_outranks_what_the_router_says(tmp_path: Path, ct: Path) -> None:
    config = configured(tmp_path, "candidates: {CTS: {criteria: MODALITY|EQUAL|MR}}\n")

    async with running_router(CT_LOVER) as server:
        ran = await dicom_router("explain", "--json", "-c", config, "--url", server.url, ct)

    assert choices(ran) == {"CTS": False}


async def test_a_draining_candidate_gets_nothing(config: Path, ct: Path) -> None:
    draining = replace(CT_LOVER, state=CandidateState.DRAINING, level=Level.SERIES)
    backup = Candidate("BACKUP", "backup-writer", 4242, state=CandidateState.DRAINING)

    async with running_router(draining, backup) as server:
        ran = await dicom_router("explain", "--json", "-c", config, "--url", server.url, ct)

    assert choices(ran) == {"BACKUP": False, "CTS": False, "XRAY": False}


async def test_a_router_that_is_not_there_is_said_so(config: Path, ct: Path) -> None:
    ran = await dicom_router("explain", "-c", config, "--url", "http://127.0.0.1:9", ct)

    assert ran.status == 2
    assert "http://127.0.0.1:9/candidates: no router answers there" in ran.err
