"""Orthanc's DICOMweb plugin as the one who stores."""

from __future__ import annotations

import json
from pathlib import Path

from router.dicomweb.completing import BY_UPLOAD
from tests.corpus import make_ct_series
from tests.dicomweb.test_completing import completed
from tests.dicomweb.uploading import a_router_and_its_writer
from tests.e2e.stack import data_set_of, wait_until
from tests.peers import PROGRAMS, orthanc, require

SETTINGS = {"completion": {"quiet_after": "3s", "stable_after": "10m"}}


def test_a_study_that_orthanc_stores_is_one_revision_of_the_same_bytes(tmp_path: Path) -> None:
    require("orthanc-dicomweb")
    paths = make_ct_series(tmp_path / "ct", instances=25, rows=64, columns=64)
    with a_router_and_its_writer(tmp_path, SETTINGS) as (router, writer):
        url = router.studies_url.removesuffix("studies")
        web = {"Servers": {"router": {"Url": url}}}
        plugins = [str(PROGRAMS["orthanc-dicomweb"])]
        with orthanc(tmp_path / "orthanc", Plugins=plugins, DicomWeb=web) as peer:
            for path in paths:
                peer.post("/instances", path.read_bytes())
            order = {"Resources": peer.get("/studies"), "Synchronous": True}
            peer.post("/dicom-web/servers/router/stow", json.dumps(order).encode())

        study = router.get("/studies")["studies"][0]["study_instance_uid"]
        [revision] = completed(router, study)
        assert (revision["instances"], revision["completed_by"]) == (25, BY_UPLOAD)
        wait_until(lambda: writer.count() == 25, "the writer has it")
        assert sorted(writer.data_sets().values()) == sorted(map(data_set_of, paths))
