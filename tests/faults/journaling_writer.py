"""The embedded writer, with a journal of all that ever reached it whole.

A file on disk says what a writer holds at last; the journal says what it was given, and how often.
``python -m tests.faults.journaling_writer`` takes its settings from the environment of
:class:`tests.e2e.stack.WriterProcess`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import anyio

from candidates.writer.archive import Archive
from candidates.writer.attachments import Attachment, Incoming
from candidates.writer.registration import Announcement, Registrar
from candidates.writer.scp import WriterService
from candidates.writer.storage import Storage
from router.dicom.part10 import read_file_header
from router.net.acceptor import Acceptor

JOURNAL = "journal.txt"


class JournalingStorage(Storage):
    """Notes each instance, with the digest of its data set, before it is sealed."""

    def seal(self, file: Incoming) -> Attachment:
        """As the writer does, after a line in the journal."""
        content = b"".join(file.pieces())
        header = read_file_header(content)
        digest = hashlib.sha256(content[header.data_set_offset :]).hexdigest()
        with (self.root / JOURNAL).open("a") as journal:
            journal.write(f"{header.sop_instance_uid} {digest}\n")
        return super().seal(file)


async def serve(
    ae_title: str, port: int, folder: Path, router_url: str, criteria: str | None
) -> None:
    """Store and stay registered until killed."""
    service = WriterService(ae_title, Archive.open(JournalingStorage(folder)))
    async with anyio.create_task_group() as tasks:
        await tasks.start(service.run)
        async with Acceptor(service, host="127.0.0.1", port=port):
            await Registrar(router_url, Announcement(ae_title, "127.0.0.1", port, criteria)).run()


if __name__ == "__main__":
    anyio.run(
        serve,
        os.environ["AE_TITLE"],
        int(os.environ["PORT"]),
        Path(os.environ["STORAGE"]),
        os.environ["ROUTER_URL"],
        os.environ.get("ROUTING_CRITERIA"),
    )
