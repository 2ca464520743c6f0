"""Whether there is room for another instance: the spool's high-water mark."""

from __future__ import annotations

import os
import time
from pathlib import Path

from router.domain.errors import SpoolFull
from router.spool.files import storage_error

LOOK_EVERY_S = 1.0
LOOK_EVERY_BYTES = 64 << 20
AMPLE_BYTES = 256 << 20


class Room:
    """Counts the bytes of the spool and, now and then, looks at what is free beside it.

    The file system is asked once a second at most, or after every 64 MiB, not for each instance.
    """

    __slots__ = ("_directory", "_free", "_look_at", "_looked_at", "_max_bytes", "_min_free", "used")

    def __init__(self, directory: Path, max_bytes: int | None, min_free_bytes: int):
        self._directory = directory
        self._max_bytes = max_bytes
        self._min_free = min_free_bytes
        self._free = 0
        self._look_at = 0  # when so much is used, whatever the time
        self._looked_at = float("-inf")
        self.used = 0
        """Bytes that the spool holds, instances that are just arriving included."""

    def check(self) -> None:
        """Nothing if there is room. Raises ``SpoolFull``, or ``SpoolFailed`` if that is unknown."""
        if self._max_bytes is not None and self.used >= self._max_bytes:
            raise SpoolFull(
                f"spool.max_bytes is reached, with {self.used >> 20} MiB at {self._directory}: "
                "instances are taken again when studies have been delivered"
            )
        if self._free_bytes() < self._min_free:
            raise SpoolFull(
                f"less than spool.min_free is free, {self._free >> 20} MiB at {self._directory}: "
                "free space on its file system"
            )

    @property
    def is_ample(self) -> bool:
        """Whether room may be taken before it is needed, as far as was seen lately."""
        return (
            self._max_bytes is None or self.used + AMPLE_BYTES <= self._max_bytes
        ) and self._free >= self._min_free + AMPLE_BYTES

    def _free_bytes(self) -> int:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S or self.used >= self._look_at:
            try:
                found = os.statvfs(self._directory)
            except OSError as error:
                raise storage_error(error, self._directory) from error
            self._free = found.f_bavail * found.f_frsize
            self._looked_at = now
            self._look_at = self.used + LOOK_EVERY_BYTES
        return self._free
