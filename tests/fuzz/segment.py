"""A small, valid spool segment, made once."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anyio

from router.domain.instance import Instance
from tests.spool.helpers import a_spool, data_set, segments, store


@dataclass(frozen=True)
class Segment:
    """The bytes of a segment file, and what is in it."""

    name: str
    content: bytes
    instances: tuple[Instance, ...]


@cache
def a_segment() -> Segment:
    """A segment of three records."""

    async def make(directory: Path) -> Segment:
        async with a_spool(directory) as spool:
            instances = [await store(spool, number, data_set(number, 64)) for number in range(3)]
        (path,) = segments(directory)
        return Segment(path.name, path.read_bytes(), tuple(instances))

    with tempfile.TemporaryDirectory() as directory:
        return anyio.run(make, Path(directory))
