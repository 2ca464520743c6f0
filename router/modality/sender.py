"""Sends Part 10 files as a modality does: several associations, each file as it is."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from router.dicom import statuses
from router.dicom.negotiation import group_contexts, propose
from router.dicom.part10 import read_file_header
from router.domain.errors import (
    AssociationLost,
    AssociationRejected,
    ContextNotAccepted,
    RouterError,
    SpoolFailed,
)
from router.net.requestor import RequestedAssociation, associate

HEADER_BYTES = 64 * 1024
DICM_AT = 128


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file on its way, and what its File Meta group says."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int
    data_set_length: int

    @property
    def context(self) -> tuple[str, str]:
        """What a presentation context must offer for it."""
        return self.sop_class_uid, self.transfer_syntax_uid


class FileSource:
    """The data set of a file, as the requestor reads it."""

    def __init__(self, file: OutgoingFile):
        self._file = file
        try:
            self._descriptor = os.open(file.path, os.O_RDONLY)
        except OSError as error:
            raise SpoolFailed(f"it cannot be read: {error.strerror}") from error
        self.length = file.data_set_length

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        """Files at hand are read at once; a sender has nothing else to do meanwhile."""
        return self._read(buffer, offset)

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        """The same, for the port's sake."""
        return self._read(buffer, offset)

    def _read(self, buffer: memoryview, offset: int) -> int:
        try:
            return os.preadv(self._descriptor, [buffer], self._file.data_set_offset + offset)
        except OSError as error:
            raise SpoolFailed(f"it cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Target:
    """Where and as whom to send."""

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str


@dataclass(slots=True)
class Report:
    """What became of the files."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[Path, str]] = field(default_factory=list)
    bytes: int = 0


def read_outgoing(path: Path) -> OutgoingFile | None:
    """The file if it is Part 10 with a usable File Meta group, else None; raises ``OSError``."""
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if head[DICM_AT : DICM_AT + 4] != b"DICM":
        return None
    try:
        header = read_file_header(head)
    except RouterError:
        return None
    return OutgoingFile(
        path,
        header.sop_class_uid,
        header.sop_instance_uid,
        header.transfer_syntax_uid,
        header.data_set_offset,
        path.stat().st_size - header.data_set_offset,
    )


async def send_files(
    files: Sequence[OutgoingFile],
    target: Target,
    associations: int,
    progress: Callable[[OutgoingFile], None],
) -> Report:
    """Send all files over so many associations at once; nothing is sent twice.

    ``progress`` is told of each file that was answered.

    Files that the peer refuses, that were under way when an association broke, or that no
    association was left for, are reported as failures.
    """
    report = Report()
    for pairs in group_contexts(sorted({file.context for file in files})):
        wanted = set(pairs)
        waiting = deque(file for file in files if file.context in wanted)
        errors: list[str] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(min(associations, len(waiting))):
                tasks.start_soon(_send_over_one, waiting, pairs, target, report, progress, errors)
        report.failures += [(file.path, "; ".join(dict.fromkeys(errors))) for file in waiting]
    return report


async def _send_over_one(
    waiting: deque[OutgoingFile],
    pairs: Sequence[tuple[str, str]],
    target: Target,
    report: Report,
    progress: Callable[[OutgoingFile], None],
    errors: list[str],
) -> None:
    while waiting:
        try:
            async with associate(
                target.host,
                target.port,
                target.calling_ae_title,
                target.called_ae_title,
                contexts=propose(pairs),
            ) as association:
                while waiting:
                    file = waiting.popleft()
                    await _send_one(association, file, report)
                    progress(file)
        except SpoolFailed:
            continue  # a file could not be read, maybe in the middle: the others on a new one
        except (AssociationLost, AssociationRejected) as error:
            errors.append(str(error))
            return


async def _send_one(association: RequestedAssociation, file: OutgoingFile, report: Report) -> None:
    source: FileSource | None = None
    try:
        source = FileSource(file)
        answer = await association.store(
            file.sop_class_uid, file.sop_instance_uid, file.transfer_syntax_uid, source
        )
    except RouterError as error:
        report.failures.append((file.path, str(error)))
        if not isinstance(error, ContextNotAccepted):
            raise
        return
    finally:
        if source is not None:
            source.close()
    _note(report, file, answer.status)


def _note(report: Report, file: OutgoingFile, status: int) -> None:
    report.statuses[status] += 1
    if statuses.is_stored(status):
        report.sent += 1
        report.bytes += file.data_set_length
    else:
        report.failures.append((file.path, statuses.describe(status)))
