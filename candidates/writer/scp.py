"""The writer's C-STORE SCP: a file per instance, acknowledged when it is durable and visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskStatus

from candidates.writer.storage import IncomingFile, Storage, can_be_kept
from router.dicom import statuses
from router.dicom.dimse import CStoreRQ, Message
from router.dicom.handlers import AssociationEnd, AssociationInfo, PeerAddress, Respond
from router.dicom.negotiation import AcceptancePolicy, AcceptedContext, negotiate
from router.dicom.part10 import file_header
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ
from router.dicom.scan_stored import scan_stored
from router.dicom.scanner import DataSetScanner, ScanLimits, ScanPlan, ScanResult
from router.domain.instance import Identity

Answer = Callable[[int, str], None]

PUBLISHERS = 4
MAX_WAITING = 1024
NO_ROOM = statuses.OUT_OF_RESOURCES

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A data set that has been written whole and waits to be published."""

    file: IncomingFile
    header_length: int
    length: int
    request: CStoreRQ
    transfer_syntax_uid: str
    scan: ScanResult | None  # None: it has to be scanned from the file
    answer: Answer


class WriterService:
    """Accepts associations, stores what they bring. Implements the acceptor's handler."""

    def __init__(self, ae_title: str, storage: Storage):
        self._acceptance = AcceptancePolicy(ae_titles=frozenset({ae_title}))
        self.storage = storage
        self.plan = ScanPlan.compile(())
        self.limits = ScanLimits()
        self._send, self._receive = anyio.create_memory_object_stream[_Arrived](MAX_WAITING)

    def requested(self, request: AssociateRQ, peer: PeerAddress) -> AssociateAC | AssociateRJ:
        """Accept whoever calls this writer by its AE title."""
        return negotiate(request, self._acceptance)

    def opened(self, info: AssociationInfo) -> WriterAssociation:
        """The receiver of a new association."""
        return WriterAssociation(self, info.calling_ae_title)

    def submit(self, arrived: _Arrived) -> None:
        """Publish in a worker thread, then answer."""
        try:
            self._send.send_nowait(arrived)
        except anyio.WouldBlock:
            arrived.file.discard()
            arrived.answer(NO_ROOM, "too many instances wait to be stored")

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Publish what arrives until cancelled."""
        async with self._send, self._receive, anyio.create_task_group() as tasks:
            for _ in range(PUBLISHERS):
                tasks.start_soon(self._publish_all)
            task_status.started()

    async def _publish_all(self) -> None:
        async for arrived in self._receive:
            status, comment = await anyio.to_thread.run_sync(self._publish, arrived)
            arrived.answer(status, comment)

    def _publish(self, arrived: _Arrived) -> tuple[int, str]:
        scan = arrived.scan or self._scan(arrived)
        study = scan.facts.get("StudyInstanceUID", ())
        series = scan.facts.get("SeriesInstanceUID", ())
        instance = arrived.request.sop_instance_uid
        if not (study and series and all(map(can_be_kept, (study[0], series[0], instance)))):
            arrived.file.discard()
            return statuses.CANNOT_UNDERSTAND, "the data set lacks usable study or series UIDs"
        try:
            self.storage.publish(arrived.file, self.storage.path_of(study[0], series[0], instance))
        except OSError as error:
            arrived.file.discard()
            log.error("an instance could not be stored", error=str(error))
            return NO_ROOM, f"storage failed: {error.strerror}"
        return statuses.SUCCESS, ""

    def _scan(self, arrived: _Arrived) -> ScanResult:
        def read(offset: int, size: int) -> bytes:
            return arrived.file.read(arrived.header_length + offset, size)

        return scan_stored(
            self.plan, arrived.transfer_syntax_uid, self.limits, read, arrived.length
        )


class WriterAssociation:
    """One association of a modality or router with this writer."""

    def __init__(self, service: WriterService, calling_ae_title: str):
        self._service = service
        self._calling_ae_title = calling_ae_title

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> WriterReception:
        """An instance begins to arrive."""
        return WriterReception(self._service, self._calling_ae_title, request, context)

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        """No other operation is offered."""
        return False

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
    ):
        self._service = service
        self._request = request
        self._transfer_syntax_uid = context.transfer_syntax
        self._scanner = DataSetScanner(service.plan, context.transfer_syntax, service.limits)
        self._length = 0
        self._fault = ""
        identity = Identity(
            request.sop_class_uid, request.sop_instance_uid, "", "", context.transfer_syntax
        )
        header = file_header(identity, calling_ae_title)
        self._header_length = len(header)
        self._file: IncomingFile | None = None
        try:
            self._file = service.storage.begin(header)
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
            _Arrived(
                file,
                self._header_length,
                self._length,
                self._request,
                self._transfer_syntax_uid,
                scan,
                answer,
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
