"""Orthanc's DICOMweb plugin as the one who searches and retrieves."""

from __future__ import annotations

import json
from pathlib import Path

import anyio

from router.dicom import statuses
from tests.candidates.sources import head_and_data_set
from tests.candidates.writers import running_stow_writer
from tests.corpus import make_study
from tests.peers import PROGRAMS, orthanc, require

TOKEN = "secret"


async def test_orthanc_finds_a_study_and_retrieves_it_byte_for_byte(tmp_path: Path) -> None:
    require("orthanc-dicomweb")
    made = make_study(tmp_path / "mr", first=2, second=3)
    sent = [*made["first"], *made["second"]]
    async with running_stow_writer(tmp_path / "writer", TOKEN) as writer:
        for path in sent:
            assert await writer.store_file(path) == statuses.SUCCESS
        study = writer.held()[0].study

        def by_orthanc() -> tuple[list[str], dict[str, bytes]]:
            url = f"http://127.0.0.1:{writer.stow_port}/dicom-web/"
            authorization = {"Authorization": f"Bearer {TOKEN}"}
            server = {"Url": url, "HttpHeaders": authorization}
            plugins = [str(PROGRAMS["orthanc-dicomweb"])]
            web = {"Servers": {"writer": server}}
            with orthanc(tmp_path / "orthanc", Plugins=plugins, DicomWeb=web) as peer:
                asked = {"Uri": "/studies", "Arguments": {"StudyInstanceUID": study}}
                found = peer.post("/dicom-web/servers/writer/qido", json.dumps(asked).encode())
                order = {"Resources": [{"Study": study}], "Synchronous": True}
                peer.post("/dicom-web/servers/writer/retrieve", json.dumps(order).encode())
                return [one["0020000D"]["Value"] for one in found], peer.data_sets()

        found, retrieved = await anyio.to_thread.run_sync(by_orthanc)

    assert found == [study]
    assert sorted(retrieved.values()) == sorted(head_and_data_set(path)[1] for path in sent)
