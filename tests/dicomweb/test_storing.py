"""STOW-RS (PS3.18 section 10.5): what becomes of the instances of a request."""

from __future__ import annotations

import subprocess
from pathlib import Path

import aiohttp
import pytest
from pydicom.dataset import Dataset

from router.dicom import uids
from router.dicom.part10 import read_file_header
from tests.corpus import real_files
from tests.dicomweb.uploading import (
    BOUNDARY,
    MULTIPART,
    PATIENCE_S,
    StowRouter,
    body_of,
    file_of,
    part,
    post,
    post_files,
    study_of,
)
from tests.e2e.stack import WriterProcess, running, wait_until


def data_set_of(content: bytes) -> bytes:
    return content[read_file_header(content).data_set_offset :]


def delivered(writer: WriterProcess, files: dict[str, bytes]) -> None:
    """Wait until the writer holds the data sets of these files, byte for byte."""
    wait_until(lambda: files.keys() <= writer.data_sets().keys(), "the writer has everything")
    held = writer.data_sets()
    assert {uid: held[uid] for uid in files} == {
        uid: data_set_of(content) for uid, content in files.items()
    }


def test_a_study_is_stored_and_delivered_byte_for_byte(
    router: StowRouter, writer: WriterProcess
) -> None:
    files = {one.SOPInstanceUID: file_of(one) for one in study_of(5)}

    answer = post_files(router, list(files.values()))

    assert (answer.status, answer.stored) == (200, list(files))
    assert answer.failed == {}
    delivered(writer, files)


@pytest.mark.parametrize(
    "syntax",
    [
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ],
)
def test_every_transfer_syntax_is_kept_as_it_is(
    router: StowRouter, writer: WriterProcess, syntax: str
) -> None:
    [one] = study_of(1)
    content = file_of(one, syntax)

    assert post_files(router, [content]).status == 200
    delivered(writer, {one.SOPInstanceUID: content})


def test_real_files_arrive_as_they_are(router: StowRouter, writer: WriterProcess) -> None:
    real = [one for one in real_files() if one.is_routable]
    small = {
        one.sop_instance_uid: one.path.read_bytes()
        for one in real
        if one.path.stat().st_size < 1 << 20
    }

    answer = post_files(router, list(small.values()))

    assert set(answer.stored) == set(small), answer.failed
    quarantined = {
        entry["sop_instance_uid"] for entry in router.get("/quarantine?limit=1000")["quarantine"]
    }
    delivered(writer, {uid: small[uid] for uid in small.keys() - quarantined})


def test_a_body_may_come_in_chunks_of_any_size_without_a_length(router: StowRouter) -> None:
    study = study_of(3)
    body = body_of([file_of(one) for one in study])

    answer = post(router, (body[at : at + 97] for at in range(0, len(body), 97)))

    assert (answer.status, len(answer.stored)) == (200, 3)


async def test_aiohttp_as_client_is_served(router: StowRouter) -> None:
    study = study_of(3)
    with aiohttp.MultipartWriter("related", boundary=BOUNDARY) as writer:
        for one in study:
            writer.append(file_of(one), {"Content-Type": "application/dicom"})
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            router.studies_url, data=writer, headers={"Content-Type": MULTIPART}
        ) as response,
    ):
        assert response.status == 200
        assert len((await response.json(content_type=None))["00081199"]["Value"]) == 3


def test_curl_as_client_is_served(router: StowRouter, tmp_path: Path) -> None:
    study = study_of(2)
    body = tmp_path / "body"
    body.write_bytes(body_of([file_of(one) for one in study]))
    command = ["curl", "--silent", "--fail", "--header", f"Content-Type: {MULTIPART}"]
    waiting = ["--header", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE_S)]

    done = subprocess.run(
        [*command, *waiting, "--data-binary", f"@{body}", router.studies_url],
        capture_output=True,
        check=True,
    )

    assert study[0].SOPInstanceUID.encode() in done.stdout


def test_where_it_came_from_can_be_routed_by(router: StowRouter) -> None:
    [one] = study_of(1, PatientID="NOBODY")

    assert post_files(router, [file_of(one)]).status == 200
    refusal = router.refusal(one.SOPInstanceUID)
    assert refusal["calling_ae_title"] == "STOW"
    assert refusal["address"] == "127.0.0.1"


def test_what_a_discard_filter_matches_is_answered_as_stored_and_dropped(
    router: StowRouter,
) -> None:
    [one] = study_of(1, PatientID="NOBODY")

    answer = post_files(router, [file_of(one)])

    assert (answer.status, answer.stored) == (200, [one.SOPInstanceUID])
    assert router.refusal(one.SOPInstanceUID)["disposition"] == "discarded"


def test_what_a_discard_filter_matches_fails_where_it_is_to_be_refused(tmp_path: Path) -> None:
    settings = {"router": {"on_discard": "refuse"}, "discard": ["PATIENT_ID|EQUAL|NOBODY"]}
    refusing = StowRouter(tmp_path / "router", settings)
    [unwanted], [wanted] = study_of(1, PatientID="NOBODY"), study_of(1)
    with running(refusing):
        answer = post_files(refusing, [file_of(unwanted), file_of(wanted)])

    assert (answer.status, answer.stored) == (202, [wanted.SOPInstanceUID])
    assert {uid: reason for uid, (reason, _) in answer.failed.items()} == {
        unwanted.SOPInstanceUID: 0x0124
    }


def test_what_would_harm_its_receivers_is_kept_in_quarantine(router: StowRouter) -> None:
    [one] = study_of(1)
    item = Dataset()
    for _ in range(70):
        outer = Dataset()
        outer.ContentSequence = [item]
        item = outer
    one.ContentSequence = [item]

    answer = post_files(router, [file_of(one)])

    assert (answer.status, answer.stored) == (200, [one.SOPInstanceUID])
    assert "nested 65 levels deep" in router.quarantined(one.SOPInstanceUID)["reason"]


def test_the_same_bytes_again_are_a_duplicate_and_no_failure(router: StowRouter) -> None:
    [one] = study_of(1)
    content = file_of(one)

    answers = [post_files(router, [content]) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    wait_until(lambda: router.study(one.StudyInstanceUID)["repeated"] == 1, "it is a duplicate")


def test_a_part_of_another_study_than_the_url_names_fails_and_the_others_go_on(
    router: StowRouter,
) -> None:
    mine, other = study_of(2), study_of(1)
    contents = [file_of(mine[0]), file_of(other[0]), file_of(mine[1])]

    answer = post_files(router, contents, mine[0].StudyInstanceUID)

    assert answer.status == 202
    assert answer.stored == [one.SOPInstanceUID for one in mine]
    [(uid, (reason, comment))] = answer.failed.items()
    assert (uid, reason) == (other[0].SOPInstanceUID, 0xA901)
    assert comment.startswith("it is of study ")


def test_an_instance_whose_data_set_contradicts_its_file_meta_group_fails(
    router: StowRouter,
) -> None:
    [one] = study_of(1)
    content = file_of(one)
    one.SOPInstanceUID = "1.2.3"
    forged = content[: read_file_header(content).data_set_offset] + data_set_of(file_of(one))

    answer = post_files(router, [forged])

    assert answer.status == 409
    [(reason, comment)] = answer.failed.values()
    assert reason == 0xA900
    assert comment.startswith("SOPInstanceUID is 1.2.3 in the data set but ")


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.2.2.1", 0x0122),  # Study Root C-FIND
        ("StudyInstanceUID", None, 0xC000),
    ],
)
def test_what_no_association_would_bring_is_refused_with_the_reason_of_the_standard(
    router: StowRouter, keyword: str, value: str | None, reason: int
) -> None:
    [one] = study_of(1, **{keyword: value})

    answer = post_files(router, [file_of(one)])

    assert answer.status == 409
    assert [code for code, _ in answer.failed.values()] == [reason]


def test_a_transfer_syntax_that_is_none_is_refused_with_the_reason_of_the_standard(
    router: StowRouter,
) -> None:
    [one] = study_of(1)
    content = file_of(one).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.X.2.1\0")

    answer = post_files(router, [content])

    assert [code for code, _ in answer.failed.values()] == [0xC122]


def test_parts_need_no_headers(router: StowRouter) -> None:
    [one] = study_of(1)

    answer = post(router, part(file_of(one), "X: y") + f"--{BOUNDARY}--".encode())

    assert answer.stored == [one.SOPInstanceUID]
