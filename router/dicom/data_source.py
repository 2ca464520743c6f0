"""A data set that is to be sent, as those who send it ask for its bytes."""

from __future__ import annotations

from typing import Protocol


class DataSource(Protocol):
    """A data set to be sent; read once, from its beginning to its end."""

    @property
    def length(self) -> int:
        """Bytes of the data set."""
        ...

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes read at ``offset`` if that needs no waiting, else None."""
        ...

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """Bytes read at ``offset``; raises ``SpoolFailed`` or ``CorruptRecord``."""
        ...
