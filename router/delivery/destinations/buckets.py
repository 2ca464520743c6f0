"""How a study is cut into the requests of the transfers accelerator: pure arithmetic.

Small instances are grouped, those of a bucket's size go alone, large ones are divided evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

GROUP_BYTES = 4 * 1024**2
"""Instances below this are grouped until their group reaches it."""
DIVIDE_BYTES = 2 * GROUP_BYTES
"""Instances from this on are divided into pieces that are no larger."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the file of one instance: its index in the study, and which bytes."""

    index: int
    offset: int
    size: int


Bucket = tuple[Piece, ...]
"""What goes in one request; only a piece that stands alone may be a part of its instance."""


def plan_buckets(sizes: Sequence[int]) -> Sequence[Bucket]:
    """The buckets for files of these sizes; together they hold each byte once."""
    group: list[Piece] = []
    buckets: list[Bucket] = []
    for index, size in enumerate(sizes):
        if size >= GROUP_BYTES:
            buckets.extend((piece,) for piece in _divided(index, size))
        elif size:
            group.append(Piece(index, 0, size))
            if sum(piece.size for piece in group) >= GROUP_BYTES:
                buckets.append(tuple(group))
                group = []
    if group:
        buckets.append(tuple(group))
    return buckets


def _divided(index: int, size: int) -> Iterator[Piece]:
    count = -(-size // DIVIDE_BYTES)
    edges = [number * size // count for number in range(count + 1)]
    for offset, end in pairwise(edges):
        yield Piece(index, offset, end - offset)
