"""Instances to be stored, and the few steps that every test of the spool takes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from router.domain.errors import RouterError
from router.domain.instance import Disposition, Facts, Identity, Instance, Provenance, SpoolRef
from router.spool.log import LocalSpool, open_spool
from router.spool.writer import Writer

PART10_HEADER = bytes(128) + b"DICM" + b"a file meta group of some length"
PROVENANCE = Provenance(
    "CT1", "ROUTER", "10.0.0.7:53312", "association-7", datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
)
FACTS: Facts = {"Modality": ("CT",), "InstitutionName": (), "OtherPatientNames": ("山田", "Müller")}


def identity(number: int = 0) -> Identity:
    """UIDs of the ``number``-th instance of a study."""
    return Identity(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"1.2.3.1.{number}",
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )


def number_of(instance: Instance) -> int:
    """The number that ``identity`` was given."""
    return int(instance.identity.sop_instance_uid.rpartition(".")[2])


def data_set(number: int, size: int = 1000) -> bytes:
    """Bytes that no other number has."""
    return random.Random(number).randbytes(size)


@asynccontextmanager
async def a_spool(directory: Path, **options: Any) -> AsyncIterator[LocalSpool]:
    """A spool that does not mind how full the disk of the test machine is."""
    async with open_spool(directory, **{"min_free_bytes": 0, **options}) as spool:
        yield spool


LARGE = 200_000
"""Bytes of a data set that is not gathered in memory, but gets a segment of its own."""


def begin(spool: LocalSpool, number: int = 0, size: int = LARGE) -> Writer:
    """A record whose data set has arrived, and which is not sealed."""
    writer = spool.create(PART10_HEADER)
    writer.write([memoryview(data_set(number, size))])
    return writer


class Outcome:
    """What ``sealed`` is called with."""

    def __init__(self) -> None:
        self._arrived = anyio.Event()
        self._results: list[Instance | RouterError] = []

    def __call__(self, result: Instance | RouterError) -> None:
        self._results.append(result)
        self._arrived.set()

    @property
    def calls(self) -> int:
        return len(self._results)

    async def instance(self) -> Instance:
        """The durable instance; raises what went wrong."""
        with anyio.fail_after(30):
            await self._arrived.wait()
        (result,) = self._results
        if isinstance(result, RouterError):
            raise result
        return result


def seal(writer: Writer, number: int = 0) -> Outcome:
    """Seal with an identity of this number."""
    outcome = Outcome()
    writer.seal(identity(number), PROVENANCE, FACTS, Disposition.ACCEPTED, "", outcome)
    return outcome


async def store(spool: LocalSpool, number: int = 0, data: bytes | None = None) -> Instance:
    """One instance from its first byte to its acknowledgement."""
    writer = spool.create(PART10_HEADER)
    try:
        writer.write([memoryview(data_set(number) if data is None else data)])
    except RouterError:
        writer.discard()
        raise
    return await seal(writer, number).instance()


async def scanned(
    spool: LocalSpool, recorded_through: Mapping[str, int] | None = None
) -> list[Instance]:
    """All that a scan finds."""
    return [instance async for instance in spool.scan(recorded_through or {})]


async def recovered(directory: Path) -> list[Instance]:
    """What a new run finds without any help from the ledger."""
    async with a_spool(directory) as spool:
        return await scanned(spool)


def data_of(spool: LocalSpool, ref: SpoolRef) -> bytes:
    """The data set of a record."""
    reader = spool.open(ref)
    try:
        return reader.read(0, ref.data_set_length)
    finally:
        reader.close()


def segments(directory: Path) -> Sequence[Path]:
    """The segment files, oldest first."""
    return sorted(directory.glob("*.seg"))
