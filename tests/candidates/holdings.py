"""What a writer holds, read from its folder by other means than its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from candidates.writer.archive import Archive
from candidates.writer.storage import INDEX, Storage
from tests.candidates.indexes import Index, InFile

PLACED_WITHIN_S = 10.0
EVERYTHING = """
SELECT study.study_instance_uid, series.series_instance_uid, instance.sop_instance_uid,
       attachment.uuid
FROM attachment
JOIN instance ON instance.id = attachment.instance_id
JOIN series ON series.id = instance.parent_id
JOIN study ON study.id = series.parent_id
ORDER BY instance.id
"""


@dataclass(frozen=True)
class Held:
    """One instance."""

    study: str
    series: str
    instance: str
    path: Path


def root_of(archive: Archive) -> Path:
    """The folder of an archive whose storage area is one."""
    assert isinstance(archive.storage, Storage)
    return archive.storage.root


def held_in(storage: Path, index: Index | None = None) -> list[Held]:
    """Every instance that the index of a storage area names, with its file.

    The index is the one that a writer makes in its storage area, unless another one is named.

    A row is there a moment before its file is in its place.
    """
    deadline = time.monotonic() + PLACED_WITHIN_S
    while True:
        held = _rows(storage, index or InFile(storage / INDEX))
        if all(one.path.exists() for one in held) or time.monotonic() > deadline:
            return held
        time.sleep(0.01)  # noqa: TID251 - looking at another process from outside


def _rows(storage: Path, index: Index) -> list[Held]:
    return [
        Held(study, series, instance, storage / uuid[:2] / uuid[2:4] / uuid)
        for study, series, instance, uuid in index.query(EVERYTHING)
    ]


def count_in(storage: Path) -> int:
    """How many instances there are."""
    return len(InFile(storage / INDEX).query("SELECT id FROM instance"))
