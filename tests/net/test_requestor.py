"""Requestor and acceptor against each other: what is sent is what arrives, whatever the sizes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from router.dicom import statuses
from router.dicom.dimse import CFindRQ, CFindRSP, CStoreRQ, Message, NActionRQ, NActionRSP
from router.dicom.handlers import AssociationEnd
from router.dicom.negotiation import AcceptancePolicy, propose
from router.domain.errors import AssociationLost, ContextNotAccepted, SpoolFailed
from router.net.pieces import CHUNK_BYTES
from router.net.requestor import RequestedAssociation, associate
from tests.net.service import (
    CONTEXTS,
    CT_IMAGE,
    IMPLICIT,
    BytesSource,
    Service,
    serving,
)

KIB = 1024
UNLIMITED = 0
HUGEST = 2**32 - 1


def content(size: int) -> bytes:
    """Bytes of which no two places look alike."""
    return b"".join(index.to_bytes(4) for index in range(size // 4 + 1))[:size]


@asynccontextmanager
async def associated(port: int) -> AsyncIterator[RequestedAssociation]:
    async with associate("127.0.0.1", port, "ROUTER", "WRITER", contexts=CONTEXTS) as association:
        yield association


async def store(association: RequestedAssociation, source: BytesSource, instance: str = "1") -> int:
    answer = await association.store(CT_IMAGE, f"1.2.3.{instance}", IMPLICIT, source)
    return answer.status


async def test_an_echo_is_answered_with_success() -> None:
    async with serving(Service()) as acceptor, associated(acceptor.port) as association:
        assert await association.echo() == statuses.SUCCESS


@pytest.mark.parametrize("max_length", [UNLIMITED, 64, 16384, 131072, HUGEST])
@pytest.mark.parametrize("size", [0, 1, 255 * KIB, 256 * KIB, 256 * KIB + 1, 3 * KIB * KIB + 7])
async def test_a_data_set_arrives_as_it_was_sent(size: int, max_length: int) -> None:
    service = Service(AcceptancePolicy(max_length=max_length))
    async with serving(service) as acceptor, associated(acceptor.port) as association:
        status = await store(association, BytesSource(content(size)))

    [stored] = service.stored
    assert status == statuses.SUCCESS
    assert stored.data == content(size)
    assert stored.request == CStoreRQ(1, CT_IMAGE, "1.2.3.1")
    assert stored.context.transfer_syntax == IMPLICIT


@pytest.mark.parametrize("max_length", [1, 7, 8, 13])
async def test_a_peer_of_tiny_pdus_is_served_too(max_length: int) -> None:
    service = Service(AcceptancePolicy(max_length=max_length))
    async with serving(service) as acceptor, associated(acceptor.port) as association:
        await store(association, BytesSource(content(5000)))

    assert service.stored[0].data == content(5000)


async def test_one_association_carries_one_store_after_the_other() -> None:
    service = Service()
    sizes = [0, 300 * KIB, 1, 70 * KIB]
    async with serving(service) as acceptor, associated(acceptor.port) as association:
        for number, size in enumerate(sizes):
            await store(association, BytesSource(content(size)), str(number))

    assert [len(stored.data) for stored in service.stored] == sizes
    assert [stored.request.message_id for stored in service.stored] == [1, 2, 3, 4]
    assert len(service.opened_ones) == 1


async def test_the_status_of_the_peer_is_given_back() -> None:
    async with (
        serving(Service(status=statuses.OUT_OF_RESOURCES)) as acceptor,
        associated(acceptor.port) as association,
    ):
        assert await store(association, BytesSource(b"1234")) == statuses.OUT_OF_RESOURCES


async def test_a_source_that_has_to_be_waited_for_is_waited_for() -> None:
    service = Service()
    source = BytesSource(content(2 * CHUNK_BYTES), is_slow=True)
    async with serving(service) as acceptor, associated(acceptor.port) as association:
        await store(association, source)

    assert source.waits > 2
    assert service.stored[0].data == content(2 * CHUNK_BYTES)


FAILING = {
    "before its first byte": BytesSource(content(10), fails_at=0),
    "in the middle": BytesSource(content(4 * CHUNK_BYTES), fails_at=CHUNK_BYTES),
    "by ending too early": BytesSource(content(CHUNK_BYTES), announces=2 * CHUNK_BYTES),
}


@pytest.mark.parametrize("source", FAILING.values(), ids=FAILING.keys())
async def test_when_a_source_fails_the_peer_never_takes_a_part_for_the_whole(
    source: BytesSource,
) -> None:
    service = Service()
    async with serving(service) as acceptor, associated(acceptor.port) as association:
        with pytest.raises(SpoolFailed):
            await store(association, source)
        assert not association.is_open
        await service.until(lambda: service.ends)

    assert [stored.is_abandoned for stored in service.stored if stored.data] in ([], [True])
    assert [stored.answer for stored in service.stored] in ([], [None])


async def test_a_failing_source_aborts_the_association() -> None:
    service = Service()
    source = BytesSource(content(4 * CHUNK_BYTES), fails_at=CHUNK_BYTES)
    async with serving(service) as acceptor:
        with pytest.raises(SpoolFailed):
            async with associated(acceptor.port) as association:
                await store(association, source)
        await service.until(lambda: service.ends)

    assert service.ends == [AssociationEnd.ABORTED]
    assert service.stored[0].is_abandoned


async def test_what_the_peer_does_not_accept_is_refused_before_anything_is_sent() -> None:
    service = Service()
    async with serving(service) as acceptor, associated(acceptor.port) as association:
        with pytest.raises(ContextNotAccepted, match="WRITER at 127"):
            await association.store(CT_IMAGE, "1.2.3", "1.2.840.10008.1.2.4.50", BytesSource(b""))
        assert await association.echo() == statuses.SUCCESS

    assert not association.accepts(CT_IMAGE, "1.2.840.10008.1.2.4.50")
    assert association.accepts(CT_IMAGE)
    assert service.stored == []


async def test_leaving_the_block_releases_the_association() -> None:
    service = Service()
    async with serving(service) as acceptor:
        async with associated(acceptor.port):
            pass
        await service.until(lambda: service.ends)

    assert service.ends == [AssociationEnd.RELEASED]


async def test_leaving_the_block_by_an_error_aborts_the_association() -> None:
    service = Service()
    async with serving(service) as acceptor:
        with pytest.raises(ValueError, match="ours"):
            async with associated(acceptor.port):
                raise ValueError("ours")
        await service.until(lambda: service.ends)

    assert service.ends == [AssociationEnd.ABORTED]


async def test_an_aborted_association_says_so_to_whoever_goes_on() -> None:
    async with serving(Service()) as acceptor, associated(acceptor.port) as association:
        association.abort()
        with pytest.raises(AssociationLost, match="has been closed"):
            await association.echo()


async def test_an_abort_ends_the_wait_of_another_task() -> None:
    service = Service(answers_at_once=False)

    async def abort_when_it_waits(association: RequestedAssociation) -> None:
        await service.until(lambda: service.stored and service.stored[0].answer)
        association.abort()

    async with (
        serving(service) as acceptor,
        associated(acceptor.port) as association,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(abort_when_it_waits, association)
        with pytest.raises(AssociationLost, match="has been closed"):
            await store(association, BytesSource(b"1234"))


async def test_an_operation_that_is_cancelled_ends_the_association() -> None:
    service = Service(answers_at_once=False)
    async with serving(service) as acceptor, associated(acceptor.port) as association:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store, association, BytesSource(b"1234"))
                await service.until(lambda: service.stored and service.stored[0].answer)
                scope.cancel()
        assert not association.is_open
        service.answer(0)  # goes nowhere; then the acceptor reads on
        await service.until(lambda: service.ends)

    assert service.ends == [AssociationEnd.ABORTED]


async def cancelled_after(steps: int, port: int) -> bool:
    """Whether an association with a store was over before it was cancelled."""
    is_over = False

    async def work() -> None:
        nonlocal is_over
        async with associated(port) as association:
            await association.echo()
            source = BytesSource(content(300 * KIB), is_slow=True)
            await store(association, source)
        is_over = True

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    return is_over


async def test_cancelled_at_any_step_nothing_stays_behind_and_nothing_half_is_kept() -> None:
    service = Service()
    async with serving(service) as acceptor:
        steps = 0
        while not await cancelled_after(steps, acceptor.port):
            steps += 1
        await service.until(lambda: acceptor.associations == 0)

    assert steps > 20
    whole = [stored.data for stored in service.stored if stored.answer is not None]
    assert all(data == content(300 * KIB) for data in whole)
    assert all(stored.answer or stored.is_abandoned for stored in service.stored)


async def test_a_find_that_is_answered_at_once_ends_with_its_status() -> None:
    def respond(message: Message) -> Message:
        assert isinstance(message, CFindRQ)
        return CFindRSP(message.message_id, message.sop_class_uid, statuses.SUCCESS)

    service = Service(respond=respond)
    service.policy = AcceptancePolicy(accept_storage_commitment=True)
    contexts = propose([("1.2.3.4.5", IMPLICIT)])  # not known, so it is accepted
    async with (
        serving(service) as acceptor,
        associate("127.0.0.1", acceptor.port, "A", "B", contexts=contexts) as association,
    ):
        answers = [answer async for answer in association.find("1.2.3.4.5", b"identifier")]

    assert [answer.message.status for answer in answers] == [statuses.SUCCESS]
    assert service.requests == [(CFindRQ(1, "1.2.3.4.5"), b"identifier")]


async def test_an_action_carries_its_information() -> None:
    commitment = "1.2.840.10008.1.20.1"

    def respond(message: Message) -> Message:
        assert isinstance(message, NActionRQ)
        return NActionRSP(message.message_id, commitment, message.sop_instance_uid, 1, 0x0112)

    service = Service(AcceptancePolicy(accept_storage_commitment=True), respond=respond)
    contexts = propose([(commitment, IMPLICIT)])
    async with (
        serving(service) as acceptor,
        associate("127.0.0.1", acceptor.port, "A", "B", contexts=contexts) as association,
    ):
        status = await association.action(commitment, "1.2.840.10008.1.20.1.1", 1, b"list")

    assert status == statuses.NO_SUCH_OBJECT_INSTANCE
    assert service.requests[0][1] == b"list"


async def test_what_the_acceptor_does_not_offer_is_refused_and_the_association_lives_on() -> None:
    contexts = propose([("1.2.3.4.5", IMPLICIT), ("1.2.840.10008.1.1", IMPLICIT)])
    async with (
        serving(Service()) as acceptor,
        associate("127.0.0.1", acceptor.port, "A", "B", contexts=contexts) as association,
    ):
        [answer] = [answer async for answer in association.find("1.2.3.4.5", b"")]
        assert answer.message.status == statuses.UNRECOGNISED_OPERATION
        assert await association.echo() == statuses.SUCCESS
