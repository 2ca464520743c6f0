"""What oxidicom tells of a series on its way into ChRIS, and where: "LONK" over NATS. Pure.

After ``src/lonk.rs`` of oxidicom 3.1. A message is one byte that says what it is, and what follows.
"""

from __future__ import annotations

import re
import struct

DONE = b"\x00"
"""Nothing follows for the series."""
_FILES, _ERROR = b"\x01", b"\x02"
_UNUSUAL = re.compile(r"[ .*>]")
_MOST = 2**32 - 1

SeriesKey = tuple[str, str]
"""The name of a PACS, and a Series Instance UID."""


def progress(files: int) -> bytes:
    """So many files of the series are stored: 32 bits, little-endian."""
    return _FILES + struct.pack("<I", min(files, _MOST))


def error(reason: str) -> bytes:
    """An instance of the series is not stored: text in UTF-8."""
    return _ERROR + reason.encode("utf-8", "replace")


def subject(root: str, series: SeriesKey) -> str:
    """Where it is said."""
    return ".".join((root, *(_UNUSUAL.sub("_", part).replace("\0", "") for part in series)))
