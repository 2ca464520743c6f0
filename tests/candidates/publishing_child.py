"""A process that publishes one instance and says so, to be watched by strace.

``python -m tests.candidates.publishing_child DIRECTORY``
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from candidates.writer.storage import Storage


def publish_one(root: Path) -> None:
    """As the SCP does: write, publish, and only then answer."""
    storage = Storage(root)
    file = storage.begin(b"header")
    file.write([memoryview(b"data set")])
    storage.publish(file, storage.path_of("1.2", "1.2.3", "1.2.3.4"))
    os.write(1, b"stored\n")


if __name__ == "__main__":
    publish_one(Path(sys.argv[1]))
