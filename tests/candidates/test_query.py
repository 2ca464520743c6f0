"""Queries of the Study Root model, asked by dcmtk's findscu."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import URL, Column, Table, create_engine, insert, make_url, select
from sqlalchemy import MetaData as Tables

from candidates.writer.area import StorageArea
from candidates.writer.index.address import IndexAddress
from candidates.writer.index.recording import Arrival
from candidates.writer.query.matching import condition
from router.sql.columns import TEXT
from tests.candidates.arrivals import NOON, arrived
from tests.candidates.indexes import Index
from tests.candidates.writers import Writer, running_writer
from tests.peers import dcmtk

JANE, JOHN = "Doe^Jane", "Müller^John"


def a_small_hospital(storage: StorageArea) -> list[Arrival]:
    """Two studies of Jane, in March and April, and one of John: a CT with two series."""
    march = {"PatientName": JANE, "StudyDate": "20260301", "StudyDescription": "Chest"}
    april = {"PatientName": JANE, "StudyDate": "20260415", "StudyDescription": "Knee [left]"}
    john = {"PatientName": JOHN, "PatientID": "P2", "StudyDate": "20260420", "StudyTime": "1015"}
    return [
        arrived(storage, b"", "1.1.1", series="1.1", study="1", at=NOON, Modality="CR", **march),
        arrived(storage, b"", "2.1.1", series="2.1", study="2", at=NOON, Modality="DX", **april),
        *(
            arrived(
                storage,
                b"",
                f"3.1.{number}",
                series="3.1",
                study="3",
                at=NOON,
                Modality="CT",
                SeriesNumber="1",
                InstanceNumber=str(number),
                **john,
            )
            for number in range(1, 4)
        ),
        arrived(storage, b"", "3.2.1", series="3.2", study="3", at=NOON, Modality="SR", **john),
    ]


@pytest.fixture
async def writer(tmp_path: Path, index: Index) -> AsyncIterator[Writer]:
    async with running_writer(tmp_path / "writer", index=index) as writer:
        writer.archive.commit(a_small_hospital(writer.archive.storage))
        yield writer


async def findscu(writer: Writer, folder: Path, level: str, *keys: str) -> list[Dataset]:
    """What findscu is answered, in the order of the answers."""
    folder.mkdir()
    asked = [word for key in (f"QueryRetrieveLevel={level}", *keys) for word in ("-k", key)]
    arguments = ["-S", "-X", "-od", str(folder), "-aec", "WRITER", *asked]
    ran = await anyio.to_thread.run_sync(
        lambda: dcmtk("findscu", *arguments, "127.0.0.1", str(writer.port))
    )
    assert ran.returncode == 0, ran.stderr
    assert "Success" in ran.stderr or "Failed" not in ran.stderr
    return [pydicom.dcmread(path, force=True) for path in sorted(folder.glob("rsp*"))]


async def studies(writer: Writer, folder: Path, *keys: str) -> list[str]:
    found = await findscu(writer, folder, "STUDY", "StudyInstanceUID", *keys)
    return [str(one.StudyInstanceUID) for one in found]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((), ["1", "2", "3"]),
        (("PatientID=P2",), ["3"]),
        (("PatientID=P",), []),
        (("PatientName=doe^jane",), ["1", "2"]),
        (("PatientName=D*",), ["1", "2"]),
        (("PatientName=*^J?n*",), ["1", "2"]),
        (("StudyDescription=chest",), []),
        (("StudyDescription=*[[]*",), []),
        (("StudyDescription=*[left]",), ["2"]),
        (("StudyDate=20260301",), ["1"]),
        (("StudyDate=20260401-",), ["2", "3"]),
        (("StudyDate=-20260415",), ["1", "2"]),
        (("StudyDate=20260302-20260419",), ["2"]),
        (("StudyTime=1000-1015",), ["3"]),
        (("StudyInstanceUID=1\\3",), ["1", "3"]),
        (("ModalitiesInStudy=CT",), ["3"]),
        (("ModalitiesInStudy=C*",), ["1", "3"]),
        (("PatientID=P1", "StudyDate=20260401-"), ["2"]),
        (("AccessionNumber=",), ["1", "2", "3"]),
    ],
)
async def test_studies_are_matched(
    writer: Writer, tmp_path: Path, keys: tuple[str, ...], expected: list[str]
) -> None:
    assert await studies(writer, tmp_path / "found", *keys) == expected


async def test_a_study_tells_its_numbers_and_modalities(writer: Writer, tmp_path: Path) -> None:
    keys = (
        "StudyInstanceUID=3",
        "PatientName",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "StudyID",
        "RequestedProcedureID",
    )

    [found] = await findscu(writer, tmp_path / "found", "STUDY", *keys)

    assert str(found.PatientName) == JOHN
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert sorted(found.ModalitiesInStudy) == ["CT", "SR"]
    assert (found.NumberOfStudyRelatedSeries, found.NumberOfStudyRelatedInstances) == (2, 4)
    assert found.QueryRetrieveLevel == "STUDY"
    assert found.RetrieveAETitle == "WRITER"
    assert not found.StudyID
    assert not found.RequestedProcedureID


async def test_series_are_matched_within_their_study(writer: Writer, tmp_path: Path) -> None:
    keys = ("StudyInstanceUID=3", "SeriesInstanceUID", "Modality=CT", "SeriesNumber")
    found = await findscu(
        writer, tmp_path / "found", "SERIES", *keys, "NumberOfSeriesRelatedInstances"
    )

    assert [
        (one.SeriesInstanceUID, one.Modality, one.SeriesNumber, one.NumberOfSeriesRelatedInstances)
        for one in found
    ] == [("3.1", "CT", 1, 3)]


async def test_instances_are_matched_within_their_series(writer: Writer, tmp_path: Path) -> None:
    keys = ("StudyInstanceUID=3", "SeriesInstanceUID=3.1", "SOPInstanceUID", "InstanceNumber")
    found = await findscu(writer, tmp_path / "found", "IMAGE", *keys, "SOPClassUID")

    assert [(one.SOPInstanceUID, one.InstanceNumber) for one in found] == [
        ("3.1.1", 1),
        ("3.1.2", 2),
        ("3.1.3", 3),
    ]


async def test_a_level_that_study_root_does_not_have_is_refused(
    writer: Writer, tmp_path: Path
) -> None:
    ran = await anyio.to_thread.run_sync(
        lambda: dcmtk(
            "findscu",
            *("-v", "-S", "-aec", "WRITER", "-k", "QueryRetrieveLevel=PATIENT"),
            *("127.0.0.1", str(writer.port)),
        )
    )

    assert "DataSetDoesNotMatchSOPClass" in ran.stderr + ran.stdout


@pytest.mark.parametrize(
    ("vr", "key", "value", "matches"),
    [
        ("CS", "CT", "CT", True),
        ("CS", "CT", "CR", False),
        ("CS", "C?", "CT", True),
        ("CS", "", "", True),
        ("LO", "*", "", True),
        ("LO", "a*c", "abbc", True),
        ("LO", "a[b]*", "a[b]c", True),
        ("LO", "a[b]*", "abc", False),
        ("LO", "50%*", "50% contrast", True),
        ("LO", "50%*", "500 ml", False),
        ("LO", "a_?!*", "a_b!c", True),
        ("LO", "a_?!*", "aab!c", False),
        ("LO", "a\\*", "a\\b", True),
        ("LO", "A*", "abc", False),
        ("LO", "?", "Ä", True),
        ("LO", "a\nb*", "a\nbc", True),
        ("PN", "DOE^J*", "doe^jane", True),
        ("PN", "MÜLLER", "müller", False),
        ("PN", "MÜLLER", "mÜller", True),
        ("DA", "20260101-20260131", "20260131", True),
        ("DA", "20260101-", "", False),
        ("DA", "-", "", True),
        ("TM", "-1015", "101530.5", True),
        ("TM", "1016-", "101530", False),
        ("UI", "1.2", "1.2.3", False),
        ("UI", "1.2*", "1.2.3", False),
    ],
)
def test_one_value_against_one_key(
    index: Index, vr: str, key: str, value: str, matches: bool
) -> None:
    engine = create_engine(url_of(index.address))
    table = Table("tested", Tables(), Column("value", TEXT))
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(insert(table), [{"value": value}])
        rows = connection.execute(select(table).where(condition(table.c.value, vr, key))).all()
    engine.dispose()

    assert bool(rows) is matches


def url_of(address: IndexAddress) -> URL:
    """As SQLAlchemy has it."""
    if isinstance(address, Path):
        return URL.create("sqlite", database=str(address))
    return make_url(address.url).set(drivername="postgresql+psycopg")
