"""The writer commits itself to what its archive holds, on the same association or a new one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from router.commitment.awaited import AwaitedReports
from router.commitment.operations import CommitmentOperations
from router.dicom import commitment, statuses, uids
from router.dicom.dimse import CStoreRQ, Message, NEventReportRQ
from router.dicom.handlers import (
    AssociationEnd,
    AssociationInfo,
    PeerAddress,
    Respond,
    StoreReception,
)
from router.dicom.negotiation import AcceptancePolicy, AcceptedContext, negotiate, propose
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ
from router.domain.commitment import (
    CommitmentReport,
    CommitmentRequest,
    FailureReason,
    Reference,
    Requester,
)
from router.net.acceptor import Acceptor
from router.net.requestor import RequestedAssociation, associate
from tests.candidates.arrivals import CT, arrived
from tests.candidates.writers import Writer, running_writer
from tests.corpus import make_ct_series
from tests.e2e.stack import RouterProcess, WriterProcess, free_port, running, wait_until
from tests.peers import dcmtk

WITHIN_S = 60
SYNTAX = uids.IMPLICIT_VR_LITTLE_ENDIAN
PAIRS = [(uids.STORAGE_COMMITMENT_PUSH, SYNTAX)]


def reference(instance: str, sop_class: str = CT) -> Reference:
    return Reference(sop_class, instance)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    """It holds 1.1 and 1.2."""
    async with running_writer(tmp_path / "writer") as writer:
        hold(writer, "1.1", "1.2")
        yield writer


def hold(writer: Writer, *instances: str) -> None:
    storage = writer.archive.storage
    writer.archive.commit([arrived(storage, b"data set", instance) for instance in instances])


async def ask(association: RequestedAssociation, references: Sequence[Reference]) -> int:
    request = commitment.write_request(CommitmentRequest("1.9.9", tuple(references)), SYNTAX)
    return await association.action(
        uids.STORAGE_COMMITMENT_PUSH,
        uids.STORAGE_COMMITMENT_PUSH_INSTANCE,
        commitment.REQUEST_STORAGE_COMMITMENT,
        request,
    )


async def reported(writer: Writer, *references: Reference) -> CommitmentReport:
    """What the writer reports on the association that it is asked on."""
    reports: list[CommitmentReport] = []

    def take(_request: NEventReportRQ, data: bytes) -> int:
        reports.append(commitment.read_report(data, SYNTAX))
        return statuses.SUCCESS

    with anyio.fail_after(WITHIN_S):
        async with associate(
            "127.0.0.1", writer.port, "ROUTER", "WRITER", contexts=propose(PAIRS), reported=take
        ) as association:
            assert await ask(association, references) == statuses.SUCCESS
            while not reports:
                await association.listen(0.1)
    [report] = reports
    return report


async def test_what_it_holds_is_committed(writer: Writer) -> None:
    report = await reported(writer, reference("1.1"), reference("1.2"))

    assert report == CommitmentReport("1.9.9", (reference("1.1"), reference("1.2")), ())


async def test_what_it_does_not_hold_is_not_committed(writer: Writer) -> None:
    report = await reported(writer, reference("1.1"), reference("1.7"))

    assert report.committed == (reference("1.1"),)
    assert report.failed == ((reference("1.7"), FailureReason.NO_SUCH_OBJECT_INSTANCE),)


async def test_what_it_holds_as_another_class_is_not_committed(writer: Writer) -> None:
    other = reference("1.1", "1.2.840.10008.5.1.4.1.1.4")

    report = await reported(writer, other)

    assert report.failed == ((other, FailureReason.CLASS_INSTANCE_CONFLICT),)


async def test_a_row_whose_file_is_gone_or_cut_is_not_committed(writer: Writer) -> None:
    first, second = (one.path for one in writer.held())
    first.unlink()
    second.write_bytes(b"head")

    report = await reported(writer, reference("1.1"), reference("1.2"))

    assert report.committed == ()
    assert {reason for _, reason in report.failed} == {FailureReason.NO_SUCH_OBJECT_INSTANCE}


class Listener:
    """Takes reports under the AE title ROUTER; an acceptor's handler and each receiver in one."""

    def __init__(self, operations: CommitmentOperations):
        self._operations = operations

    def requested(self, request: AssociateRQ, peer: PeerAddress) -> AssociateAC | AssociateRJ:
        policy = AcceptancePolicy(frozenset({"ROUTER"}), accept_storage_commitment=True)
        return negotiate(request, policy)

    def opened(self, info: AssociationInfo) -> Listener:
        self._info = info
        return self

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        return self._operations.request(self._info, message, context, data, respond)

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> StoreReception:
        raise AssertionError("nobody stores here")

    def closed(self, how: AssociationEnd) -> None:
        pass


class Nobody:
    """Nobody is to be asked here."""

    async def accept(self, request: CommitmentRequest, requester: Requester, _: object) -> int:
        raise AssertionError(f"{requester} asks")


@asynccontextmanager
async def listening(awaited: AwaitedReports, port: int) -> AsyncIterator[None]:
    operations = CommitmentOperations(Nobody(), awaited)
    async with (
        anyio.create_task_group() as tasks,
        Acceptor(Listener(operations), host="127.0.0.1", port=port),
    ):
        await tasks.start(operations.run)
        yield
        tasks.cancel_scope.cancel()


async def test_who_has_left_gets_the_report_on_a_new_association(tmp_path: Path) -> None:
    awaited, port = AwaitedReports(), free_port()
    report_to = {"ROUTER": ("127.0.0.1", port)}
    async with (
        listening(awaited, port),
        running_writer(tmp_path / "writer", report_to=report_to) as writer,
    ):
        hold(writer, "1.1")
        with anyio.fail_after(WITHIN_S), awaited.expected("1.9.9") as expected:
            async with associate(
                "127.0.0.1", writer.port, "ROUTER", "WRITER", contexts=propose(PAIRS)
            ) as association:
                assert await ask(association, [reference("1.1")]) == statuses.SUCCESS
                association.abort()
            report = await expected.wait()

    assert report.committed == (reference("1.1"),)


def test_a_router_that_asks_for_commitment_delivers_to_the_embedded_writer(tmp_path: Path) -> None:
    settings = {
        "completion": {"quiet_after": "500ms", "stable_after": "3s"},
        "registration": {"lease": "10s", "heartbeat": "1s"},
    }
    router = RouterProcess(tmp_path / "router", settings)
    writer = WriterProcess(tmp_path, "WRITER", router.url, None)
    writer.environment["COMMITMENT"] = "true"
    sent = make_ct_series(tmp_path / "ct", instances=3, rows=8, columns=8)

    def delivered() -> bool:
        deliveries = router.get("/deliveries")["deliveries"]
        return [one["state"] for one in deliveries] == ["delivered"]

    with running(router, writer):
        wait_until(lambda: router.candidates() == {"WRITER"}, "the writer is registered")
        dcmtk("dcmsend", "-aec", "ROUTER", "127.0.0.1", str(router.dicom_port), *map(str, sent))
        wait_until(delivered, f"delivered; the writer's log:\n{writer.log.read_text()}")
        [delivery] = router.get("/deliveries")["deliveries"]
        detail = router.get(f"/deliveries/{delivery['id']}")

    assert [attempt["outcome"] for attempt in detail["attempts"]] == ["committing", "delivered"]
    assert "storage commitment reported" in writer.log.read_text()
    assert writer.count() == 3
