"""A whole study by the transfers accelerator's protocol into a real Orthanc.

The receiver in front of Orthanc is made from the source of the plugin, which Debian does not have.
"""

from __future__ import annotations

from pathlib import Path

from tests.corpus import make_ct_series, make_dx
from tests.delivery.transfers_peer import transfers_peer
from tests.e2e.stack import data_set_of
from tests.interop.conftest import dcmsend, live_router, run_blocking
from tests.peers import orthanc


async def test_a_study_is_committed_whole_and_then_compared(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = [*make_ct_series(tmp_path / "in", instances=20, rows=64, columns=64)]
    paths.append(make_dx(tmp_path / "in", rows=2048, columns=4096))
    with orthanc(tmp_path / "orthanc") as peer:
        async with transfers_peer(peer.url) as front:
            candidate = f"{{ORTHANC: {{kind: orthanc-transfers, url: '{front.url}', gzip: true}}}}"
            async with live_router(data_folder, candidate) as router:
                await dcmsend(router, tmp_path / "in")
                await router.settled(studies=2)
                listed = (await router.get("/deliveries"))["deliveries"]
                detail = await router.get(f"/deliveries/{listed[0]['id']}")

            assert sorted(map(len, front.committed)) == [1, 20]
            assert [one["outcome"] for one in detail["attempts"]] == ["committing", "delivered"]
            held = await run_blocking(peer.data_sets)
            assert sorted(held.values()) == sorted(map(data_set_of, paths))
