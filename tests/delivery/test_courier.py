"""Candidates that take a revision in one transfer: what goes together, and what becomes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import pytest

from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, DeliveryState, Outcome
from router.domain.errors import AssociationLost, CandidateUnavailable, PeerTimeout
from tests.delivery.conftest import PATIENCE_S, Hospital
from tests.delivery.writers import BUSY, REFUSED, STORED, number_of
from tests.ledger.builders import choice

BROKE = AssociationLost("the connection broke")
AWAY = CandidateUnavailable("XRAY: no connection")


@dataclass
class Archive:
    """Implements ``ports.RevisionDestination``; stores what it is not told to treat otherwise."""

    is_divisible: bool = True
    next: deque[Sequence[Outcome] | Exception] = field(default_factory=deque)
    breaks_on: set[int] = field(default_factory=set)
    hold: anyio.Event | None = None
    came: list[list[int]] = field(default_factory=list)  # numbers of each transfer
    at_once: int = 0
    at_once_at_most: int = 0
    probed: int = 0

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        numbers = [number_of(item) for item in items]
        self.came.append(numbers)
        self.at_once += 1
        self.at_once_at_most = max(self.at_once, self.at_once_at_most)
        try:
            await anyio.lowlevel.checkpoint()
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.at_once -= 1
        if self.breaks_on & set(numbers):
            raise BROKE
        reaction = self.next.popleft() if self.next else [STORED] * len(items)
        if isinstance(reaction, Exception):
            raise reaction
        return reaction

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        raise CandidateUnavailable("no storage commitment")

    async def probe(self, candidate: Candidate) -> None:
        self.probed += 1


@dataclass
class Site:
    """A hospital with one such archive."""

    hospital: Hospital
    archive: Archive = field(default_factory=Archive)

    def __post_init__(self) -> None:
        self.hospital.destinations["archive"] = self.archive

    async def in_time(self, delivery: Delivery, state: DeliveryState) -> Delivery:
        """Wait until a delivery is in this state, letting as much time pass as that takes."""
        with anyio.fail_after(PATIENCE_S):
            while True:
                await self.hospital.at_rest()
                current = (await self.hospital.detail(delivery)).delivery
                if current.state is state:
                    return current
                self.hospital.clock.advance(1.0)


@pytest.fixture
def site(hospital: Hospital) -> Site:
    hospital.register("XRAY", kind="archive")
    return Site(hospital)


async def test_a_revision_goes_in_one_transfer_however_many_pages_it_has(site: Site) -> None:
    async with site.hospital.dispatching() as dispatcher:
        deliveries = await site.hospital.route("XRAY", instances=600)
        dispatcher.deliver(deliveries)
        await site.hospital.delivered(*deliveries)

    assert site.archive.came == [list(range(600))]


async def test_couriers_take_whole_deliveries_side_by_side(site: Site) -> None:
    site.hospital.register("XRAY", kind="archive", associations=2)
    first = await site.hospital.route("XRAY", study="1.2.10", instances=1)
    async with site.hospital.dispatching() as dispatcher:
        await site.hospital.delivered(*first)  # a candidate that took one may get two at once
        site.archive.hold = anyio.Event()
        second = await site.hospital.route("XRAY", study="1.2.20", instances=300)
        third = await site.hospital.route("XRAY", study="1.2.30", instances=300)
        dispatcher.deliver([*second, *third])
        await site.hospital.at_rest()
        (lane,) = dispatcher.statistics()
        assert (lane.associations, lane.in_flight) == (2, 600)
        site.archive.hold.set()
        await site.hospital.delivered(*second, *third)

    assert site.archive.came == [[0], list(range(300)), list(range(300))]


async def test_only_what_was_not_stored_is_sent_again(site: Site) -> None:
    site.archive.next.append([STORED, BUSY, STORED, BUSY])
    deliveries = await site.hospital.route("XRAY", instances=4)
    async with site.hospital.dispatching():
        await site.in_time(deliveries[0], DeliveryState.DELIVERED)

    assert site.archive.came == [[0, 1, 2, 3], [1, 3]]


async def test_what_is_refused_for_good_makes_the_delivery_dead_and_the_rest_arrives(
    site: Site,
) -> None:
    site.archive.next.append([STORED, REFUSED, STORED])
    deliveries = await site.hospital.route("XRAY", instances=3)
    async with site.hospital.dispatching():
        dead = await site.hospital.until(deliveries[0], DeliveryState.DEAD)

    assert (dead.delivered, dead.refused) == (2, 1)


async def test_an_instance_on_which_the_candidate_breaks_is_found_and_the_rest_arrives(
    site: Site,
) -> None:
    site.archive.breaks_on = {2}
    deliveries = await site.hospital.route("XRAY", instances=4)
    async with site.hospital.dispatching():
        dead = await site.in_time(deliveries[0], DeliveryState.DEAD)

    assert (dead.delivered, dead.refused) == (3, 1)
    assert site.archive.came == [[0, 1, 2, 3], [0, 1, 2, 3], [0], [1], [2], [3]]


async def test_what_cannot_be_divided_is_sent_whole_until_it_is_taken(site: Site) -> None:
    site.archive.is_divisible = False
    site.archive.next.extend([BROKE, BROKE, BROKE, RuntimeError("a fault of our own"), BROKE])
    deliveries = await site.hospital.route("XRAY", instances=3)
    async with site.hospital.dispatching():
        await site.in_time(deliveries[0], DeliveryState.DELIVERED)

    assert site.archive.came == [[0, 1, 2]] * 6


async def test_a_candidate_that_is_not_there_is_left_alone_and_probed(site: Site) -> None:
    site.archive.next.extend([AWAY, AWAY])
    first = await site.hospital.route(choice("XRAY", priority=0), study="1.2.10")
    second = await site.hospital.route(choice("XRAY", priority=10), study="1.2.20")
    async with site.hospital.dispatching():
        waiting = await site.hospital.retrying(*first, attempts=2, within_s=60)
        assert waiting.reason.startswith("3 of 3 instances still to be sent; XRAY: no connection")
        await site.hospital.delivered(*first, *second, within_s=60)

    assert site.archive.probed == 1


async def test_a_study_on_which_the_candidate_breaks_does_not_keep_the_others_from_it(
    site: Site,
) -> None:
    site.archive.is_divisible = False
    site.archive.breaks_on = {7}
    small = await site.hospital.route("XRAY", study="1.2.10", instances=8)
    site.hospital.clock.advance(1)
    large = await site.hospital.route("XRAY", study="1.2.20", instances=7)
    async with site.hospital.dispatching():
        await site.hospital.delivered(*large, within_s=60)
        assert (await site.hospital.retrying(*small, within_s=60)).delivered == 0


async def test_silence_counts_against_no_instance_while_nothing_else_is_stored(
    site: Site,
) -> None:
    site.archive.next.extend([PeerTimeout("no answer")] * 5)
    deliveries = await site.hospital.route("XRAY", instances=3)
    async with site.hospital.dispatching():
        await site.in_time(deliveries[0], DeliveryState.DELIVERED)

    assert site.archive.came[-1] == [0, 1, 2]


async def test_a_router_that_stops_gives_back_what_is_under_way(site: Site) -> None:
    site.archive.hold = anyio.Event()
    deliveries = await site.hospital.route("XRAY", instances=3)
    async with site.hospital.dispatching() as dispatcher:
        await site.hospital.at_rest()
        assert site.archive.at_once == 1
        await dispatcher.drain(0.0)
    site.archive.hold = None
    async with site.hospital.dispatching():
        await site.hospital.delivered(*deliveries)

    assert site.archive.came == [[0, 1, 2], [0, 1, 2]]
