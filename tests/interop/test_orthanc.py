"""Orthanc as modality and as writer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from router.dicom.part10 import read_file_header
from tests.corpus import make_ct_series
from tests.e2e.stack import data_set_of
from tests.interop.conftest import live_router, run_blocking
from tests.peers import ROUTER, Orthanc, dcmtk, orthanc, storescp


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def held(peer: Orthanc) -> list[str]:
    """Digests of all data sets in Orthanc's storage."""
    files = [peer.bytes_of(f"/instances/{name}/file") for name in peer.instances()]
    return sorted(digest(file[read_file_header(file).data_set_offset :]) for file in files)


async def test_orthanc_as_writer_holds_the_same_bytes(data_folder: Path, tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=12, rows=64, columns=64)
    with orthanc(tmp_path / "orthanc") as peer:
        candidate = f"{{ORTHANC: {{host: 127.0.0.1, port: {peer.port}, associations: 3}}}}"
        async with live_router(data_folder, candidate) as router:
            send = ("dcmsend", "+sd", *ROUTER, str(router.port), str(tmp_path / "ct"))
            await run_blocking(lambda: dcmtk(*send))
            await router.settled(studies=1)

        assert held(peer) == sorted(digest(data_set_of(path)) for path in paths)


async def test_orthanc_as_modality_proposes_everything_at_once_and_is_served(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=6, rows=64, columns=64)
    with storescp(tmp_path / "writer") as writer:
        candidate = f"{{BACKUP: {{host: 127.0.0.1, port: {writer.port}}}}}"
        async with live_router(data_folder, candidate) as router:
            modalities = {"router": ["ROUTER", "127.0.0.1", router.port]}
            with orthanc(tmp_path / "orthanc", DicomModalities=modalities) as peer:

                def send_from_orthanc() -> None:
                    for path in paths:
                        peer.post("/instances", path.read_bytes())
                    body = json.dumps(peer.instances()).encode()
                    peer.post("/modalities/router/store", body)

                await run_blocking(send_from_orthanc)
                await router.settled(studies=1)
                sent = held(peer)

        assert sorted(map(digest, writer.data_sets().values())) == sent
