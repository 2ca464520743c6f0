"""When a study that came by STOW-RS is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.dicomweb.completing import BY_UPLOAD
from tests.dicomweb.uploading import StowRouter, file_of, post_files, study_of
from tests.e2e.stack import running, wait_until

NEVER = {"completion": {"quiet_after": "10m", "stable_after": "10m"}}
BY_SILENCE = "all associations released, quiet for 3 s"
QUIET = {"completion": {"quiet_after": "3s", "stable_after": "10m"}}


def completed(router: StowRouter, study_uid: str) -> list[Any]:
    """The revisions of a study once all of them are complete."""
    revisions: list[Any] = wait_until(
        lambda: (
            all(one["completed_at"] for one in router.study(study_uid)["revisions"])
            and router.study(study_uid)["revisions"]
        ),
        "the study is complete",
    )
    return revisions


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StowRouter]:
    """A router that waits for studies for ten minutes, unless it is told."""
    router = StowRouter(tmp_path_factory.mktemp("patient"), NEVER)
    with running(router):
        yield router


def test_a_request_that_names_its_study_completes_it_at_once(patient: StowRouter) -> None:
    study = study_of(3)
    uid = study[0].StudyInstanceUID

    post_files(patient, [file_of(one) for one in study], uid)

    [revision] = completed(patient, uid)
    assert (revision["instances"], revision["completed_by"]) == (3, BY_UPLOAD)


def test_a_request_that_holds_whole_studies_completes_them_at_once(patient: StowRouter) -> None:
    studies = [study_of(3), study_of(2)]

    post_files(patient, [file_of(one) for study in studies for one in study])

    for study in studies:
        [revision] = completed(patient, study[0].StudyInstanceUID)
        assert (revision["instances"], revision["completed_by"]) == (len(study), BY_UPLOAD)


def test_a_request_that_holds_all_of_a_study_that_has_grown_completes_it_again(
    patient: StowRouter,
) -> None:
    study = study_of(3)
    uid = study[0].StudyInstanceUID
    post_files(patient, [file_of(one) for one in study[:2]])
    completed(patient, uid)

    post_files(patient, [file_of(one) for one in study])

    wait_until(lambda: len(patient.study(uid)["revisions"]) == 2, "there is another revision")
    assert [one["instances"] for one in completed(patient, uid)] == [2, 1]


def test_a_request_of_which_something_failed_completes_nothing(patient: StowRouter) -> None:
    study, named = study_of(2), study_of(1)
    uid = study[0].StudyInstanceUID

    answer = post_files(patient, [file_of(study[0]), b"junk" * 100], uid)
    assert answer.status == 202
    post_files(patient, [file_of(named[0])], named[0].StudyInstanceUID)
    completed(patient, named[0].StudyInstanceUID)

    [revision] = patient.study(uid)["revisions"]
    assert revision["completed_at"] is None


def test_with_every_a_request_completes_all_its_studies_at_once(tmp_path: Path) -> None:
    router = StowRouter(tmp_path / "router", NEVER, completes="every")
    studies = [study_of(2), study_of(2)]
    with running(router):
        post_files(router, [file_of(one) for study in studies for one in study])

        for study in studies:
            [revision] = completed(router, study[0].StudyInstanceUID)
            assert revision["instances"] == 2


def test_of_a_study_in_several_requests_the_first_looks_whole_and_the_others_wait_for_the_last(
    tmp_path: Path,
) -> None:
    router = StowRouter(tmp_path / "router", QUIET)
    study = study_of(4)
    uid = study[0].StudyInstanceUID
    with running(router):
        post_files(router, [file_of(study[0])])
        completed(router, uid)
        for one in study[1:]:
            post_files(router, [file_of(one)])
        revisions = all_four(router, uid)

    assert [one["instances"] for one in revisions] == [1, 3]
    assert [one["completed_by"] for one in revisions] == [BY_UPLOAD, BY_SILENCE]


def test_with_named_a_study_in_several_requests_is_one_revision_when_they_are_over(
    tmp_path: Path,
) -> None:
    router = StowRouter(tmp_path / "router", QUIET, completes="named")

    study = study_of(4)
    uid = study[0].StudyInstanceUID
    with running(router):
        for one in study:
            post_files(router, [file_of(one)])
        [revision] = all_four(router, uid)

    assert (revision["instances"], revision["completed_by"]) == (4, BY_SILENCE)


def all_four(router: StowRouter, study_uid: str) -> list[Any]:
    """The revisions of a study of four instances once all of them are complete."""
    wait_until(
        lambda: sum(one["instances"] for one in router.study(study_uid)["revisions"]) == 4,
        "all are recorded",
    )
    return completed(router, study_uid)
