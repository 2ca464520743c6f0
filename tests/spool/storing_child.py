"""A process that stores without end and prints what was acknowledged, until it is killed.

``python -m tests.spool.storing_child DIRECTORY ASSOCIATIONS COUNT``
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from router.domain.errors import RouterError
from router.domain.instance import Disposition, Instance
from router.spool.log import LocalSpool
from tests.spool.helpers import FACTS, PART10_HEADER, PROVENANCE, a_spool, data_set, identity


def size_of(number: int) -> int:
    """Sizes from nothing to some hundred kilobytes."""
    return number * 7919 % 200_000


class Modality:
    """Sends one instance after the other, as an association does: from callbacks only."""

    def __init__(self, spool: LocalSpool, numbers: list[int]):
        self._spool = spool
        self._numbers = numbers
        self._number = 0
        self.has_finished = anyio.Event()

    def send_next(self) -> None:
        if not self._numbers:
            self.has_finished.set()
            return
        number = self._number = self._numbers.pop()
        view = memoryview(data_set(number, size_of(number)))
        writer = self._spool.create(PART10_HEADER)
        for start in range(0, len(view), 50_000):
            writer.write([view[start : start + 50_000]])
        writer.seal(identity(number), PROVENANCE, FACTS, Disposition.ACCEPTED, "", self._sealed)

    def _sealed(self, result: Instance | RouterError) -> None:
        word = "stored" if isinstance(result, Instance) else "refused"
        sys.stdout.write(f"{word} {self._number}\n")
        sys.stdout.flush()
        self.send_next()


async def run(directory: Path, associations: int, count: int) -> None:
    """Share the numbers out to so many modalities, and wait until all are stored."""
    async with a_spool(directory, segment_bytes=1 << 20) as spool:
        modalities = [
            Modality(spool, list(range(first, count, associations)))
            for first in range(associations)
        ]
        for modality in modalities:
            modality.send_next()
        for modality in modalities:
            await modality.has_finished.wait()


if __name__ == "__main__":
    anyio.run(run, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
