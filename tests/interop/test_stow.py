"""Orthanc's DICOMweb plugin as a candidate of kind stow-rs."""

from __future__ import annotations

from pathlib import Path

from tests.corpus import make_ct_series, make_dx
from tests.e2e.stack import data_set_of
from tests.interop.conftest import dcmsend, live_router
from tests.peers import orthanc, orthanc_plugin


async def test_a_dicomweb_server_holds_the_same_bytes(data_folder: Path, tmp_path: Path) -> None:
    paths = [*make_ct_series(tmp_path / "in", instances=40, rows=64, columns=64)]
    paths.append(make_dx(tmp_path / "in", rows=2048, columns=2048))  # more than one piece
    plugin = orthanc_plugin("OrthancDicomWeb")
    with orthanc(tmp_path / "orthanc", Plugins=[plugin]) as peer:
        candidate = f"{{VNA: {{kind: stow-rs, url: '{peer.url}/dicom-web/'}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, tmp_path / "in")
            await router.settled(studies=2)
            listed = (await router.get("/deliveries"))["deliveries"]

        assert sorted(one["delivered"] for one in listed) == [1, 40]
        assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))
