"""Writers that listen on loopback, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from candidates.writer.archive import Archive
from candidates.writer.area import StorageArea
from candidates.writer.storage import INCOMING, INDEX, Storage
from candidates.writer.wiring import running_service, serving_http
from router.dicom.negotiation import propose
from router.net.acceptor import Acceptor
from router.net.requestor import associate
from tests.candidates.holdings import Held, held_in, root_of
from tests.candidates.indexes import Index, InFile
from tests.candidates.sources import MemorySource, head_and_data_set

WITHIN_S = 60


@dataclass(frozen=True)
class Writer:
    """A writer called WRITER."""

    archive: Archive
    port: int
    index: Index

    async def store(self, sop_class: str, instance: str, syntax: str, data_set: bytes) -> int:
        """Send one data set; the status that is answered."""
        pairs = propose([(sop_class, syntax)])
        with anyio.fail_after(WITHIN_S):
            async with associate("127.0.0.1", self.port, "ROUTER", "WRITER", contexts=pairs) as it:
                answer = await it.store(sop_class, instance, syntax, MemorySource(data_set))
        return answer.status

    async def store_file(self, path: Path) -> int:
        """Send a Part 10 file; the status that is answered."""
        header, data_set = head_and_data_set(path)
        return await self.store(
            header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid, data_set
        )

    def held(self) -> list[Held]:
        """What it has, read by other means than its own."""
        return held_in(root_of(self.archive), self.index)

    def incoming(self) -> list[Path]:
        """What is arriving."""
        return list((root_of(self.archive) / INCOMING).iterdir())


@dataclass(frozen=True)
class StowWriter(Writer):
    """A writer that takes STOW-RS as well."""

    stow_port: int


@asynccontextmanager
async def running_stow_writer(
    root: Path,
    token: str | None = None,
    *,
    index: Index | None = None,
    area: StorageArea | None = None,
    compress: bool = False,
) -> AsyncIterator[StowWriter]:
    """A writer with a port for STOW-RS, as long as the block runs."""
    index = index or InFile(root / INDEX)
    archive = Archive.open(area or Storage(root, compress=compress), index.address)
    async with (
        running_service("WRITER", archive, {}, {}) as service,
        Acceptor(service, host="127.0.0.1", port=0) as acceptor,
        serving_http(service, "127.0.0.1", 0, token) as server,
    ):
        yield StowWriter(archive, acceptor.port, index, server.port)
    archive.close()


@asynccontextmanager
async def running_writer(
    root: Path,
    *,
    index: Index | None = None,
    area: StorageArea | None = None,
    compress: bool = False,
    report_to: Mapping[str, tuple[str, int]] | None = None,
    move_to: Mapping[str, tuple[str, int]] | None = None,
) -> AsyncIterator[Writer]:
    """A writer as long as the block runs, in a folder unless an area is named."""
    index = index or InFile(root / INDEX)
    archive = Archive.open(area or Storage(root, compress=compress), index.address)
    async with (
        running_service("WRITER", archive, report_to or {}, move_to or {}) as service,
        Acceptor(service, host="127.0.0.1", port=0) as acceptor,
    ):
        yield Writer(archive, acceptor.port, index)
    archive.close()
