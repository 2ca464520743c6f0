"""Files as the spool holds them, and what their errors mean."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from router.domain.errors import RouterError, SpoolFailed, SpoolFull

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM})


class OpenFile:
    """An open file that is closed when nobody holds it any more.

    A thread that still reads, writes back or flushes holds it, so it can never meet a descriptor
    that has been closed and given to another file.
    """

    __slots__ = ("descriptor", "path")

    def __init__(self, path: Path, flags: int):
        """Open. Raises ``OSError``."""
        self.path = path
        self.descriptor = -1
        self.descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


def is_no_room(error: OSError) -> bool:
    """Whether the file system was full: nothing is wrong with what has been written before."""
    return error.errno in _NO_ROOM


def storage_error(error: OSError, path: Path) -> RouterError:
    """What an ``OSError`` means to the sender, and what a person has to do about it."""
    if is_no_room(error):
        return SpoolFull(f"no room for the spool at {path}: free space on its file system")
    if error.errno in _NO_FILES:
        return SpoolFull(f"{path} cannot be opened: raise the limit of open files (ulimit -n)")
    if error.errno in _NO_RIGHT:
        return SpoolFailed(
            f"the router may not use {path} ({error.strerror}): give its user the right to, or name"
            " another folder in router.data"
        )
    if error.errno == errno.EROFS:
        return SpoolFailed(
            f"{path} is on a file system that is read-only: name another folder in router.data; if"
            " it could be written before, look into the system log and check the disk"
        )
    return SpoolFailed(
        f"the disk under {path} failed ({error.strerror}): look into the system log and check it"
    )


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises ``OSError``."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Create a directory and its parents, durably. Raises ``OSError``."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
