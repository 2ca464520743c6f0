"""Memory stays flat whatever the size of an object."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.candidates.holdings import held_in
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, WriterProcess, running, wait_until
from tests.e2e.test_main_job import SETTINGS, Stack

LIMIT_BYTES = 100 * 1024 * 1024
SIDE = 16_384  # 16384 x 16384 x 2 bytes = 512 MiB of pixel data


class HighWater:
    """The highest resident memory of a process while the block lasts."""

    def __init__(self, process: RouterProcess):
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes = 0

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.bytes = max(self.bytes, self._process.resident_bytes)

    def __enter__(self) -> HighWater:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_a_500_mb_object_is_received_and_forwarded_in_less_than_100_mb(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path / "router", SETTINGS)
    backup = WriterProcess(tmp_path, "BACKUP", router.url, None)
    [path] = make_ct_series(tmp_path / "big", instances=1, rows=SIDE, columns=SIDE)
    assert path.stat().st_size > 500_000_000
    with running(router, backup):
        wait_until(lambda: router.candidates() == {"BACKUP"}, "the writer is registered")
        stack = Stack(router, backup, backup, backup)
        with HighWater(router) as high_water:
            report = stack.send(path)
            stack.wait_until_settled()

    assert report["sent"] == 1
    [stored] = held_in(backup.storage)
    assert stored.path.stat().st_size > 500_000_000
    assert high_water.bytes < LIMIT_BYTES
