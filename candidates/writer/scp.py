"""The writer's C-STORE SCP: acknowledges an instance when its file and its row are durable.

Several threads seal what has arrived; one commits, all that waits by then in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import structlog
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream

from candidates.writer.archive import Archive
from candidates.writer.attachments import Incoming
from candidates.writer.errors import IndexFailed
from candidates.writer.index.recording import Arrival
from candidates.writer.tags import ATTRIBUTES
from router.dicom import statuses, uids
from router.dicom.dimse import CStoreRQ, Message
from router.dicom.handlers import AssociationEnd, AssociationInfo, Operation, PeerAddress, Respond
from router.dicom.negotiation import AcceptancePolicy, AcceptedContext, negotiate
from router.dicom.part10 import file_header
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ
from router.dicom.scan_stored import scan_stored
from router.dicom.scanner import DataSetScanner, ScanLimits, ScanPlan, ScanResult
from router.domain.instance import Identity

Answer = Callable[[int, str], None]
Keep = Callable[[Arrival], tuple[int, str]]
"""Takes a sealed instance, to have it committed later; the status and comment to answer."""

MAX_WAITING = 1024
MAX_BATCH = 256
NO_ROOM = statuses.OUT_OF_RESOURCES

_USABLE = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,63}")

log = structlog.get_logger(__name__)


def can_be_kept(uid: str) -> bool:
    """Whether a UID can name a study, though it be none by PS3.5 section 9.1.

    Careless senders have such UIDs, and their studies must be kept as well.
    """
    return _USABLE.fullmatch(uid) is not None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A data set that has been written whole and waits to be sealed."""

    file: Incoming
    header_length: int
    length: int
    request: CStoreRQ
    transfer_syntax_uid: str
    calling_ae_title: str
    scan: ScanResult | None  # None: it has to be scanned from the file
    answer: Answer
    keep: Keep | None = None  # None: it is committed as soon as it is sealed


@dataclass(frozen=True, slots=True)
class _Refused:
    """An instance that cannot be stored, and why."""

    status: int
    comment: str


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Instances that wait to be committed together."""

    arrivals: Sequence[Arrival]
    answer: Answer


class WriterService:
    """Accepts associations, stores what they bring. Implements the acceptor's handler."""

    def __init__(self, ae_title: str, archive: Archive, operations: Sequence[Operation] = ()):
        """``operations`` are what it offers beside C-ECHO and C-STORE."""
        self._acceptance = AcceptancePolicy(
            ae_titles=frozenset({ae_title}),
            accept_storage_commitment=True,
            services=frozenset({uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET}),
        )
        self.operations = operations
        self.archive = archive
        self.plan = ScanPlan.compile(ATTRIBUTES)
        self.limits = ScanLimits()
        self._send, self._receive = anyio.create_memory_object_stream[Arrived](MAX_WAITING)
        self._changing = anyio.Lock()
        self._send_sealed, self._sealed = anyio.create_memory_object_stream[_Sealed](MAX_BATCH)

    def requested(self, request: AssociateRQ, peer: PeerAddress) -> AssociateAC | AssociateRJ:
        """Accept whoever calls this writer by its AE title."""
        return negotiate(request, self._acceptance)

    def opened(self, info: AssociationInfo) -> WriterAssociation:
        """The receiver of a new association."""
        return WriterAssociation(self, info)

    def submit(self, arrived: Arrived) -> None:
        """Seal and commit in worker threads, then answer."""
        try:
            self._send.send_nowait(arrived)
        except anyio.WouldBlock:
            arrived.file.discard()
            arrived.answer(NO_ROOM, "too many instances wait to be stored")

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Store what arrives until cancelled."""
        async with (
            self._send,
            self._receive,
            self._send_sealed,
            self._sealed,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(self.archive.storage.sealers):
                tasks.start_soon(self._seal_all)
            tasks.start_soon(self._commit_all)
            task_status.started()

    async def _seal_all(self) -> None:
        async for arrived in self._receive:
            sealed = await anyio.to_thread.run_sync(self._seal, arrived)
            if isinstance(sealed, _Refused):
                arrived.answer(sealed.status, sealed.comment)
            elif arrived.keep is not None:
                arrived.answer(*arrived.keep(sealed))
            else:
                await self._send_sealed.send(_Sealed((sealed,), arrived.answer))

    def _seal(self, arrived: Arrived) -> Arrival | _Refused:
        try:
            scan = arrived.scan or self._scan(arrived)
            study = scan.facts.get("StudyInstanceUID", ())
            series = scan.facts.get("SeriesInstanceUID", ())
            instance = arrived.request.sop_instance_uid
            if not (study and series and all(map(can_be_kept, (study[0], series[0], instance)))):
                arrived.file.discard()
                reason = "the data set lacks usable study or series UIDs"
                return _Refused(statuses.CANNOT_UNDERSTAND, reason)
            return Arrival(
                arrived.request.sop_class_uid,
                instance,
                arrived.transfer_syntax_uid,
                arrived.calling_ae_title,
                datetime.now(UTC),
                {**scan.facts, "StudyInstanceUID": study[:1], "SeriesInstanceUID": series[:1]},
                self.archive.seal(arrived.file),
            )
        except OSError as error:
            arrived.file.discard()
            return _out_of_resources(error)
        except IndexFailed as error:
            arrived.file.discard()
            return _index_failed(error, 1)

    def _scan(self, arrived: Arrived) -> ScanResult:
        def read(offset: int, size: int) -> bytes:
            return arrived.file.read(arrived.header_length + offset, size)

        return scan_stored(
            self.plan, arrived.transfer_syntax_uid, self.limits, read, arrived.length
        )

    async def commit_together(self, arrivals: Sequence[Arrival]) -> tuple[int, str]:
        """Commit sealed instances, all or none; the status and comment that hold for each."""
        done, said = anyio.Event(), (statuses.SUCCESS, "")

        def answer(status: int, comment: str) -> None:
            nonlocal said
            said = status, comment
            done.set()

        await self._send_sealed.send(_Sealed(arrivals, answer))
        await done.wait()
        return said

    async def remove_study(self, study_instance_uid: str, unless_since: datetime) -> int:
        """Remove a study as :meth:`Archive.remove_study` does, between two commits."""
        async with self._changing:
            now = datetime.now(UTC)
            return await anyio.to_thread.run_sync(
                self.archive.remove_study, study_instance_uid, now, unless_since
            )

    async def _commit_all(self) -> None:
        async for first in self._sealed:
            batch = [first, *_waiting(self._sealed, MAX_BATCH - 1)]
            arrivals = [arrival for one in batch for arrival in one.arrivals]
            async with self._changing:
                refused = await anyio.to_thread.run_sync(self._commit, arrivals)
            for one in batch:
                if refused is None:
                    one.answer(statuses.SUCCESS, "")
                else:
                    one.answer(refused.status, refused.comment)

    def _commit(self, arrivals: list[Arrival]) -> _Refused | None:
        try:
            self.archive.commit(arrivals)
        except OSError as error:
            return _out_of_resources(error)
        except IndexFailed as error:
            return _index_failed(error, len(arrivals))
        return None


def _waiting(stream: MemoryObjectReceiveStream[_Sealed], at_most: int) -> list[_Sealed]:
    """What can be had without waiting."""
    found: list[_Sealed] = []
    while len(found) < at_most:
        try:
            found.append(stream.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return found


def _out_of_resources(error: OSError) -> _Refused:
    log.error("an instance could not be stored", error=str(error))
    return _Refused(NO_ROOM, f"storage failed: {error.strerror}")


def _index_failed(error: IndexFailed, instances: int) -> _Refused:
    log.error("instances could not be stored", instances=instances, error=str(error))
    return _Refused(NO_ROOM, "the index failed")


class WriterAssociation:
    """One association of a modality or router with this writer."""

    def __init__(self, service: WriterService, info: AssociationInfo):
        self._service = service
        self._info = info

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> WriterReception:
        """An instance begins to arrive."""
        return WriterReception(self._service, self._info.calling_ae_title, request, context)

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        """Ask the operations in their order whose request it is."""
        return any(
            one.request(self._info, message, context, data, respond)
            for one in self._service.operations
        )

    def closed(self, how: AssociationEnd) -> None:
        """Nothing outlives the association."""


class WriterReception:
    """One instance while it arrives."""

    def __init__(
        self,
        service: WriterService,
        calling_ae_title: str,
        request: CStoreRQ,
        context: AcceptedContext,
        keep: Keep | None = None,
    ):
        """``keep`` takes it when it is sealed; without it, it is committed by itself."""
        self._service = service
        self._keep = keep
        self._request = request
        self._calling_ae_title = calling_ae_title
        self._transfer_syntax_uid = context.transfer_syntax
        self._scanner = DataSetScanner(service.plan, context.transfer_syntax, service.limits)
        self._length = 0
        self._fault = ""
        identity = Identity(
            request.sop_class_uid, request.sop_instance_uid, "", "", context.transfer_syntax
        )
        header = file_header(identity, calling_ae_title)
        self._header_length = len(header)
        self._file: Incoming | None = None
        try:
            self._file = service.archive.storage.begin(header)
        except OSError as error:
            self._fail(error)

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take the next bytes; keeps no view and never raises."""
        if self._file is None:
            return
        for fragment in fragments:
            self._scanner.feed(fragment)
            self._length += len(fragment)
        try:
            self._file.write(fragments)
        except OSError as error:
            self._fail(error)

    def finish(self, answer: Answer) -> None:
        """The data set is complete: publish it, then answer."""
        file, self._file = self._file, None
        if file is None:
            answer(NO_ROOM, self._fault)
            return
        scan = None if self._scanner.needs_stored_scan else self._scanner.finish()
        self._service.submit(
            Arrived(
                file,
                self._header_length,
                self._length,
                self._request,
                self._transfer_syntax_uid,
                self._calling_ae_title,
                scan,
                answer,
                self._keep,
            )
        )

    def abandon(self) -> None:
        """The connection ended in mid-object: nothing of it remains."""
        if self._file is not None:
            self._file.discard()
            self._file = None

    def _fail(self, error: OSError) -> None:
        log.error("an instance could not be stored", error=str(error))
        self._fault = f"storage failed: {error.strerror}"
        self.abandon()
