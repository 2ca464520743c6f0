"""QIDO-RS: the same matches as by C-FIND, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.candidates.indexes import Index
from tests.candidates.test_query import JANE, JOHN, a_small_hospital
from tests.candidates.web.test_retrieving import Answer, request
from tests.candidates.writers import StowWriter, running_stow_writer


@pytest.fixture
async def writer(tmp_path: Path, index: Index) -> AsyncIterator[StowWriter]:
    async with running_stow_writer(tmp_path / "writer", index=index) as writer:
        writer.archive.commit(a_small_hospital(writer.archive.storage))
        yield writer


async def ask(writer: StowWriter, path: str) -> Answer:
    return await anyio.to_thread.run_sync(request, writer.stow_port, path)


async def search(writer: StowWriter, path: str) -> list[dict[str, Any]]:
    answer = await ask(writer, path)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/dicom+json"
    found: list[dict[str, Any]] = json.loads(answer.body)
    return found


def values(found: list[dict[str, Any]], tag: str) -> list[Any]:
    return [value for one in found for value in one[tag]["Value"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["1", "2", "3"]),
        ("PatientID=P2", ["3"]),
        ("PatientName=doe*", ["1", "2"]),
        ("00080020=20260401-", ["2", "3"]),
        ("StudyInstanceUID=1,3", ["1", "3"]),
        ("ModalitiesInStudy=CT", ["3"]),
        ("PatientID=P1&StudyDate=20260401-", ["2"]),
        ("limit=2", ["1", "2"]),
        ("limit=2&offset=1", ["2", "3"]),
        ("includefield=all", ["1", "2", "3"]),
    ],
)
async def test_studies_are_matched(writer: StowWriter, query: str, expected: list[str]) -> None:
    assert values(await search(writer, f"/studies?{query}"), "0020000D") == expected


async def test_a_study_tells_what_the_index_knows(writer: StowWriter) -> None:
    [found] = await search(writer, "/studies?StudyInstanceUID=3")

    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": JOHN}]}
    assert sorted(found["00080061"]["Value"]) == ["CT", "SR"]
    assert found["00201206"] == {"vr": "IS", "Value": [2]}
    assert found["00201208"] == {"vr": "IS", "Value": [4]}
    assert found["00200010"] == {"vr": "SH"}
    assert found["00080056"]["Value"] == ["ONLINE"]
    assert found["00081190"]["Value"] == [
        f"http://127.0.0.1:{writer.stow_port}/dicom-web/studies/3"
    ]


@pytest.mark.parametrize(
    ("path", "tag", "expected"),
    [
        ("/studies/3/series", "0020000E", ["3.1", "3.2"]),
        ("/studies/3/series?Modality=SR", "0020000E", ["3.2"]),
        ("/series?Modality=C*", "0020000E", ["1.1", "3.1"]),
        ("/studies/3/instances", "00080018", ["3.1.1", "3.1.2", "3.1.3", "3.2.1"]),
        ("/studies/3/series/3.1/instances", "00080018", ["3.1.1", "3.1.2", "3.1.3"]),
        ("/instances?InstanceNumber=2", "00080018", ["3.1.2"]),
        ("/studies/3/series?StudyInstanceUID=1", "0020000E", ["3.1", "3.2"]),
    ],
)
async def test_series_and_instances_are_matched(
    writer: StowWriter, path: str, tag: str, expected: list[str]
) -> None:
    assert values(await search(writer, path), tag) == expected


async def test_an_instance_says_where_it_is_retrieved(writer: StowWriter) -> None:
    [found] = await search(writer, "/studies/3/series/3.2/instances")

    [url] = found["00081190"]["Value"]
    assert url.endswith("/dicom-web/studies/3/series/3.2/instances/3.2.1")


async def test_patients_of_studies_are_told_in_series_too(writer: StowWriter) -> None:
    found = await search(writer, "/series?PatientName=DOE*")

    assert {one["Alphabetic"] for one in values(found, "00100010")} == {JANE}


@pytest.mark.parametrize("query", ["PatientID=nobody", "limit=0", "offset=3"])
async def test_no_match_is_no_content(writer: StowWriter, query: str) -> None:
    answer = await ask(writer, f"/studies?{query}")

    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(
    ("query", "warning"),
    [
        ("limit=2", "there are more matches"),
        ("fuzzymatching=true", "fuzzy matching is not supported"),
        ("BodyPartThickness=3", "BodyPartThickness is not matched"),
    ],
)
async def test_what_is_not_done_is_said(writer: StowWriter, query: str, warning: str) -> None:
    answer = await ask(writer, f"/studies?{query}")

    assert answer.status == 200
    assert answer.headers["Warning"].startswith("299 ")
    assert warning in answer.headers["Warning"]


@pytest.mark.parametrize(
    "path", ["/studies?limit=many", "/studies?Nonsense=1", "/studies/1%5C2/series"]
)
async def test_what_cannot_be_understood_is_explained(writer: StowWriter, path: str) -> None:
    answer = await ask(writer, path)

    assert answer.status == 400
    assert answer.detail
