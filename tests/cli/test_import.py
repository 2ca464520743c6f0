"""``dicom-router import``: folders, archives and DICOMDIRs into a real router process."""

from __future__ import annotations

import gc
import os
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet

from tests.cli.command import Ran, dicom_router
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, running


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    process = RouterProcess(
        tmp_path_factory.mktemp("import"),
        {"router": {"on_discard": "refuse"}, "discard": ["PATIENT_ID|EQUAL|NOBODY"]},
    )
    with running(process):
        yield process


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    return make_ct_series(tmp_path / "series", instances=3, rows=8, columns=8)


async def imported(router: RouterProcess, *arguments: object) -> Ran:
    return await dicom_router(
        "import", "--json", "--to", f"127.0.0.1:{router.dicom_port}", *arguments
    )


def outcomes(ran: Ran) -> dict[str, tuple[str, str]]:
    """Name of each file to what became of it, and why."""
    return {Path(one["file"]).name: (one["outcome"], one["reason"]) for one in ran.json["files"]}


def unwanted(path: Path) -> None:
    """Make it a file that a discard filter refuses."""
    data_set = dcmread(path)
    data_set.PatientID = "NOBODY"
    data_set.save_as(path)


def make_folders_deeper_than_a_path_can_be(folder: Path) -> None:
    """Make folders in folders until no path leads to the last one."""
    inside = os.open(folder, os.O_RDONLY)
    for number in range(4096 // 200 + 1):
        name = f"{number:0200d}"
        os.mkdir(name, dir_fd=inside)
        above, inside = inside, os.open(name, os.O_RDONLY, dir_fd=inside)
        os.close(above)
    os.close(inside)


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return path


async def test_every_file_of_a_folder_is_accounted_for(
    router: RouterProcess, series: list[Path]
) -> None:
    stored, refused, broken = series
    unwanted(refused)
    broken.write_bytes(broken.read_bytes()[:140])
    (stored.parent / "deep").mkdir()
    (stored.parent / "deep" / "readme.txt").write_text("no DICOM file")

    ran = await imported(router, stored.parent)

    assert ran.status == 1
    assert outcomes(ran) == {
        stored.name: ("stored", ""),
        refused.name: ("not stored", "not authorised (0124)"),
        broken.name: ("not stored", "its File Meta group cannot be read"),
        "readme.txt": ("not DICOM", "not a DICOM file"),
    }


async def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_stored(
    router: RouterProcess, series: list[Path]
) -> None:
    make_folders_deeper_than_a_path_can_be(series[0].parent)

    ran = await imported(router, series[0].parent)

    assert ran.status == 1
    assert ran.json["stored"] == 3
    assert ("not stored", "it cannot be read: File name too long") in outcomes(ran).values()


async def test_what_is_no_dicom_file_does_not_make_it_fail(
    router: RouterProcess, series: list[Path]
) -> None:
    (series[0].parent / "autorun.inf").write_text("[autorun]")

    ran = await imported(router, series[0].parent)

    assert (ran.status, ran.json["stored"], ran.json["not_dicom"]) == (0, 3, 1)


async def test_nothing_at_all_is_a_failure(router: RouterProcess, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert (await imported(router, tmp_path / "empty")).status == 1


async def test_without_a_router_every_file_is_named(tmp_path: Path, series: list[Path]) -> None:
    ran = await dicom_router("import", "--json", "--to", "127.0.0.1:1", series[0].parent)

    assert (ran.status, ran.json["not_stored"]) == (1, 3)


async def test_an_archive_is_imported_whatever_its_names_are(
    router: RouterProcess, series: list[Path], tmp_path: Path
) -> None:
    contents = [path.read_bytes() for path in series]
    path = archive(
        tmp_path / "study.zip",
        {
            "../../escape.dcm": contents[0],
            "/etc/absolute.dcm": contents[1],
            "IMAGES/C": contents[2],
            "viewer.exe": b"MZ",
            "inner.zip": archive(tmp_path / "inner.zip", {"x.dcm": contents[0]}).read_bytes(),
        },
    )

    ran = await imported(router, path)

    assert (ran.status, ran.json["stored"], ran.json["not_dicom"]) == (0, 3, 2)
    assert not (tmp_path.parent / "escape.dcm").exists()


async def test_an_archive_that_unpacks_to_too_much_is_refused_as_a_whole(
    router: RouterProcess, series: list[Path], tmp_path: Path
) -> None:
    bomb = series[0].read_bytes() + bytes(64 << 20)
    path = archive(tmp_path / "bomb.zip", {"a.dcm": series[1].read_bytes(), "b.dcm": bomb})
    assert path.stat().st_size < 1 << 20

    ran = await imported(router, "--max-unpacked", "32MiB", path)

    assert ran.status == 2
    assert "nothing was sent" in ran.err


async def test_an_entry_that_is_damaged_is_named_and_the_others_are_stored(
    router: RouterProcess, series: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for one in series:
            opened.write(one, one.name)
    content = path.read_bytes()
    middle = content.index(series[1].read_bytes()) + 400
    path.write_bytes(content[:middle] + b"\xaa\xbb\xcc" + content[middle + 3 :])

    ran = await imported(router, path)

    assert (ran.status, ran.json["stored"]) == (1, 2)
    [(name, why)] = [
        (one["file"], one["reason"]) for one in ran.json["files"] if one["outcome"] != "stored"
    ]
    assert series[1].name in name
    assert "cannot be unpacked: Bad CRC-32" in why


@pytest.fixture
def medium(series: list[Path], tmp_path: Path) -> Path:
    """A medium that pydicom has written, with a DICOMDIR."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = FileSet()
        for number, path in enumerate(series):
            data_set = dcmread(path)
            data_set.StudyTime, data_set.StudyID, data_set.SeriesNumber = "120000", "1", 1
            data_set.AccessionNumber, data_set.InstanceNumber = "", number
            files.add(data_set)
        files.write(tmp_path / "medium")
        del files
        gc.collect()  # it leaves a temporary folder to the collector, and has cycles
    return tmp_path / "medium"


async def test_a_dicomdir_brings_the_files_that_it_names_in_lower_case_too(
    router: RouterProcess, medium: Path
) -> None:
    for path in sorted(medium.rglob("*"), reverse=True):
        if path.name != "DICOMDIR":
            path.rename(path.with_name(path.name.lower()))
    shutil.copy(next(one for one in medium.rglob("im*") if one.is_file()), medium / "unnamed.dcm")

    ran = await imported(router, medium / "DICOMDIR")

    assert (ran.status, ran.json["stored"], len(ran.json["files"])) == (0, 3, 3)


async def test_a_folder_with_a_dicomdir_does_not_send_the_dicomdir(
    router: RouterProcess, medium: Path
) -> None:
    ran = await imported(router, medium)

    assert (ran.status, len(ran.json["files"])) == (0, 3)


async def test_a_dicomdir_cannot_name_what_is_outside_of_its_folder_or_not_there(
    router: RouterProcess, medium: Path, series: list[Path]
) -> None:
    secret = medium.parent / "SECRET"
    shutil.copy(series[0], secret)
    (medium / "LINK").symlink_to(secret)
    directory = dcmread(medium / "DICOMDIR")
    images = [one for one in directory.DirectoryRecordSequence if "ReferencedFileID" in one]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom knows that these are no File IDs
        images[0].ReferencedFileID = ["..", "SECRET"]
        images[1].ReferencedFileID = "LINK"
        images[2].ReferencedFileID = ["GONE", "IM1"]
        directory.save_as(medium / "DICOMDIR")

    ran = await imported(router, medium / "DICOMDIR")

    assert (ran.status, ran.json["stored"]) == (1, 0)
    why = "the DICOMDIR names it, and it is not there"
    names = {one["file"] for one in ran.json["files"] if one["reason"] == why}
    assert names == {"../SECRET", "LINK", "GONE/IM1"}


async def test_a_dicomdir_that_is_damaged_is_a_failure(router: RouterProcess, medium: Path) -> None:
    path = medium / "DICOMDIR"
    path.write_bytes(path.read_bytes()[:500])

    ran = await imported(router, path)

    assert ran.status == 1
