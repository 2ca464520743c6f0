"""When a candidate is sent to: in its delivery window, and if it is there after many failures."""

from __future__ import annotations

from datetime import UTC, time, timedelta

import anyio
import pytest

from router.delivery.destinations.paced import PacedSource, Paces
from router.domain.candidate import Candidate
from router.domain.delivery import DeliveryState
from router.domain.errors import AssociationRejected, ContextNotAccepted
from router.domain.window import Hours
from tests.clock import NOON, ManualClock
from tests.delivery.conftest import Hospital
from tests.delivery.writers import SILENCE, uids

EVENING = (Hours(time(19), time(6), UTC),)
NOW = (Hours(time(11), time(12, 1), UTC),)
HOUR_S = 3600.0


# -- delivery windows --------------------------------------------------------------------------


async def test_outside_its_window_a_candidate_is_not_sent_to_and_the_delivery_says_why(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", window=EVENING)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        waiting = await hospital.retrying(delivery, attempts=0)
        assert waiting.reason == "outside the delivery window 19:00-06:00 UTC"
        assert waiting.next_attempt_at == NOON + timedelta(hours=7)
        hospital.clock.advance(7 * HOUR_S - 1)
        await hospital.at_rest()
        assert writer.tried == 0
        hospital.clock.advance(1)
        await hospital.delivered(delivery)


async def test_a_delivery_that_the_end_of_the_window_interrupts_goes_on_in_the_next(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", window=NOW)
    writer.hold = anyio.Event()
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await writer.until(lambda: writer.in_flight == 1)
        hospital.clock.advance(61)
        writer.hold.set()
        waiting = await hospital.retrying(delivery)
        assert waiting.reason == (
            "2 of 3 instances still to be sent; outside the delivery window 11:00-12:01 UTC"
        )
        await hospital.at_rest()
        hospital.clock.advance(23 * HOUR_S)
        await hospital.delivered(delivery)

    assert writer.numbers == [0, 1, 2]


async def test_a_candidate_that_registers_without_a_window_is_sent_to_at_once(
    hospital: Hospital,
) -> None:
    hospital.register("XRAY", window=EVENING)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery, attempts=0)
        hospital.register("XRAY")
        dispatcher.wake("XRAY")
        await hospital.delivered(delivery)


async def test_who_registers_again_outside_its_window_still_waits_for_it(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY", window=EVENING)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.retrying(delivery, attempts=0)
        dispatcher.wake("XRAY")
        await hospital.at_rest()
        assert writer.tried == 0
        hospital.clock.advance(7 * HOUR_S)
        await hospital.delivered(delivery)


async def test_commitment_is_asked_for_in_the_window_too(hospital: Hospital) -> None:
    writer = hospital.register("XRAY", window=NOW, commitment=True)
    writer.lost.append(SILENCE)
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await hospital.until(delivery, DeliveryState.COMMITTING, attempts=2)
        hospital.clock.advance(HOUR_S)
        await hospital.at_rest()
        assert len(writer.asked) == 1
        hospital.clock.advance(22 * HOUR_S)
        await hospital.delivered(delivery)


# -- C-ECHO after repeated back-offs -----------------------------------------------------------


async def back_offs(hospital: Hospital, times: int) -> None:
    """Let so many back-offs pass."""
    for number in range(times):
        await hospital.at_rest()
        hospital.clock.advance(2.0 ** (number + 1))
    await hospital.at_rest()


async def test_after_repeated_back_offs_a_candidate_is_probed_before_anything_is_sent(
    hospital: Hospital,
) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await back_offs(hospital, 3)
        assert (writer.tried, writer.probed) == (2, 2)
        waiting = (await hospital.detail(delivery)).delivery
        (lane,) = dispatcher.statistics()
        assert lane.last_error == "probed in vain: XRAY: connection refused"
        assert (waiting.state, waiting.attempts) == (DeliveryState.RETRYING, 2)
        writer.is_up = True
        await hospital.delivered(delivery, within_s=20)

    assert (writer.opened, writer.probed) == (1, 3)


@pytest.mark.parametrize("error", [AssociationRejected("busy"), ZeroDivisionError("a bug")])
async def test_a_candidate_that_does_not_answer_the_probe_gets_nothing(
    hospital: Hospital, error: Exception
) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await back_offs(hospital, 1)
        writer.is_up, writer.probe_error = True, error
        hospital.clock.advance(4)
        await hospital.at_rest()
        assert (writer.opened, writer.probed) == (0, 1)


async def test_a_candidate_that_does_not_know_the_probe_is_there(hospital: Hospital) -> None:
    writer = hospital.register("XRAY")
    writer.is_up = False
    writer.probe_error = ContextNotAccepted("no verification")
    async with hospital.dispatching() as dispatcher:
        (delivery,) = await hospital.route("XRAY")
        dispatcher.deliver([delivery])
        await back_offs(hospital, 1)
        writer.is_up = True
        await hospital.delivered(delivery, within_s=10)

    assert writer.probed == 1
    assert writer.stored == uids(range(3))


# -- rates -------------------------------------------------------------------------------------


class Source:
    """A data set of zeros, some of it on a disk."""

    length = 4000

    def try_read_into(self, buffer: memoryview, offset: int) -> int | None:
        return None if offset >= 2000 else min(len(buffer), self.length - offset)

    async def read_into(self, buffer: memoryview, offset: int) -> int:
        return min(len(buffer), self.length - offset)


async def read_all(source: PacedSource) -> None:
    buffer, position = memoryview(bytearray(500)), 0
    while position < source.length:
        count = source.try_read_into(buffer, position)
        position += await source.read_into(buffer, position) if count is None else count


async def test_all_associations_of_a_candidate_share_its_rate() -> None:
    clock = ManualClock()
    paces = Paces(clock)
    candidate = Candidate("XRAY", "localhost", 104, rate=1000)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            pace = paces.of(candidate)
            assert pace is not None
            tasks.start_soon(read_all, PacedSource(Source(), pace, clock))
        took_s = await until_done(clock)

    assert 8000 / 1000 - 1 <= took_s <= 8000 / 1000 + 1


async def until_done(clock: ManualClock) -> float:
    """Let time pass as long as anybody waits for it; how much."""
    while True:
        await anyio.wait_all_tasks_blocked()
        if clock.wakes_at is None:
            return clock.monotonic()
        clock.advance(clock.wakes_at - clock.monotonic())


def test_a_candidate_without_a_rate_has_no_pace_and_a_new_rate_is_a_new_pace() -> None:
    paces = Paces(ManualClock())
    slow = paces.of(Candidate("XRAY", "localhost", 104, rate=64_000))
    assert paces.of(Candidate("XRAY", "localhost", 104, rate=64_000)) is slow
    assert paces.of(Candidate("XRAY", "localhost", 104, rate=128_000)) is not slow
    assert paces.of(Candidate("XRAY", "localhost", 104)) is None
