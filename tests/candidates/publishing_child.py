"""A process that stores one instance and says so, to be watched by strace.

``python -m tests.candidates.publishing_child DIRECTORY``
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from candidates.writer.archive import Archive
from candidates.writer.storage import Storage
from tests.candidates.arrivals import arrived


def store_one(root: Path) -> None:
    """As the SCP does: write, seal, commit, and only then answer."""
    archive = Archive.open(Storage(root))
    os.write(1, b"opened\n")
    archive.commit([arrived(archive.storage, b"data set")])
    os.write(1, b"stored\n")
    archive.close()


if __name__ == "__main__":
    store_one(Path(sys.argv[1]))
