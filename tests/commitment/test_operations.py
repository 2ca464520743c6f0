"""Messages of storage commitment: taken while there is room, answered whatever they hold."""

from __future__ import annotations

from typing import cast

import anyio

from router.commitment.awaited import AwaitedReports
from router.commitment.operations import MAX_WAITING, MAX_WAITING_BYTES, CommitmentOperations
from router.commitment.service import CommitmentService, WayBack
from router.dicom import statuses, uids
from router.dicom.commitment import REQUEST_STORAGE_COMMITMENT, write_request
from router.dicom.dimse import Message, NActionRQ, NActionRSP
from router.dicom.handlers import AssociationInfo, Invoker, PeerAddress, Returner
from router.dicom.negotiation import AcceptedContext
from router.domain.commitment import CommitmentRequest, Reference, Requester

PUSH, SYNTAX = uids.STORAGE_COMMITMENT_PUSH, uids.IMPLICIT_VR_LITTLE_ENDIAN
CONTEXT = AcceptedContext(1, PUSH, SYNTAX)
MODALITY = AssociationInfo(
    "CT1",
    "ROUTER",
    PeerAddress("10.0.0.7", 53312),
    "1.2.3",
    "",
    {1: CONTEXT},
    cast(Invoker, None),
    cast(Returner, None),
)
ASKED = CommitmentRequest("1.2.99", (Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1"),))


class Service:
    """A service that accepts what it is asked, or trips over it."""

    def __init__(self, fault: Exception | None = None):
        self._fault = fault
        self.asked: list[CommitmentRequest] = []

    async def accept(
        self, request: CommitmentRequest, requester: Requester, way_back: WayBack | None
    ) -> int:
        if self._fault is not None:
            raise self._fault
        self.asked.append(request)
        return statuses.SUCCESS


class Desk:
    """The operations, and the statuses that were answered."""

    def __init__(self, service: Service):
        self.answers: list[int] = []
        self.operations = CommitmentOperations(cast(CommitmentService, service), AwaitedReports())

    def ask(self, data: bytes) -> None:
        message = NActionRQ(
            1, PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE, REQUEST_STORAGE_COMMITMENT
        )
        assert self.operations.request(MODALITY, message, CONTEXT, data, self._answered)

    def _answered(self, message: Message, data: bytes | None = None) -> None:
        assert isinstance(message, NActionRSP)
        self.answers.append(message.status)

    async def answer_all(self, count: int) -> None:
        """Work until so many messages have been answered."""
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                await tasks.start(self.operations.run)
                while len(self.answers) < count:
                    await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()


async def test_a_request_is_accepted_as_it_was_meant() -> None:
    service = Service()
    desk = Desk(service)

    desk.ask(write_request(ASKED, SYNTAX))
    await desk.answer_all(1)

    assert (desk.answers, service.asked) == ([statuses.SUCCESS], [ASKED])


async def test_a_fault_of_our_own_costs_that_message_only() -> None:
    desk = Desk(Service(ZeroDivisionError("a bug")))

    desk.ask(write_request(ASKED, SYNTAX))
    desk.ask(b"nonsense")
    await desk.answer_all(2)

    assert sorted(desk.answers) == [statuses.PROCESSING_FAILURE, statuses.INVALID_ARGUMENT]


async def test_no_more_messages_wait_than_there_is_room_for() -> None:
    desk = Desk(Service())

    for _ in range(MAX_WAITING + 1):
        desk.ask(b"?")
    assert desk.answers == [statuses.RESOURCE_LIMITATION]
    await desk.answer_all(MAX_WAITING + 1)

    assert set(desk.answers[1:]) == {statuses.INVALID_ARGUMENT}


async def test_no_more_bytes_wait_than_there_is_room_for_and_room_comes_back() -> None:
    desk = Desk(Service())
    large = bytes(MAX_WAITING_BYTES // 2)

    for _ in range(3):
        desk.ask(large)
    assert desk.answers == [statuses.RESOURCE_LIMITATION]
    await desk.answer_all(3)

    assert desk.answers == [statuses.RESOURCE_LIMITATION, *[statuses.INVALID_ARGUMENT] * 2]
