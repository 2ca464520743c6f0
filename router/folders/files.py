"""The files of a watched folder. Everything here blocks, so it is for worker threads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

DONE, FAILED = "done", "failed"
"""Folders in the watched one where files end."""
MAX_FILES = 10_000
"""Files that are looked at in one pass; the others have their turn when these are gone."""

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "~")


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen of a file without opening it."""

    size: int
    changed_ns: int


def files_in(root: Path) -> dict[Path, Sight]:
    """The files below a folder that may be whole; raises ``OSError`` if it cannot be read.

    Hidden ones, those whose names say that they are being written, and links are left out.
    """
    with os.scandir(root):
        pass  # walking says nothing of a folder that is not there
    return dict(islice(_walk(root), MAX_FILES))


def _walk(root: Path) -> Iterator[tuple[Path, Sight]]:
    for folder, folders, names in os.walk(root):
        ours = (DONE, FAILED) if Path(folder) == root else ()
        folders[:] = sorted(one for one in folders if one not in ours and one[0] != ".")
        for name in sorted(names):
            if name[0] == "." or name.lower().endswith(_UNFINISHED):
                continue
            path = Path(folder, name)
            try:
                seen = path.lstat()
            except OSError:
                continue  # gone meanwhile
            if stat.S_ISREG(seen.st_mode):
                yield path, Sight(seen.st_size, seen.st_mtime_ns)


def open_file(path: Path) -> BinaryIO:
    """The file itself, never what a link points to; raises ``OSError``."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb", buffering=0)


def sight_of(stream: BinaryIO) -> Sight:
    """What can be seen of an open file."""
    seen = os.fstat(stream.fileno())
    return Sight(seen.st_size, seen.st_mtime_ns)


def move(path: Path, root: Path, to: str) -> Path:
    """Move a file below ``to``, where it stood below ``root``; never over another one."""
    target = root / to / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    free = target
    number = 1
    while free.exists():
        free = target.with_name(f"{target.name}.{number}")
        number += 1
    return path.rename(free)
