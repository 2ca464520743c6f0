"""Studies as files in a folder: whole or not at all, with a manifest that holds."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
import pytest

from router.clock import SystemClock
from router.delivery.destinations.folder import FolderDestination
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable
from router.domain.paths import parse_template
from router.domain.reach import FolderReach
from router.spool.log import LocalSpool
from tests.corpus import make_ct_series
from tests.delivery.builders import delivery
from tests.delivery.spooled import damage, spooled
from tests.e2e.stack import data_set_of
from tests.spool.helpers import a_spool

STORED = Outcome(OutcomeKind.STORED, 0x0000, "")
TEMPLATE = "{PatientID}/{StudyInstanceUID}/{Modality}/{SOPInstanceUID}.dcm"


@dataclass
class Case:
    """A router's side of a folder."""

    spool: LocalSpool
    spool_folder: Path
    root: Path
    files: Path

    def ct(self, count: int, **changes: str) -> list[Path]:
        """A series of CT images."""
        folder = self.files / str(len(list(self.files.iterdir())))
        paths = make_ct_series(folder, instances=count, rows=8, columns=8)
        for path in paths:
            data_set = pydicom.dcmread(path)
            for keyword, value in changes.items():
                setattr(data_set, keyword, value)
            data_set.save_as(path)
        return paths

    async def items(self, paths: Sequence[Path]) -> list[DeliveryItem]:
        """What these files hold, in the spool."""
        return [await spooled(self.spool, path, number) for number, path in enumerate(paths)]

    async def send(
        self, items: Sequence[DeliveryItem], study: str, template: str = TEMPLATE
    ) -> Sequence[Outcome]:
        """One transfer."""
        destination = FolderDestination(self.spool, SystemClock(), 20.0)
        reach = FolderReach(str(self.root), parse_template(template))
        candidate = Candidate("SHARE", "", 0, "folder", reach)
        of_study = replace(delivery(), study_instance_uid=study)
        return await destination.transfer(candidate, of_study, items)

    def published(self) -> list[str]:
        """All files, but what nobody is to look at yet."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.root)) for path in found)


def holds(study: Path) -> bool:
    """Whether a study's folder has what its manifest says, and nothing else."""
    checked = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "_SUCCESS"], cwd=study, check=False
    )
    listed = {line[66:] for line in (study / "_SUCCESS").read_text().splitlines()}
    there = {str(path.relative_to(study)) for path in study.rglob("*") if path.is_file()}
    return checked.returncode == 0 and there == listed | {"_SUCCESS"}


def study_of(path: Path) -> str:
    return str(pydicom.dcmread(path).StudyInstanceUID)


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with a_spool(tmp_path / "spool") as spool:
        for name in ("share", "files"):
            (tmp_path / name).mkdir()
        yield Case(spool, tmp_path / "spool", tmp_path / "share", tmp_path / "files")


async def test_a_study_has_the_names_of_the_template_and_a_manifest(case: Case) -> None:
    paths = case.ct(5, PatientID="P/1")
    study = study_of(paths[0])

    assert await case.send(await case.items(paths), study) == [STORED] * 5

    folder = case.root / "P_1" / study
    assert holds(folder)
    assert {path.stem: data_set_of(path) for path in (folder / "CT").iterdir()} == {
        str(pydicom.dcmread(path).SOPInstanceUID): data_set_of(path) for path in paths
    }
    assert [path.name for path in case.root.iterdir()] == ["P_1"]  # nothing else is left


async def test_a_later_revision_joins_the_study_and_its_manifest(case: Case) -> None:
    first, later = case.ct(3), case.ct(2)
    study = study_of(first[0])
    await case.send(await case.items(first), study)
    await case.send(await case.items(later), study)

    (folder,) = (path.parent for path in case.root.rglob("_SUCCESS"))
    assert holds(folder)
    assert len((folder / "_SUCCESS").read_text().splitlines()) == 5


async def test_an_instance_that_comes_in_a_new_version_replaces_the_old_one(case: Case) -> None:
    (path,) = case.ct(1)
    study = study_of(path)
    await case.send(await case.items([path]), study)
    data_set = pydicom.dcmread(path)
    data_set.ImageComments = "a later version"
    data_set.save_as(path)
    await case.send(await case.items([path]), study)

    (folder,) = (found.parent for found in case.root.rglob("_SUCCESS"))
    assert holds(folder)
    (file,) = folder.rglob("*.dcm")
    assert data_set_of(file) == data_set_of(path)


async def test_two_instances_of_one_name_in_a_revision_are_both_kept(case: Case) -> None:
    (path,) = case.ct(1)
    items = await case.items([path, path])

    await case.send(items, study_of(path))

    assert len(list(case.root.rglob("*.dcm"))) == 2


async def test_a_study_under_two_patients_is_whole_in_both_folders(case: Case) -> None:
    one, other = case.ct(2, PatientID="A"), case.ct(2, PatientID="B")
    study = study_of(one[0])

    await case.send(await case.items([*one, *other]), study)

    assert holds(case.root / "A" / study)
    assert holds(case.root / "B" / study)


async def test_bytes_that_have_changed_keep_the_whole_study_back(case: Case) -> None:
    paths = case.ct(3)
    items = await case.items(paths)
    damage(case.spool_folder, data_set_of(paths[1]))

    outcomes = await case.send(items, study_of(paths[0]))

    assert {one.kind for one in outcomes} == {OutcomeKind.PERMANENT}
    assert "does not match the checksum" in outcomes[1].reason
    assert f"without instance {items[1].sop_instance_uid}" in outcomes[0].reason
    assert list(case.root.iterdir()) == []


async def test_a_folder_that_is_not_there_is_not_made(case: Case) -> None:
    paths = case.ct(1)
    case.root.rmdir()

    with pytest.raises(CandidateUnavailable, match="the folder is not there"):
        await case.send(await case.items(paths), study_of(paths[0]))

    assert not case.root.exists()


@pytest.mark.parametrize("call", range(9))
async def test_wherever_publishing_breaks_off_a_manifest_never_says_too_much(
    case: Case, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    first, later = case.ct(2), case.ct(3)
    study = study_of(first[0])
    await case.send(await case.items(first), study)
    replace_file, calls = Path.replace, iter(range(100))

    def break_off(path: Path, target: Path) -> Path:
        if next(calls) >= call:
            raise OSError(28, "No space left on device")
        return replace_file(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", break_off)
        try:
            await case.send(await case.items(later), study)
        except CandidateUnavailable as error:
            assert "No space left on device" in str(error)  # noqa: PT017
    manifests = list(case.root.rglob("_SUCCESS"))
    assert all(holds(path.parent) for path in manifests)

    await case.send(await case.items(later), study)

    (folder,) = (path.parent for path in case.root.rglob("_SUCCESS"))
    assert holds(folder)
    assert len(list(folder.rglob("*.dcm"))) == 5


async def test_what_a_killed_router_left_behind_goes_after_a_day(case: Case) -> None:
    old, new = case.root / ".incoming-old", case.root / ".incoming-new"
    for left in (old, new):
        left.mkdir()
        (left / "0").write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    paths = case.ct(1)

    await case.send(await case.items(paths), study_of(paths[0]))

    assert (old.exists(), new.exists()) == (False, True)
