"""System calls that Python does not have. Where the system lacks them too, they do nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

_SYNC_FILE_RANGE_WRITE = 2
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_IN_MEMORY = frozenset({0x01021994, 0x858458F6})  # TMPFS_MAGIC, RAMFS_MAGIC of linux/magic.h
_IN_PLACE = frozenset({0xEF53, 0x58465342})  # EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC
_STATFS_BYTES = 256  # more than struct statfs has; f_type comes first, as a long


def _libc_function(names: tuple[str, ...], *arguments: type) -> Callable[..., int] | None:
    """The first of these functions that the C library has; its offsets are 64 bits wide."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    for name in names:
        if (function := getattr(library, name, None)) is not None:
            function.argtypes = list(arguments)
            function.restype = ctypes.c_int
            call: Callable[..., int] = function
            return call
    return None


_sync_file_range = _libc_function(
    ("sync_file_range",), ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
)
_fallocate = _libc_function(
    ("fallocate64", "fallocate"), ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64
)
_fstatfs = _libc_function(("fstatfs64", "fstatfs"), ctypes.c_int, ctypes.c_char_p)


def start_write_back(descriptor: int, offset: int, length: int) -> None:
    """Begin to write dirty pages of the range to the disk, without waiting for them.

    Only a hint: it promises nothing, and what it cannot do is left to the flush. It may wait for
    room in the device's queue, so it is called from threads.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, length, _SYNC_FILE_RANGE_WRITE)


def punch_hole(descriptor: int, offset: int, length: int) -> bool:
    """Give the blocks of the range back to the file system; whether it could.

    The file keeps its size and reads as zeros there.
    """
    if _fallocate is None or length <= 0:
        return False
    mode = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
    return _fallocate(descriptor, mode, offset, length) == 0


def read_if_cached(
    descriptor: int, buffers: Sequence[memoryview | bytearray], offset: int
) -> int | None:
    """Read what the page cache holds; None when a disk would have to be waited for."""
    do_not_wait = getattr(os, "RWF_NOWAIT", None)
    if do_not_wait is None:
        return None
    try:
        return os.preadv(descriptor, buffers, offset, do_not_wait)
    except OSError as error:  # not cached (EAGAIN), no such flag here, a bad block: ask again
        if error.errno != errno.EOPNOTSUPP:
            return None
    with suppress(OSError):
        if _file_system(descriptor) in _IN_MEMORY:  # has no disk, nor knows the flag
            return os.preadv(descriptor, buffers, offset)
    return None


def rewrites_in_place(descriptor: int) -> bool:
    """Whether blocks that have been written once are written again where they are.

    Flushing those changes nothing but the blocks: no journal, no allocation.
    """
    return _file_system(descriptor) in _IN_PLACE


def _file_system(descriptor: int) -> int | None:
    """The magic number of the file system that the file is on; None where that is unknown."""
    if _fstatfs is None:
        return None
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _fstatfs(descriptor, answer) != 0:
        return None
    size = ctypes.sizeof(ctypes.c_long)
    return int.from_bytes(answer.raw[:size], sys.byteorder) & 0xFFFFFFFF
