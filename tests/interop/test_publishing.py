"""Studies as files, from the modality to the manifest."""

from __future__ import annotations

from pathlib import Path

from tests.corpus import make_ct_series, make_dx
from tests.delivery.test_folder import holds
from tests.e2e.stack import data_set_of
from tests.interop.conftest import live_router, run_blocking
from tests.interop.test_orthanc import digest
from tests.peers import ROUTER, dcmtk


async def test_a_folder_gets_whole_studies(data_folder: Path, tmp_path: Path) -> None:
    paths = [*make_ct_series(tmp_path / "in", instances=20, rows=64, columns=64)]
    paths.append(make_dx(tmp_path / "in", rows=2048, columns=2048))
    share = tmp_path / "share"
    share.mkdir()
    candidate = f"{{SHARE: {{kind: folder, path: '{share}'}}}}"
    async with live_router(data_folder, candidate) as router:
        send = ("dcmsend", "+sd", *ROUTER, str(router.port), str(tmp_path / "in"))
        await run_blocking(lambda: dcmtk(*send))
        await router.settled(studies=2)

    studies = [manifest.parent for manifest in share.rglob("_SUCCESS")]
    assert [holds(study) for study in studies] == [True, True]
    assert sorted(digest(data_set_of(path)) for path in share.rglob("*.dcm")) == sorted(
        digest(data_set_of(path)) for path in paths
    )
