"""What the writer needs of its storage area, whatever it is made of. All of it blocks.

An attachment is begun, written, sealed, committed by the index, and placed. Where nothing tells at
the next start what was sealed and not committed (``needs_notes``), a note of removal stands in the
index from before an attachment is sealed until it is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from candidates.writer.address import S3Address, StorageAddress
from candidates.writer.attachments import Attachment, Incoming


class Blob(Protocol):
    """What is stored of an attachment, compressed or not, to be read at any place and closed."""

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes that need no waiting, else None."""
        ...

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """At least one byte, or none at the end; raises ``OSError``. Blocks."""
        ...

    def close(self) -> None:
        """Read no more."""
        ...


class StorageArea(Protocol):
    """A place for attachments. ``str()`` of it names it to a person.

    ``begin``, and writing and discarding what was begun, are called on the event loop; all that
    blocks for long is called in worker threads. ``OSError`` is raised for what the place answers.
    """

    @property
    def needs_notes(self) -> bool:
        """Whether a note has to stand in the index before ``seal``."""
        ...

    @property
    def sealers(self) -> int:
        """How many attachments are best sealed at a time."""
        ...

    @property
    def default_index(self) -> Path | None:
        """Where its index is, if nobody says where it is; None: it has to be said."""
        ...

    def own(self) -> Callable[[], None]:
        """Take possession; what is to be called to let others have it. Raises ``ArchiveInUse``."""
        ...

    @property
    def name(self) -> str | None:
        """What it was called when its index was made; None: nothing."""
        ...

    @property
    def name_stands_in(self) -> str:
        """Where a person finds its name."""
        ...

    def give_name(self, name: str) -> None:
        """Give it a name for good, durably, unless it has one."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether no attachment is in its place."""
        ...

    def begin(self, header: bytes) -> Incoming:
        """Begin an attachment with its first bytes."""
        ...

    def seal(self, file: Incoming) -> Attachment:
        """Compress if that is wanted, digest, and keep it durably, in place or not yet."""
        ...

    def discard(self, uuid: str) -> None:
        """A sealed attachment will not be committed. Called on the event loop, too."""
        ...

    def sync(self) -> Sequence[str]:
        """Make all that is sealed last; UUIDs of discarded ones that have been removed by now."""
        ...

    def place(self, uuid: str) -> None:
        """Put a committed attachment where it belongs."""
        ...

    def incoming(self) -> Sequence[str]:
        """UUIDs, and names of other things, that were begun and not placed."""
        ...

    def where(self, uuid: str) -> str:
        """Where an attachment is kept, for a person."""
        ...

    def where_in(self, folder: str, name: str) -> str:
        """Where something is that stands under four digits, for a person."""
        ...

    def open(self, uuid: str) -> Blob:
        """What is stored of an attachment; ``FileNotFoundError`` if it is not there."""
        ...

    def sizes_of(self, uuids: Iterable[str]) -> Mapping[str, int]:
        """How many bytes are stored of those of these attachments that are there."""
        ...

    def remove(self, uuids: Iterable[str]) -> Sequence[str]:
        """Remove attachments, never at the same time as ``place``; those that are gone now."""
        ...

    def folders(self) -> Iterator[str]:
        """The first four digits of everything that is in place, in order."""
        ...

    def names(self, folder: str) -> Sequence[str]:
        """What is in place under four digits, in order."""
        ...


def open_area(
    address: StorageAddress, *, compress: bool = False, spool: Path | None = None
) -> StorageArea:
    """A storage area, which is made if need be.

    ``compress``: what gets smaller by it is kept compressed. ``spool``: the folder where instances
    stand until they are in S3; None: that for temporary files.
    """
    if isinstance(address, S3Address):
        from candidates.writer.s3 import S3Area

        return S3Area(address, compress=compress, spool=spool)
    from candidates.writer.storage import Storage

    return Storage(address, compress=compress)
