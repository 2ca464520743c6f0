"""Reads a whole archive: every attachment against its row, every file and every row for a partner.

What is held in memory is a folder's worth at a time, however large the archive is. All of it
blocks.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from candidates.writer.address import StorageAddress
from candidates.writer.archive import open_parts
from candidates.writer.area import StorageArea, open_area
from candidates.writer.attachments import PIECE_BYTES, Attachment, Compression
from candidates.writer.errors import ArchiveMismatch
from candidates.writer.index.address import IndexAddress
from candidates.writer.index.index import Index
from candidates.writer.reading import stored_pieces
from candidates.writer.storage import INCOMING, INDEX


class Trouble(StrEnum):
    """What can be wrong with an attachment."""

    NO_FILE = "no-file"  # the index has it, the storage area does not
    NO_ROW = "no-row"  # a file that the index does not have
    DAMAGED = "damaged"  # what is on the disk is not what was written
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    trouble: Trouble
    path: str  # where it is, or should be
    reason: str
    sop_instance_uid: str = ""  # empty where no row says it


@dataclass(slots=True)
class Report:
    """What was read, and what is wrong with it."""

    attachments: int = 0
    stored_bytes: int = 0
    unfinished: int = 0  # files that the next start of the writer puts in order
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether all is as it should be."""
        return not self.findings

    @property
    def counts(self) -> dict[str, int]:
        """How often each trouble was found."""
        return dict(Counter(finding.trouble.value for finding in self.findings))


def verify(directory: StorageAddress, index: IndexAddress | None = None) -> Report:
    """Read all of a storage area that no writer is using.

    Raises ``ArchiveInUse`` while one does, ``ArchiveMismatch`` where there is nothing to verify,
    ``IndexFailed`` or ``OSError``.
    """
    if isinstance(directory, Path):
        address = index or directory / INDEX
        if isinstance(address, Path) and not address.is_file():
            raise ArchiveMismatch(f"there is no index {address}")
        if not (directory / INCOMING).is_dir():
            raise ArchiveMismatch(f"{directory} is no storage area of a writer")
    storage = open_area(directory)
    with ExitStack() as owned:
        opened = open_parts(storage, index, owned, create=False)
        return _Verification(storage, opened).run()


class _Verification:
    def __init__(self, storage: StorageArea, index: Index):
        self._storage = storage
        self._index = index
        self._report = Report()
        self._incoming = set(storage.incoming())
        self._expected_to_go = set(index.removals())

    def run(self) -> Report:
        for folder in sorted({*self._storage.folders(), *self._index.folders()}):
            self._verify_folder(folder)
        self._report.unfinished += len(self._incoming)
        return self._report

    def _verify_folder(self, folder: str) -> None:
        rows = self._index.attachments_in(folder)
        names = set(self._storage.names(folder))
        for name in sorted(names - rows.keys()):
            if name in self._expected_to_go:
                self._report.unfinished += 1
            else:
                where = self._storage.where_in(folder, name)
                self._find(Trouble.NO_ROW, where, "the index does not have it")
        for _, attachment in sorted(rows.items()):
            self._verify_attachment(attachment)

    def _verify_attachment(self, attachment: Attachment) -> None:
        where = self._storage.where(attachment.uuid)
        try:
            with closing(self._storage.open(attachment.uuid)) as blob:
                reason = _difference(attachment, stored_pieces(blob))
        except (FileNotFoundError, NotADirectoryError):
            self._find(Trouble.NO_FILE, where, "the file is gone", attachment)
            return
        except OSError as error:
            self._find(Trouble.UNREADABLE, where, error.strerror or str(error), attachment)
            return
        self._report.attachments += 1
        self._report.stored_bytes += attachment.stored_size
        if reason:
            self._find(Trouble.DAMAGED, where, reason, attachment)

    def _find(
        self, trouble: Trouble, path: str, reason: str, attachment: Attachment | None = None
    ) -> None:
        uid = self._index.instance_of(attachment.uuid) if attachment is not None else ""
        self._report.findings.append(Finding(trouble, path, reason, uid))


def _difference(attachment: Attachment, pieces: Iterator[memoryview]) -> str:
    """How stored content differs from what its row says; empty: not at all."""
    stored, whole = hashlib.md5(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    stored_size = size = 0
    inflate = zlib.decompressobj() if attachment.compression is Compression.ZLIB else None
    try:
        for piece in pieces:
            stored.update(piece)
            stored_size += len(piece)
            for plain in (piece,) if inflate is None else _inflated(inflate, piece):
                whole.update(plain)
                size += len(plain)
    except zlib.error as error:
        return f"what is stored cannot be inflated: {error}"
    if stored_size != attachment.stored_size:
        return f"{stored_size} bytes are stored; {attachment.stored_size} were written"
    if stored.hexdigest() != attachment.stored_md5:
        return f"the MD5 is {stored.hexdigest()}; {attachment.stored_md5} was written"
    if (size, whole.hexdigest()) != (attachment.size, attachment.md5):
        return "what is stored inflates to something else than what was received"
    return ""


def _inflated(inflate: zlib._Decompress, piece: bytes | memoryview) -> Iterator[bytes]:
    while piece:
        yield inflate.decompress(piece, PIECE_BYTES)
        piece = inflate.unconsumed_tail


def report_as_text(report: Report) -> str:
    """The report for people: a line for each finding, and a sum."""
    lines = [
        " ".join(filter(None, (one.trouble, one.path, one.sop_instance_uid, one.reason)))
        for one in report.findings
    ]
    if report.unfinished:
        lines.append(f"{report.unfinished} files wait for the next start of the writer")
    what = f"{report.attachments} attachments, {report.stored_bytes} bytes"
    wrong = ", ".join(f"{count} {trouble}" for trouble, count in report.counts.items())
    return "\n".join([*lines, f"{what}: {wrong or 'all are as they were written'}"])


def report_as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps(
        {
            "sound": report.is_sound,
            "attachments": report.attachments,
            "stored_bytes": report.stored_bytes,
            "unfinished": report.unfinished,
            "counts": report.counts,
            "findings": [
                {
                    "trouble": one.trouble.value,
                    "path": one.path,
                    "sop_instance_uid": one.sop_instance_uid,
                    "reason": one.reason,
                }
                for one in report.findings
            ],
        },
        indent=2,
    )
