"""Studies into ChRIS, from the modality to the registration, with a broker that is late.

CUBE cannot be installed here; tests/delivery/cube.py says what judges instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import peers
from tests.corpus import make_ct_series, make_study
from tests.delivery.test_chris_after_the_source_of_oxidicom import redis_cli, waiting
from tests.e2e.stack import data_set_of, free_port
from tests.interop.conftest import dcmsend, live_router


def waits_for_broker(delivery: dict[str, Any]) -> bool:
    return delivery["state"] == "retrying" and "broker redis://" in delivery["reason"]


async def test_chris_is_told_of_every_series_when_its_broker_is_there(
    data_folder: Path, tmp_path: Path
) -> None:
    paths = make_ct_series(tmp_path / "in", instances=20, rows=64, columns=64)
    series = make_study(tmp_path / "in", T1=2, T2=3)
    paths += [path for one in series.values() for path in one]
    files, port = tmp_path / "files", free_port()
    files.mkdir()
    candidate = f"{{CHRIS: {{kind: chris, path: '{files}', broker: 'redis://127.0.0.1:{port}/0'}}}}"
    async with live_router(data_folder, candidate) as router:
        await dcmsend(router, tmp_path / "in")
        await router.until(
            "both deliveries wait for the broker",
            lambda answer: sum(waits_for_broker(one) for one in answer["deliveries"]) == 2,
            "/deliveries",
        )
        with peers.redis_server(tmp_path / "redis", port=port):
            await router.settled(studies=2)

            assert waiting(port) == 3
            queued = redis_cli(port, "LRANGE", "main2", "0", "-1")
            assert queued.count("pacsfiles.tasks.register_pacs_series") == 3

    published = map(data_set_of, files.rglob("*.dcm"))
    assert sorted(published) == sorted(map(data_set_of, paths))


async def test_a_wrong_password_is_said_and_the_study_is_registered_when_it_is_put_right(
    data_folder: Path, tmp_path: Path
) -> None:
    make_ct_series(tmp_path / "in", instances=3, rows=8, columns=8)
    files, password = tmp_path / "files", tmp_path / "password"
    files.mkdir()
    password.write_text("not-the-password")
    with peers.redis_server(tmp_path / "redis", "--requirepass", "the-password") as port:
        broker = f"broker: 'redis://127.0.0.1:{port}/0'"
        auth = f"auth: {{user: default, password_file: '{password}'}}"
        candidate = f"{{CHRIS: {{kind: chris, path: '{files}', {broker}, {auth}}}}}"
        async with live_router(data_folder, candidate) as router:
            await dcmsend(router, tmp_path / "in")
            answer = await router.until(
                "the delivery waits for the broker",
                lambda answer: any(map(waits_for_broker, answer["deliveries"])),
                "/deliveries",
            )
            reason = answer["deliveries"][0]["reason"]
            assert "invalid username-password pair" in reason
            assert "not-the-password" not in reason

            password.write_text("the-password")
            await router.settled(studies=1)
