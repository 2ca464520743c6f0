"""System calls that Python does not have. Where the system lacks them too, they do nothing."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

_SYNC_FILE_RANGE_WRITE = 2
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2


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


def read_if_cached(descriptor: int, buffer: memoryview | bytearray, offset: int) -> int | None:
    """Read what the page cache holds; None when a disk would have to be waited for."""
    try:
        return os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError:  # not cached (EAGAIN), a file system without the flag, a bad block: ask again
        return None
