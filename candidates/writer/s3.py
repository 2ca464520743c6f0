"""The storage area in a bucket of an S3-compatible store. All of it blocks.

An instance is written to a file without a name while it comes, and is uploaded when it is sealed:
the object appears whole, under its UUID, and is durable when the upload has ended. From before that
until it is committed, a note of its removal stands in the index. Endpoint and credentials are those
of the usual variables: ``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``.
"""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from candidates.writer.address import S3Address
from candidates.writer.attachments import Attachment, Incoming, compressed_into, described

NAME = ".area"
PART_BYTES = 8 << 20
"""Larger objects are uploaded in parts of this size, and appear after the last of them."""
PARTS_AT_ONCE = 2
WINDOW_BYTES = 4 << 20
"""Objects are read in ranges of this size, each a request of its own that may take its time."""
HEADS_AT_ONCE = 8
REQUEST_WITHIN = "60s"
RETRIES_WITHIN = timedelta(seconds=60)
_DIGITS = frozenset("0123456789abcdef")

log = structlog.get_logger(__name__)


class S3Area:
    """A part of a bucket. Implements :class:`candidates.writer.area.StorageArea`.

    It belongs to whoever owns its index: both have the same name, which the bucket gives only once.
    """

    needs_notes = True
    sealers = 8  # most of the time is spent waiting
    default_index = None

    def __init__(self, address: S3Address, *, compress: bool = False, spool: Path | None = None):
        """``spool``: where instances stand until they are uploaded; see ``open_area``.

        Raises ``OSError`` if that folder cannot be made.
        """
        self.address = address
        self._compress = compress
        self._spool = spool
        if spool is not None:
            spool.mkdir(parents=True, exist_ok=True)
        self._discarded: deque[str] = deque()
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "") or os.environ.get("AWS_ENDPOINT", "")
        self._store = S3Store(
            address.bucket,
            prefix=address.prefix or None,
            client_options={
                "timeout": REQUEST_WITHIN,
                "connect_timeout": "5s",
                "allow_http": endpoint.startswith("http:"),
            },
            retry_config={"max_retries": 2, "retry_timeout": RETRIES_WITHIN},
        )

    def __str__(self) -> str:
        return str(self.address)

    def own(self) -> Callable[[], None]:
        """There is nothing to be locked: who owns the index owns it."""
        return lambda: None

    @property
    def name(self) -> str | None:
        """What it was called when its index was made, a UUID; None: nothing."""
        with self._in_words():
            try:
                return bytes(obstore.get(self._store, NAME).bytes()).decode("ascii").strip()
            except FileNotFoundError:
                return None

    @property
    def name_stands_in(self) -> str:
        """Where a person finds its name."""
        return f"{self.address}/{NAME}"

    def give_name(self, name: str) -> None:
        """Give it a name for good; of two writers that do so at a time one is refused."""
        with self._in_words():
            obstore.put(self._store, NAME, name.encode(), mode="create")

    @property
    def is_empty(self) -> bool:
        """Whether no attachment is in its place."""
        return next(self.folders(), None) is None

    # -- on the way in ----------------------------------------------------------------------------

    def begin(self, header: bytes) -> Incoming:
        """Begin an attachment in a file without a name; raises ``OSError``."""
        file = self._nameless(str(uuid.uuid4()))
        try:
            file.write([memoryview(header)])
        except OSError:
            file.discard()
            raise
        return file

    def _nameless(self, uuid: str) -> Incoming:
        """A file that is gone with the process."""
        descriptor, path = tempfile.mkstemp(prefix="dicom-writer-", dir=self._spool)
        Path(path).unlink()
        return Incoming(descriptor, uuid)

    def seal(self, file: Incoming) -> Attachment:
        """Compress if that is wanted, and upload; raises ``OSError``.

        What became of an upload that failed is not known: its note stays until the next start.
        """
        attachment = described(file)
        if self._compress:
            with closing(self._nameless(file.uuid)) as stored:
                smaller = compressed_into(stored, file, attachment)
                if smaller is not None:
                    self._upload(stored)
                    file.close()
                    return smaller
        self._upload(file)
        file.close()
        return attachment

    def _upload(self, file: Incoming) -> None:
        with file.as_binary() as content, self._in_words():
            obstore.put(
                self._store,
                _key(file.uuid),
                content,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    def discard(self, uuid: str) -> None:
        """Have a sealed attachment removed with the next ``sync``."""
        self._discarded.append(uuid)

    def sync(self) -> Sequence[str]:
        """Remove what was discarded; the UUIDs."""
        count = len(self._discarded)
        return self.remove([self._discarded.popleft() for _ in range(count)])

    def place(self, uuid: str) -> None:
        """An object is in its place from the beginning."""

    def incoming(self) -> Sequence[str]:
        """What is not in its place ends with the process."""
        return ()

    # -- what is there ----------------------------------------------------------------------------

    def where(self, uuid: str) -> str:
        """Where an attachment is kept, for a person."""
        return f"{self.address}/{_key(uuid)}"

    def where_in(self, folder: str, name: str) -> str:
        """Where something is that stands under four digits, for a person."""
        return f"{self.address}/{folder[:2]}/{folder[2:]}/{name}"

    def open(self, uuid: str) -> StoredObject:
        """The object of an attachment; raises ``OSError``."""
        return StoredObject(self._read, _key(uuid))

    def _read(self, key: str, start: int) -> tuple[memoryview, int]:
        """A window of an object, and how long the whole of it is; raises ``OSError``."""
        with self._in_words():
            options: Any = {"range": (start, start + WINDOW_BYTES)}
            found = obstore.get(self._store, key, options=options)
            return memoryview(found.bytes()), found.meta["size"]

    def sizes_of(self, uuids: Iterable[str]) -> Mapping[str, int]:
        """How long the objects of those of these attachments are that are there."""
        wanted = list(uuids)
        with ThreadPoolExecutor(HEADS_AT_ONCE) as threads:
            sizes = threads.map(self._size_of, wanted)
            return {
                name: size for name, size in zip(wanted, sizes, strict=True) if size is not None
            }

    def _size_of(self, uuid: str) -> int | None:
        with self._in_words():
            try:
                return obstore.head(self._store, _key(uuid))["size"]
            except FileNotFoundError:
                return None

    def remove(self, uuids: Iterable[str]) -> Sequence[str]:
        """Remove objects; all of them, or none that is known of."""
        wanted = list(uuids)
        if not wanted:
            return ()
        try:
            with self._in_words():
                obstore.delete(self._store, [_key(name) for name in wanted])
        except OSError as error:  # it is tried again at the next start
            log.error("attachments could not be removed", count=len(wanted), error=str(error))
            return ()
        return wanted

    def folders(self) -> Iterator[str]:
        """The first four digits of all objects, in order."""
        for first in self._prefixes(None):
            for second in self._prefixes(first):
                yield first + second

    def _prefixes(self, under: str | None) -> list[str]:
        with self._in_words():
            listed = obstore.list_with_delimiter(self._store, under)["common_prefixes"]
        names = (prefix.rpartition("/")[2] for prefix in listed)
        return sorted(name for name in names if len(name) == 2 and _DIGITS.issuperset(name))

    def names(self, folder: str) -> Sequence[str]:
        """What is under four digits, in order."""
        prefix = f"{folder[:2]}/{folder[2:]}"
        with self._in_words():
            pages = list(obstore.list(self._store, prefix, chunk_size=1000))
        return sorted(one["path"].removeprefix(f"{prefix}/") for page in pages for one in page)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """What the store answers, as ``OSError``; ``FileNotFoundError`` stays what it is."""
        try:
            yield
        except FileNotFoundError as error:
            reason = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, reason, str(self.address)) from error
        except AlreadyExistsError as error:
            reason = "another writer has just given it a name"
            raise FileExistsError(errno.EEXIST, reason, str(self.address)) from error
        except BaseError as error:
            reason = str(error).partition("\n\nDebug source")[0].replace("\n", " ")[:300]
            raise OSError(errno.EIO, reason, str(self.address)) from error


class StoredObject:
    """The object of an attachment. Implements :class:`candidates.writer.area.Blob`."""

    __slots__ = ("_key", "_length", "_read", "_start", "_window")

    def __init__(self, read: Callable[[str, int], tuple[memoryview, int]], key: str):
        """Read its beginning; raises ``OSError``."""
        self._read, self._key = read, key
        self._start = 0
        self._window, self._length = read(key, 0)

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Bytes of the range that was read last, else None."""
        if offset >= self._length:
            return 0
        piece = self._window[offset - self._start :] if offset >= self._start else b""
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        return count or None

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """At least one byte, or none at the end; raises ``OSError``."""
        count = self.try_read_into(buffer, offset)
        if count is None:
            self._window, _ = self._read(self._key, offset)
            self._start = offset
            count = self.try_read_into(buffer, offset)
        return count or 0

    def close(self) -> None:
        """Keep no more of it."""
        self._window = memoryview(b"")


def _key(uuid: str) -> str:
    return f"{uuid[:2]}/{uuid[2:4]}/{uuid}"
