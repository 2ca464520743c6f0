"""A wall clock that a test sets while a process runs (libfaketime); monotonic time stays real."""

from __future__ import annotations

from pathlib import Path

from tests import peers

LIBRARY = Path("/usr/lib")


class SettableClock:
    """The wall clock of processes that are started with its ``environment``."""

    def __init__(self, folder: Path):
        peers.require("faketime")
        (library,) = LIBRARY.glob("*/faketime/libfaketimeMT.so.1")
        self._file = folder / "clock"
        self.set("+0")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # older name of the same
        }

    def set(self, offset: str) -> None:
        """Set it ahead (``+2h``) or back (``-2h``) of the real time, at once."""
        new = self._file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.replace(self._file)
