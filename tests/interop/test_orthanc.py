"""Orthanc as modality and as writer."""

from __future__ import annotations

import json
from pathlib import Path

from tests.corpus import make_ct_series
from tests.e2e.stack import data_set_of
from tests.interop.conftest import RouterWith, dcmsend, live_router, run_blocking
from tests.peers import StoreSCP, orthanc


async def test_orthanc_as_writer_holds_the_same_bytes(data_folder: Path, tmp_path: Path) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=12, rows=64, columns=64)
    with orthanc(tmp_path / "orthanc") as peer:
        candidate = f"{{ORTHANC: {{host: 127.0.0.1, port: {peer.port}, associations: 3}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, tmp_path / "ct")
            await router.settled(studies=1)

        assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))


async def test_orthanc_as_modality_proposes_everything_at_once_and_is_served(
    router_with: RouterWith, writer: StoreSCP, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=6, rows=64, columns=64)
    async with router_with() as router:
        modalities = {"router": ["ROUTER", "127.0.0.1", router.port]}
        with orthanc(tmp_path / "orthanc", DicomModalities=modalities) as peer:

            def send_from_orthanc() -> None:
                for path in paths:
                    peer.post("/instances", path.read_bytes())
                body = json.dumps(peer.instances()).encode()
                peer.post("/modalities/router/store", body)

            await run_blocking(send_from_orthanc)
            await router.settled(studies=1)
            assert writer.data_sets() == peer.data_sets()
