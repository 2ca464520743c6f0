"""A writer that notes what it was given: ``python -m bench.journal PORT FILE``.

The bytes are dropped; the SOP Instance UID is a line of FILE before the instance is answered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import anyio

from bench.sink import Discard
from router.dicom.dimse import CStoreRQ
from router.dicom.handlers import Answer, AssociationInfo
from router.dicom.negotiation import AcceptedContext
from router.net.acceptor import Acceptor


class Journal(Discard):
    """Opens a reception for each instance."""

    def __init__(self, file: TextIO):
        self._file = file

    def opened(self, info: AssociationInfo) -> Journal:
        return self

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> Entry:
        return Entry(self._file, request.sop_instance_uid)


class Entry(Discard):
    """One instance."""

    def __init__(self, file: TextIO, uid: str):
        self._file = file
        self._uid = uid

    def write(self, fragments: Sequence[memoryview]) -> None:
        pass

    def finish(self, answer: Answer) -> None:
        self._file.write(f"{self._uid}\n")
        answer(0, "")


async def serve(port: int, file: TextIO) -> None:
    """Serve until killed."""
    async with Acceptor(Journal(file), host="127.0.0.1", port=port):
        await anyio.sleep_forever()


def main() -> None:
    """Open the journal, serve."""
    with Path(sys.argv[2]).open("a", buffering=1) as file:
        anyio.run(serve, int(sys.argv[1]), file)


if __name__ == "__main__":
    main()
