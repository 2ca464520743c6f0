"""DICOM files on media: folders, ZIP archives, DICOMDIRs (PS3.10). None of it is trusted."""

from __future__ import annotations

import os
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from router.domain.errors import ConfigurationError
from router.modality.sender import DICM_AT, OutgoingFile, read_outgoing

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR: it says what there is, and is none of it."""
NOT_DICOM = "not a DICOM file"

_PREFIX_END = DICM_AT + 4
_COPY_BYTES = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
"""What reading an entry of an archive raises: damaged, encrypted, or packed in another way."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something on a medium: ``file`` if it can be sent, else ``reason`` why not."""

    name: str
    file: OutgoingFile | None = None
    reason: str = ""

    @property
    def is_dicom(self) -> bool:
        """Whether it is, or should be, a DICOM file: if it is not sent, something is missing."""
        return self.reason != NOT_DICOM


def find(path: Path, unpacked: Path, max_unpacked_bytes: int) -> Iterator[Found]:
    """Everything on a medium. Files of archives are put into the folder ``unpacked``.

    Raises ``ConfigurationError`` for an archive that unpacks to more than so many bytes.
    """
    if path.is_dir():
        yield from _in_folder(path)
        return
    found = _examine(path, str(path))
    if _is_directory_file(found):
        yield from _referenced(path)
    elif not found.is_dicom and zipfile.is_zipfile(path):
        yield from _in_archive(path, unpacked, max_unpacked_bytes)
    else:
        yield found


def find_below(paths: Iterable[Path]) -> Iterator[Found]:
    """All files of folders, and files by themselves; DICOMDIRs and archives are not opened."""
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path)
        else:
            yield _examine(path, str(path))


def _in_folder(folder: Path) -> Iterator[Found]:
    """All files below it, in order of name; links to folders are not followed."""
    unreadable: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            found = _examine(path, str(path))
            if not _is_directory_file(found):
                yield found
    for error in unreadable:
        yield Found(str(error.filename), reason=f"it cannot be read: {error.strerror}")


def _is_directory_file(found: Found) -> bool:
    return found.file is not None and found.file.sop_class_uid == MEDIA_STORAGE_DIRECTORY


def _examine(path: Path, name: str) -> Found:
    try:
        if not path.is_file():  # a pipe would be waited for, a device read
            return Found(name, reason=NOT_DICOM)
        file = read_outgoing(path)
        if file is not None:
            return Found(name, file)
        with path.open("rb") as stream:
            has_prefix = stream.read(_PREFIX_END)[DICM_AT:] == b"DICM"
    except OSError as error:
        return Found(name, reason=f"it cannot be read: {error.strerror}")
    return Found(name, reason="its File Meta group cannot be read" if has_prefix else NOT_DICOM)


# -- DICOMDIR -------------------------------------------------------------------------------------


def _referenced(dicomdir: Path) -> Iterator[Found]:
    """The files that a DICOMDIR names (PS3.3 annex F), each once, below its own folder only."""
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that the standard does not allow
            records = dcmread(dicomdir).get("DirectoryRecordSequence") or []
            named = [record.get("ReferencedFileID") for record in records]
    except Exception as error:  # noqa: BLE001 - pydicom raises anything for what is damaged
        yield Found(str(dicomdir), reason=f"the DICOMDIR cannot be read: {error}")
        return
    root = dicomdir.parent.resolve()
    for components in dict.fromkeys(_components(value) for value in named if value):
        name = "/".join(components)
        path = _below(root, components)
        if path is None:
            yield Found(name, reason="the DICOMDIR names it, and it is not there")
        else:
            found = _examine(path, str(path))
            yield found if found.is_dicom else Found(found.name, reason="no DICOM file any more")


def _components(value: object) -> tuple[str, ...]:
    """The components of a File ID (PS3.10 section 8.2), whether there is one or more."""
    return (value,) if isinstance(value, str) else tuple(map(str, value))  # type: ignore[call-overload]


def _below(root: Path, components: tuple[str, ...]) -> Path | None:
    """The file of these names below ``root``, upper or lower case; None: there is none.

    Names are compared with those that are there, so none of them can lead out of the folder; nor
    may a link.
    """
    here = root
    for component in components:
        try:
            names = [one.name for one in here.iterdir()]
        except OSError:
            return None
        wanted = component.casefold()
        exact = [name for name in names if name == component]
        same = [name for name in sorted(names) if _plain(name) == wanted]
        if not (exact or same):
            return None
        here = here / (exact or same)[0]
    return here if here.resolve().is_relative_to(root) else None


def _plain(name: str) -> str:
    """A name as the standard has it, without the version that ISO 9660 may add."""
    return name.partition(";")[0].rstrip(".").casefold()


# -- ZIP ------------------------------------------------------------------------------------------


def _in_archive(archive: Path, unpacked: Path, max_bytes: int) -> Iterator[Found]:
    """The files of an archive; what is no DICOM file is not unpacked, nor are archives in it.

    What counts is what comes out of it, not the sizes that it claims.
    """
    budget = _Budget(archive, max_bytes)
    try:
        opened = zipfile.ZipFile(archive)
    except _DAMAGED as error:
        yield Found(str(archive), reason=f"it cannot be unpacked: {error}")
        return
    with opened:
        for number, entry in enumerate(opened.infolist()):
            if entry.is_dir():
                continue
            name = f"{archive}:{entry.filename}"
            target = unpacked / f"{number:08d}.dcm"  # no name of the archive is used as a path
            try:
                with opened.open(entry) as packed:
                    is_dicom = _unpack(packed, target, budget)
            except _DAMAGED as error:
                target.unlink(missing_ok=True)
                yield Found(name, reason=f"it cannot be unpacked: {error}")
                continue
            found = _examine(target, name) if is_dicom else Found(name, reason=NOT_DICOM)
            if not _is_directory_file(found):
                yield found


class _Budget:
    """How many bytes may still be unpacked."""

    def __init__(self, archive: Path, max_bytes: int):
        self._archive = archive
        self._max_bytes = max_bytes
        self._left = max_bytes

    def take(self, size: int) -> None:
        """Raise ``ConfigurationError`` if that is too much."""
        self._left -= size
        if self._left < 0:
            raise ConfigurationError(
                f"{self._archive} unpacks to more than {self._max_bytes} bytes; nothing was sent: "
                "raise --max-unpacked, or unpack it and import the folder"
            )


def _unpack(packed: IO[bytes], target: Path, budget: _Budget) -> bool:
    """Unpack an entry if it begins as a DICOM file; whether it does."""
    head = packed.read(_PREFIX_END)
    if head[DICM_AT:] != b"DICM":
        return False
    with target.open("wb") as stream:
        stream.write(head)
        while piece := packed.read(_COPY_BYTES):
            budget.take(len(piece))
            stream.write(piece)
    return True


def room_for(folder: Path, max_bytes: int) -> int:
    """How many bytes may be unpacked into a folder: as asked, but never all that a disk has."""
    return min(max_bytes, shutil.disk_usage(folder).free * 9 // 10)
