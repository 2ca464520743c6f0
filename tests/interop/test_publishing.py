"""Studies as files, from the modality to the manifest."""

from __future__ import annotations

from pathlib import Path

from tests.corpus import make_ct_series, make_dx
from tests.delivery.test_folder import holds
from tests.e2e.stack import data_set_of
from tests.interop.conftest import dcmsend, live_router


async def test_a_folder_gets_whole_studies(data_folder: Path, tmp_path: Path) -> None:
    paths = [*make_ct_series(tmp_path / "in", instances=20, rows=64, columns=64)]
    paths.append(make_dx(tmp_path / "in", rows=2048, columns=2048))
    share = tmp_path / "share"
    share.mkdir()
    candidate = f"{{SHARE: {{kind: folder, path: '{share}'}}}}"
    async with live_router(data_folder, candidate) as router:
        await dcmsend(router, tmp_path / "in")
        await router.settled(studies=2)

    studies = [manifest.parent for manifest in share.rglob("_SUCCESS")]
    assert [holds(study) for study in studies] == [True, True]
    published = map(data_set_of, share.rglob("*.dcm"))
    assert sorted(published) == sorted(map(data_set_of, paths))
