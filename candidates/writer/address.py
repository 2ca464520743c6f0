"""Where a storage area is: a folder, or a part of a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_S3 = "s3://"


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket, and the prefix of all keys in it."""

    bucket: str
    prefix: str  # without slashes at its ends; empty: the whole bucket

    def __str__(self) -> str:
        return f"{_S3}{self.bucket}/{self.prefix}".rstrip("/")


StorageAddress = Path | S3Address
"""A storage area that a writer is told of."""


def parse_storage(text: str) -> StorageAddress:
    """A path, or ``s3://BUCKET/PREFIX``; raises ``ValueError``."""
    if "://" not in text:
        return Path(text)
    bucket, _, prefix = text.removeprefix(_S3).partition("/")
    parts = [part for part in prefix.split("/") if part]
    if not text.startswith(_S3) or not bucket or {".", ".."} & {*parts}:
        raise ValueError(f"{text!r} names no storage area: write s3://BUCKET/PREFIX, or a path")
    return S3Address(bucket, "/".join(parts))
