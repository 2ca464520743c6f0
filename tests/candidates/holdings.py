"""What a writer holds, read from its folder by other means than its own."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from candidates.writer.archive import INDEX

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


def query(storage: Path, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
    """Rows of an index, beside its owner; none before there is an index."""
    if not (storage / INDEX).exists():
        return []
    with closing(sqlite3.connect(storage / INDEX, timeout=10)) as connection:
        try:
            return connection.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError:  # its tables are being made
            return []


def held_in(storage: Path) -> list[Held]:
    """Every instance that the index of a storage area names, with its file.

    A row is there a moment before its file is in its place.
    """
    deadline = time.monotonic() + PLACED_WITHIN_S
    while True:
        held = _rows(storage)
        if all(one.path.exists() for one in held) or time.monotonic() > deadline:
            return held
        time.sleep(0.01)  # noqa: TID251 - looking at another process from outside


def _rows(storage: Path) -> list[Held]:
    return [
        Held(study, series, instance, storage / uuid[:2] / uuid[2:4] / uuid)
        for study, series, instance, uuid in query(storage, EVERYTHING)
    ]


def count_in(storage: Path) -> int:
    """How many instances there are."""
    return len(query(storage, "SELECT id FROM instance"))
