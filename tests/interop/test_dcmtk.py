"""dcmtk as modality and as writer."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from tests.corpus import make_ct_series, real_files
from tests.e2e.stack import data_set_of, free_port
from tests.interop.conftest import dcmsend, live_router, run_blocking
from tests.peers import ROUTER, dcmtk, delayed_acknowledgements, storescp


def writer(port: int) -> str:
    """A static candidate that gets every study."""
    return f"{{BACKUP: {{host: 127.0.0.1, port: {port}}}}}"


async def test_echoscu_is_answered(data_folder: Path) -> None:
    async with live_router(data_folder, "{}") as router:
        done = await run_blocking(partial(dcmtk, "echoscu", *ROUTER, str(router.port)))

    assert done.returncode == 0, done.stderr


async def test_echoscu_with_another_called_ae_title_is_rejected(data_folder: Path) -> None:
    arguments = ("echoscu", "-aec", "NOBODY", "127.0.0.1")
    async with live_router(data_folder, "{}") as router:
        done = await run_blocking(partial(dcmtk, *arguments, str(router.port)))

    assert "Called AE Title Not Recognized" in done.stderr


async def test_what_storescu_sends_arrives_at_storescp_byte_for_byte(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=20, rows=64, columns=64)
    with storescp(tmp_path / "writer") as peer:
        async with live_router(data_folder, writer(peer.port)) as router:
            send = ("storescu", "+sd", *ROUTER, str(router.port), str(tmp_path / "ct"))
            done = await run_blocking(partial(dcmtk, *send))
            await router.settled(studies=1)

        assert done.returncode == 0, done.stderr
        assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))


async def test_what_is_sent_at_a_rate_arrives_byte_for_byte_too(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=4, rows=256, columns=256)
    with storescp(tmp_path / "writer") as peer:
        at_a_rate = f"{{BACKUP: {{host: 127.0.0.1, port: {peer.port}, rate: 500kB}}}}"
        async with live_router(data_folder, at_a_rate) as router:
            await dcmsend(router, tmp_path / "ct")
            await router.settled(studies=1)

        assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))


async def test_what_dcmsend_sends_arrives_as_if_it_were_sent_straight_to_the_writer(
    data_folder: Path, tmp_path: Path
) -> None:
    """In every transfer syntax. dcmtk drops group lengths when it sends: it is its own measure."""
    files = {file.sop_instance_uid: file for file in real_files() if file.is_routable}
    (tmp_path / "files").mkdir()
    for number, file in enumerate(files.values()):
        shutil.copy(file.path, tmp_path / "files" / f"{number}.dcm")
    send = partial(dcmtk, "dcmsend", "--no-halt", "--no-uid-checks", "--decompress-never", "+sd")
    with storescp(tmp_path / "straight") as straight, storescp(tmp_path / "writer") as peer:
        await run_blocking(send, "127.0.0.1", str(straight.port), str(tmp_path / "files"))
        sent = straight.data_sets()
        async with live_router(data_folder, writer(peer.port)) as router:
            await run_blocking(send, *ROUTER, str(router.port), str(tmp_path / "files"))
            refused = await router.until(
                "everything is delivered, or refused",
                lambda answer: len(answer["refusals"]) + len([*peer.folder.iterdir()]) >= len(sent),
                "/refusals",
            )
            for one in refused["refusals"]:
                # its data set contradicts its command set; storescp looks at none
                del sent[one["sop_instance_uid"]]
            await router.until(
                "everything is delivered",
                lambda answer: sum(one["delivered"] for one in answer["deliveries"]) == len(sent),
                "/deliveries?limit=1000",
            )

        held = peer.data_sets()
        assert len(refused["refusals"]) <= 1
        assert held.keys() == sent.keys()
        assert [uid for uid in held if held[uid] != sent[uid]] == []
        assert len(held) >= 100
        assert len({files[uid].transfer_syntax_uid for uid in held}) >= 8


async def test_a_writer_that_is_away_gets_everything_when_it_is_back(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "ct", instances=5, rows=16, columns=16)
    port = free_port()
    async with live_router(data_folder, writer(port)) as router:
        await dcmsend(router, tmp_path / "ct")
        await router.until(
            "the delivery was tried in vain",
            lambda answer: any(one["state"] == "retrying" for one in answer["deliveries"]),
            "/deliveries",
        )
        with storescp(tmp_path / "writer", port=port) as peer:
            await router.settled(studies=1)

            assert sorted(peer.data_sets().values()) == sorted(map(data_set_of, paths))


async def test_peers_that_leave_nagle_on_never_wait_for_a_delayed_acknowledgement(
    data_folder: Path, tmp_path: Path
) -> None:
    """Counted, not timed: without TCP_QUICKACK there is about one for each instance, each way.

    The kernel counts those of all programs: what runs beside this test has some, too.
    """
    make_ct_series(tmp_path / "ct", instances=200, rows=256, columns=256)
    with storescp(tmp_path / "writer", tuned=False) as peer:
        async with live_router(data_folder, writer(peer.port)) as router:
            before = delayed_acknowledgements()
            await dcmsend(router, tmp_path / "ct", tuned=False)
            await router.settled(studies=1)
            delayed = delayed_acknowledgements() - before

        assert len(peer.data_sets()) == 200
        assert delayed < 100
