"""The door of a router over a real spool and a real ledger, and senders that come to it."""

from __future__ import annotations

import io
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from router.dicom import uids
from router.dicom.dimse import CStoreRQ
from router.dicom.handlers import AssociationEnd, AssociationInfo, PeerAddress
from router.dicom.negotiation import AcceptancePolicy, AcceptedContext
from router.dicom.scanner import ScanLimits, ScanPlan
from router.domain.attributes import BASE_ATTRIBUTES, Attribute
from router.domain.criteria import parse_criteria
from router.domain.errors import LedgerFailed
from router.domain.filters import DiscardFilter
from router.domain.instance import Instance
from router.domain.study import RevisionKey
from router.domain.views import QuarantineEntry, RefusalEntry
from router.ingress.associations import Ingress, IngressAssociation
from router.ingress.inspector import Inspector
from router.ingress.judgement import DoorPolicy
from router.ingress.recorder import Recorder
from router.ingress.store import Door, Reception
from router.ledger.ledger import SqlLedger, open_ledger
from router.ports import Ledger
from router.spool.log import LocalSpool, open_spool
from tests.clock import ManualClock

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY, SERIES = "1.2.826.1", "1.2.826.1.1"
PLAIN = uids.EXPLICIT_VR_LITTLE_ENDIAN
WITHIN_S = 10


def sop_instance(number: int = 1) -> str:
    """SOP Instance UID of the ``number``-th instance."""
    return f"{SERIES}.{number}"


def attributes(number: int = 1, **changes: Any) -> Dataset:
    """An instance as a modality makes it; a change to None leaves the attribute out."""
    values = {
        "SOPClassUID": CT,
        "SOPInstanceUID": sop_instance(number),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": "CT",
        "PatientID": "T-1",
        "PixelData": bytes(range(256)) * 8,
        **changes,
    }
    data_set = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(data_set, keyword, value)
    if "PixelData" in data_set:
        data_set["PixelData"].VR = "OW"
    return data_set


def encoded(data_set: Dataset, transfer_syntax: str = PLAIN) -> bytes:
    """The data set's bytes as they go over an association; pydicom is the judge of encodings."""
    target = DicomBytesIO()
    target.is_implicit_VR = uids.is_implicit_vr(transfer_syntax)
    target.is_little_endian = not uids.is_big_endian(transfer_syntax)
    write_dataset(target, data_set)
    plain = target.getvalue()
    if not uids.is_deflated(transfer_syntax):
        return plain
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(plain) + deflate.flush()


class Answered:
    """What a C-STORE was answered."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self._arrived = anyio.Event()

    def __call__(self, status: int, comment: str) -> None:
        self.answers.append((status, comment))
        self._arrived.set()

    async def status(self) -> int:
        """The status, as soon as it is there; there is one answer only."""
        with anyio.fail_after(WITHIN_S):
            await self._arrived.wait()
        [(status, _)] = self.answers
        return status

    @property
    def comment(self) -> str:
        [(_, comment)] = self.answers
        return comment


class DeadLedger:
    """A ledger that cannot be written."""

    async def record(self, arrivals: object) -> Sequence[RevisionKey | None]:
        raise LedgerFailed("the disk is full")


class Nobody:
    """Takes no other operations, asks nothing of the peer, returns nothing."""

    is_cancelled = False

    def request(self, *_: object) -> bool:
        return False

    def invoke(self, *_: object) -> None:
        raise AssertionError("nothing is asked here")

    async def store(self, *_: object) -> int:
        raise AssertionError("nothing is returned here")


@dataclass
class Watched:
    """Stands for the completion service: notes what it is told, in order."""

    events: list[tuple[str, ...]] = field(default_factory=list)

    def associated(self, association_id: str) -> None:
        self.events.append(("associated",))

    def receiving(self, association_id: str) -> None:
        self.events.append(("receiving",))

    def recognised(self, study_instance_uid: str, association_id: str) -> None:
        self.events.append(("recognised", study_instance_uid))

    def acknowledged(self, study_instance_uid: str, association_id: str) -> None:
        self.events.append(("acknowledged", study_instance_uid))

    def answered(self, association_id: str) -> None:
        self.events.append(("answered",))

    def disassociated(self, association_id: str, *, released: bool) -> None:
        self.events.append(("released" if released else "broken off",))


@dataclass
class Doorway:
    """A door with everything behind it at work."""

    ingress: Ingress
    spool: LocalSpool
    ledger: SqlLedger
    recorder: Recorder
    watched: Watched
    clock: ManualClock
    recorded: list[tuple[Instance, RevisionKey | None]]
    door: Door

    def associate(self, calling: str = "CT1") -> IngressAssociation:
        """A new association."""
        return self.ingress.opened(
            AssociationInfo(
                calling,
                "ROUTER",
                PeerAddress("10.0.0.7", 53312),
                "1.2",
                "X",
                {},
                Nobody(),
                Nobody(),
            )
        )

    async def in_ledger(self) -> list[Instance]:
        """The accepted instances, in order of arrival."""
        await self.settle()
        revisions = await self.ledger.open_revisions()
        return [
            instance
            for revision in revisions
            for _, instance in await self.ledger.instances(revision.key.id)
        ]

    async def refusals(self) -> Sequence[RefusalEntry]:
        """What the ledger says was refused or discarded."""
        await self.settle()
        return (await self.ledger.views.refusals()).items

    async def quarantine(self) -> Sequence[QuarantineEntry]:
        """What the ledger says is in quarantine."""
        await self.settle()
        return (await self.ledger.views.quarantine()).items

    async def settle(self) -> None:
        """Wait until everything is in the ledger."""
        with anyio.fail_after(WITHIN_S):
            await self.recorder.flush()

    def bytes_of(self, instance: Instance) -> bytes:
        """The data set in the spool."""
        reader = self.spool.open(instance.ref)
        try:
            return reader.read(0, instance.ref.data_set_length)
        finally:
            reader.close()


@asynccontextmanager
async def a_doorway(
    directory: Path,
    *,
    discard: Sequence[str] = (),
    policy: DoorPolicy | None = None,
    asked: Sequence[Attribute] = (),
    scan_limits: ScanLimits | None = None,
    ledger: DeadLedger | None = None,
    limit: int = 20_000,
    inspecting: bool = True,
    **spool_options: Any,
) -> AsyncIterator[Doorway]:
    """A door at work; ``ledger`` is used by the recorder in place of the real one."""
    clock, watched = ManualClock(), Watched()
    limits = scan_limits or ScanLimits()
    filters = DiscardFilter(tuple(map(parse_criteria, discard)))
    plan = ScanPlan.compile((*BASE_ATTRIBUTES, *filters.attributes, *asked))
    recorded: list[tuple[Instance, RevisionKey | None]] = []
    async with (
        open_spool(directory / "spool", **{"min_free_bytes": 0, **spool_options}) as spool,
        open_ledger(directory / "ledger.db") as real,
        anyio.create_task_group() as tasks,
    ):
        told = cast(Ledger, ledger or real)
        recorder = Recorder(told, clock, recorded.extend, limit=limit)
        inspector = Inspector(plan, limits)
        door = Door(
            spool,
            recorder,
            inspector,
            watched,
            clock,
            plan,
            limits,
            filters,
            policy or DoorPolicy(),
        )
        await tasks.start(recorder.run)
        if inspecting:
            await tasks.start(inspector.run)
        ingress = Ingress(door, watched, AcceptancePolicy(frozenset({"ROUTER"})), Nobody())
        yield Doorway(ingress, spool, real, recorder, watched, clock, recorded, door)
        tasks.cancel_scope.cancel()


def begin(
    association: IngressAssociation,
    *,
    sop_class: str = CT,
    instance: str | None = None,
    transfer_syntax: str = PLAIN,
) -> Reception:
    """A C-STORE-RQ whose data set is to follow."""
    return association.begin_store(
        CStoreRQ(1, sop_class, sop_instance() if instance is None else instance),
        AcceptedContext(1, sop_class, transfer_syntax),
    )


def write(reception: Reception, data: bytes, piece: int = 1000) -> None:
    """The data set's bytes in fragments, in a buffer that is used again, as a connection's is."""
    stream = io.BytesIO(data)
    buffer = bytearray(piece)
    while size := stream.readinto(buffer):
        reception.write([memoryview(buffer)[:size]])
        buffer[:] = bytes(piece)


def store(
    association: IngressAssociation,
    data_set: Dataset | bytes,
    *,
    sop_class: str = CT,
    instance: str | None = None,
    transfer_syntax: str = PLAIN,
) -> Answered:
    """A whole C-STORE; its answer will come."""
    if isinstance(data_set, Dataset):
        if instance is None:
            instance = data_set.get("SOPInstanceUID")
        data_set = encoded(data_set, transfer_syntax)
    reception = begin(
        association, sop_class=sop_class, instance=instance, transfer_syntax=transfer_syntax
    )
    write(reception, data_set)
    answered = Answered()
    reception.finish(answered)
    return answered


def release(association: IngressAssociation) -> None:
    """The sender has finished."""
    association.closed(AssociationEnd.RELEASED)
