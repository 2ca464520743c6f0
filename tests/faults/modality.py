"""A process that sends study after study, resends what was not acknowledged, and keeps a record.

``python -m tests.faults.modality PORT FOLDER SEED``

``FOLDER/acknowledged.jsonl`` gets a line for each instance that was answered 0000. When the file
``FOLDER/stop`` appears no study is begun any more; the process ends when all that it began is
acknowledged.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import anyio
from pydicom import dcmread

from router.modality.media import find_below
from router.modality.sender import OutgoingFile, Target, send_files
from tests.corpus import make_ct_series, make_dx
from tests.e2e.stack import data_set_of

STATIONS = 3
PAUSE_S = 0.25
RECORD = "acknowledged.jsonl"
STOP = "stop"


@dataclass(frozen=True, slots=True)
class Station:
    """One modality of several; it sends one study at a time."""

    number: int
    port: int
    folder: Path
    draw: random.Random

    async def run(self) -> None:
        """Send studies until told to stop."""
        target = Target("127.0.0.1", self.port, "ROUTER", f"STATION{self.number}")
        while not (self.folder / STOP).exists():
            study = await anyio.to_thread.run_sync(self._make_study)
            await self._send_until_acknowledged(study, target)
            await anyio.sleep(PAUSE_S * self.draw.random())

    def _make_study(self) -> list[Path]:
        folder = self.folder / f"station{self.number}"
        kind = self.draw.random()
        if kind < 0.2:
            return [make_dx(folder, rows=self.draw.choice((256, 1024)), columns=512)]
        if kind < 0.3:  # objects that take long enough to be cut in the middle
            return make_ct_series(folder, instances=4, rows=1024, columns=1024)
        modality = "CT" if kind < 0.8 else "MR"
        count, side = self.draw.randint(5, 40), self.draw.choice((32, 64, 128))
        return make_ct_series(folder, count, side, side, modality)

    async def _send_until_acknowledged(self, paths: list[Path], target: Target) -> None:
        """Nothing is forgotten before it is acknowledged: what a modality's queue does."""
        waiting = {one.file.path: one.file for one in find_below(paths) if one.file}
        offers: Counter[Path] = Counter()
        while waiting:
            offers.update(waiting.keys())
            report = await send_files(
                list(waiting.values()), target, self.draw.randint(1, 3), _ignore
            )
            failed = {path for path, _ in report.failures}
            for path in [path for path in waiting if path not in failed]:
                self._acknowledged(waiting.pop(path), offers[path])
            if waiting:
                await anyio.sleep(PAUSE_S)

    def _acknowledged(self, file: OutgoingFile, offers: int) -> None:
        head = dcmread(file.path, stop_before_pixels=True)
        line = {
            "instance": file.sop_instance_uid,
            "study": str(head.StudyInstanceUID),
            "modality": str(head.Modality),
            "digest": hashlib.sha256(data_set_of(file.path)).hexdigest(),
            "offers": offers,
        }
        with (self.folder / RECORD).open("a") as record:
            record.write(json.dumps(line) + "\n")
        file.path.unlink()


def _ignore(_file: OutgoingFile) -> None:
    """Progress is of no interest here."""


async def send_studies(port: int, folder: Path, seed: int) -> None:
    """Several stations at once."""
    async with anyio.create_task_group() as tasks:
        for number in range(STATIONS):
            draw = random.Random(f"{seed}/{number}")
            tasks.start_soon(Station(number, port, folder, draw).run)


if __name__ == "__main__":
    anyio.run(send_studies, int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
