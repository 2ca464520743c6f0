"""The transfers accelerator's protocol, against a receiver made from the source of the plugin.

Debian does not have the plugin itself.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from router.clock import SystemClock
from router.delivery.destinations.orthanc import OrthancDestination
from router.delivery.destinations.transfers import TransfersDestination
from router.delivery.destinations.web import Web
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import AssociationLost, CandidateUnavailable
from router.domain.reach import WebReach
from router.net.exchange import RequestorTimeouts
from router.spool.log import LocalSpool
from tests.delivery.builders import delivery
from tests.delivery.spooled import damage, item_of
from tests.delivery.transfers_peer import TransfersPeer, transfers_peer
from tests.delivery.web_writer import Handler, data_set_of
from tests.spool.helpers import a_spool, data_set, store

MIB = 1024**2
STORED = Outcome(OutcomeKind.STORED, 0x0000, "")


@dataclass
class Case:
    """A router's side of a receiver."""

    spool: LocalSpool
    folder: Path
    peer: TransfersPeer

    async def items(self, *sizes: int) -> list[DeliveryItem]:
        """Instances of these sizes, in the spool."""
        return [
            item_of(await store(self.spool, number, data_set(number, size)), number)
            for number, size in enumerate(sizes)
        ]

    async def send(
        self, items: Sequence[DeliveryItem], *, gzip: bool = False, associations: int = 2
    ) -> Sequence[Outcome]:
        """One transfer."""
        web_client, clock = Web(RequestorTimeouts(5, 5, 20)), SystemClock()
        orthanc = OrthancDestination(self.spool, web_client, clock)
        destination = TransfersDestination(self.spool, web_client, clock, orthanc)
        reach = WebReach(self.peer.url, gzip=gzip)
        candidate = Candidate(
            "ORTHANC", "127.0.0.1", 80, "orthanc-transfers", reach, associations=associations
        )
        with anyio.fail_after(60):
            return await destination.transfer(candidate, delivery(), items)


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with a_spool(tmp_path / "spool") as spool, transfers_peer() as peer:
        yield Case(spool, tmp_path / "spool", peer)


@pytest.mark.parametrize("gzip", [False, True])
async def test_small_instances_travel_together_and_large_ones_in_pieces(
    case: Case, gzip: bool
) -> None:
    sizes = [1000, 5 * MIB, 2000, 20 * MIB, 0, 3000]
    items = await case.items(*sizes)

    assert await case.send(items, gzip=gzip) == [STORED] * 6

    (taken,) = case.peer.committed
    assert [data_set_of(taken[item.sop_instance_uid]) for item in items] == [
        data_set(number, size) for number, size in enumerate(sizes)
    ]
    assert len(case.peer.puts) == 1 + 3 + 1  # 5 MiB, 20 MiB, the small ones
    assert case.peer.discarded == 0


async def test_no_more_requests_are_under_way_than_the_candidate_likes(case: Case) -> None:
    await case.send(await case.items(*[5 * MIB] * 6), associations=2)

    assert case.peer.at_once_at_most <= 2


async def test_a_large_instance_is_never_in_memory_as_a_whole(case: Case) -> None:
    items = await case.items(64 * MIB)

    async def drop(request: web.Request) -> web.StreamResponse:
        async for _ in request.content.iter_any():
            pass
        return web.json_response({})

    case.peer.instead.update({f"PUT /{number}": drop for number in range(9)})
    case.peer.instead["POST /commit"] = drop
    tracemalloc.start()
    try:
        assert await case.send(items) == [STORED]
        _, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert highest - 64 * MIB < 12 * MIB  # the receiver's own copy aside


async def test_two_instances_of_one_name_are_told_apart(case: Case) -> None:
    first = item_of(await store(case.spool, 0, b"first"), 0)
    second = item_of(await store(case.spool, 0, b"second"), 1)

    assert await case.send([first, second]) == [STORED, STORED]

    (taken,) = case.peer.committed
    assert sorted(map(data_set_of, taken.values())) == [b"first", b"second"]


def answering(status: int) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"Message": "because"}, status=status)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize(
    ("reaction", "error"),
    [
        (answering(503), CandidateUnavailable),
        (answering(404), CandidateUnavailable),  # the transaction was dropped for newer ones
        (answering(500), AssociationLost),
        (hang_up, AssociationLost),
    ],
)
async def test_a_transaction_that_cannot_be_filled_is_discarded(
    case: Case, reaction: Handler, error: type[Exception]
) -> None:
    case.peer.instead["PUT /1"] = reaction

    with pytest.raises(error):
        await case.send(await case.items(5 * MIB, 5 * MIB, 5 * MIB))

    assert (case.peer.committed, case.peer.open, case.peer.discarded) == ([], {}, 1)


async def test_a_transaction_that_is_interrupted_is_discarded(case: Case) -> None:
    begun = anyio.Event()

    async def wait(_request: web.Request) -> web.StreamResponse:
        begun.set()
        await anyio.sleep_forever()
        return web.Response()

    case.peer.instead["PUT /0"] = wait
    items = await case.items(1000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(case.send, items)
        await begun.wait()
        tasks.cancel_scope.cancel()

    assert (case.peer.committed, case.peer.open, case.peer.discarded) == ([], {}, 1)


async def test_a_commit_that_is_refused_makes_the_delivery_dead_and_says_why(case: Case) -> None:
    case.peer.instead["POST /commit"] = answering(400)

    outcomes = await case.send(await case.items(1000, 1000))

    assert {one.kind for one in outcomes} == {OutcomeKind.PERMANENT}
    assert outcomes[0].reason == 'Orthanc refused the transaction: 400: {"Message": "because"}'


def flip(body: bytes) -> bytes:
    """Change one byte of a bucket, unless it is small."""
    if len(body) < MIB:
        return body
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


async def test_a_byte_that_changes_on_the_way_is_sent_again(case: Case) -> None:
    items = await case.items(1000, 5 * MIB)
    faults = [flip]
    case.peer.on_the_way = lambda body: faults.pop()(body) if faults and len(body) > MIB else body

    assert await case.send(items) == [STORED] * 2

    [committed] = case.peer.committed
    assert set(committed) == {one.sop_instance_uid for one in items}
    assert (len(case.peer.puts), case.peer.open, case.peer.discarded) == (4, {}, 1)


async def test_where_bytes_change_each_time_nothing_is_stored_and_the_instance_is_named(
    case: Case,
) -> None:
    items = await case.items(1000, 20 * MIB)
    case.peer.on_the_way = flip

    outcomes = await case.send(items)

    assert {one.kind for one in outcomes} == {OutcomeKind.PERMANENT}
    for outcome in outcomes:
        assert outcome.reason.startswith("Orthanc refused the transaction: 400: ")
        assert "Bad MD5 sum in a transfered DICOM instance" in outcome.reason
        assert items[1].sop_instance_uid in outcome.reason
    assert (case.peer.committed, case.peer.open) == ([], {})


async def test_a_commit_that_fails_for_now_is_tried_again(case: Case) -> None:
    case.peer.instead["POST /commit"] = answering(507)

    with pytest.raises(CandidateUnavailable, match="takes nothing at present"):
        await case.send(await case.items(1000))

    assert case.peer.discarded == 1


async def test_a_study_with_bytes_that_have_changed_is_not_begun(case: Case) -> None:
    items = await case.items(1000, 1000, 1000)
    damage(case.folder, data_set(1))

    outcomes = await case.send(items)

    assert {one.kind for one in outcomes} == {OutcomeKind.PERMANENT}
    assert "does not match the checksum" in outcomes[1].reason
    assert f"without instance {items[1].sop_instance_uid}" in outcomes[0].reason
    assert case.peer.puts == []


async def test_an_orthanc_without_the_plugin_is_named_as_such(case: Case) -> None:
    case.peer.instead["POST /transfers/push"] = answering(404)
    with pytest.raises(CandidateUnavailable, match="does not serve this path"):
        await case.send(await case.items(1000))


@pytest.mark.parametrize("path", ["/elsewhere", "/transfers/push/../../instances", 5])
async def test_a_transaction_anywhere_else_is_none(case: Case, path: object) -> None:
    async def mislead(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"ID": "1", "Path": path})

    case.peer.instead["POST /transfers/push"] = mislead

    with pytest.raises(CandidateUnavailable, match="opened no transaction"):
        await case.send(await case.items(1000))
