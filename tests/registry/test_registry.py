from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from router.domain.candidate import Candidate, CandidateState, Level, Origin, Priority
from router.domain.criteria import parse_criteria
from router.domain.delivery import DeliveryState
from router.domain.errors import RegistrationClosed, StateConflict, UnknownCandidate
from router.ledger.ledger import SqlLedger
from router.registry.request import RegistrationRequest
from router.registry.service import Registry
from tests.clock import NOON, ManualClock
from tests.ledger.builders import decision, instance, route
from tests.net.certificates import make_identity
from tests.registry.conftest import Neighbours, StartRegistry

LEASE_S = 60.0
HOLD_S = 7 * 86400.0

Snapshot = tuple[Candidate, ...]


def request(ae_title: str = "XRAY", port: int = 4242, **more: object) -> RegistrationRequest:
    return RegistrationRequest.model_validate(
        {"aet": ae_title, "host": "writer", "port": port, **more}
    )


async def next_change(changes: AsyncGenerator[Snapshot, None]) -> Snapshot:
    with anyio.fail_after(30):
        return await anext(changes)


async def until(registry: Registry, holds: Callable[[Snapshot], bool]) -> Snapshot:
    """Wait for a change after which something holds."""
    with anyio.fail_after(30):
        async for candidates in registry.changes():
            if holds(candidates):
                return candidates
    raise AssertionError("changes never end")


def is_(state: CandidateState) -> Callable[[Snapshot], bool]:
    return lambda candidates: [candidate.state for candidate in candidates] == [state]


def nobody(candidates: Snapshot) -> bool:
    return candidates == ()


async def lapse(registry: Registry, clock: ManualClock) -> None:
    """Let the lease of the only candidate end while it is not there."""
    await clock.asleep_until(clock.monotonic() + LEASE_S)
    clock.advance(LEASE_S)
    await until(registry, is_(CandidateState.LAPSED))


async def test_a_writer_that_registers_is_a_live_candidate(start: StartRegistry) -> None:
    async with start() as registry:
        candidate = await registry.register(
            request(routingCriteria="MODALITY|IN|CR,DX", priority="urgent", level="series")
        )

        assert candidate == Candidate(
            ae_title="XRAY",
            host="writer",
            port=4242,
            criteria=parse_criteria("MODALITY|IN|CR,DX"),
            level=Level.SERIES,
            priority=Priority.URGENT,
            origin=Origin.REGISTERED,
            state=CandidateState.LIVE,
            registered_at=NOON,
            lease_expires_at=NOON + timedelta(seconds=LEASE_S),
        )
        assert registry.candidates() == (candidate,)


async def test_a_writer_without_criteria_is_a_backup_writer(start: StartRegistry) -> None:
    async with start() as registry:
        assert (await registry.register(request())).criteria is None


async def test_registering_again_replaces_what_was_said_before(start: StartRegistry) -> None:
    async with start() as registry:
        await registry.register(request(routingCriteria="MODALITY|EQUAL|CT"))
        await registry.register(request(routingCriteria="MODALITY|EQUAL|MR", associations=7))

        (candidate,) = registry.candidates()
        assert candidate.criteria == parse_criteria("MODALITY|EQUAL|MR")
        assert candidate.associations == 7


async def test_a_registration_is_in_the_ledger_when_it_is_answered(
    start: StartRegistry, ledger: SqlLedger
) -> None:
    async with start() as registry:
        said = request(routingCriteria="MODALITY|EQUAL|CT")
        await registry.register(said)

        (kept,) = await ledger.registrations()
        assert RegistrationRequest.model_validate_json(kept.body) == said


async def test_registrations_survive_a_restart(start: StartRegistry) -> None:
    async with start() as registry:
        before = await registry.register(
            request(routingCriteria={"any": ["MODALITY|EQUAL|CT", "MODALITY|EQUAL|MR"]})
        )
    async with start() as registry:
        assert registry.candidates() == (before,)


async def test_a_writer_gets_a_whole_lease_after_a_restart(
    start: StartRegistry, clock: ManualClock
) -> None:
    async with start() as registry:
        await registry.register(request())
    clock.advance(10 * LEASE_S)
    async with start() as registry:
        (candidate,) = registry.candidates()
        assert candidate.state is CandidateState.LIVE
        assert candidate.lease_expires_at == clock.now() + timedelta(seconds=LEASE_S)


async def test_an_unreadable_registration_in_the_ledger_harms_no_other(
    start: StartRegistry, ledger: SqlLedger
) -> None:
    async with start() as registry:
        await registry.register(request("GOOD"))
        await registry.register(request("BAD"))
    bad, _ = await ledger.registrations()
    await ledger.save_registration(replace(bad, body="{}"))

    async with start() as registry:
        assert [candidate.ae_title for candidate in registry.candidates()] == ["GOOD"]


async def test_a_static_candidate_is_there_from_the_start(start: StartRegistry) -> None:
    async with start("candidates: {BACKUP: {host: pacs, port: 104}}") as registry:
        (candidate,) = registry.candidates()
        assert candidate == Candidate("BACKUP", "pacs", 104, origin=Origin.CONFIGURED)
        assert candidate.lease_expires_at is None


async def test_the_routing_yaml_outranks_the_writer_key_by_key(start: StartRegistry) -> None:
    yaml = "candidates: {XRAY: {criteria: 'MODALITY|IN|CR,DX', priority: urgent, required: false}}"
    async with start(yaml) as registry:
        candidate = await registry.register(
            request(routingCriteria="MODALITY|EQUAL|CT", priority="low", level="series")
        )

        assert candidate.criteria == parse_criteria("MODALITY|IN|CR,DX")
        assert candidate.priority is Priority.URGENT
        assert not candidate.required
        assert candidate.level is Level.SERIES
        assert candidate.host == "writer"


async def test_an_override_alone_is_no_candidate(start: StartRegistry) -> None:
    async with start("candidates: {XRAY: {priority: urgent}}") as registry:
        assert registry.candidates() == ()


async def test_a_writer_cannot_change_its_static_candidate(start: StartRegistry) -> None:
    async with start("candidates: {XRAY: {host: pacs, port: 104}}") as registry:
        (before,) = registry.candidates()
        after = await registry.register(request(routingCriteria="MODALITY|EQUAL|CT"))

        assert (after.host, after.port, after.criteria) == (before.host, before.port, None)
        assert after.lease_expires_at is None


async def test_the_static_candidate_stays_when_its_writer_is_removed(start: StartRegistry) -> None:
    async with start("candidates: {XRAY: {host: pacs, port: 104}}") as registry:
        (before,) = registry.candidates()
        await registry.register(request())
        await registry.remove("XRAY")
        assert registry.candidates() == (before,)


@pytest.mark.parametrize("change", ["drain", "remove", "heartbeat"])
async def test_a_static_candidate_is_changed_in_the_yaml_only(
    start: StartRegistry, change: str
) -> None:
    async with start("candidates: {BACKUP: {host: pacs, port: 104}}") as registry:
        with pytest.raises(StateConflict, match="routing YAML"):
            await getattr(registry, change)("BACKUP")


@pytest.mark.parametrize("change", ["drain", "remove", "heartbeat"])
async def test_an_unknown_writer_is_told_to_register(start: StartRegistry, change: str) -> None:
    async with start() as registry:
        with pytest.raises(UnknownCandidate, match="register it"):
            await getattr(registry, change)("XRAY")


async def test_closed_registration_admits_the_list_and_the_yaml_only(start: StartRegistry) -> None:
    yaml = "registration: {open: false, allow: [LISTED]}\ncandidates: {NAMED: }"
    async with start(yaml) as registry:
        await registry.register(request("LISTED"))
        await registry.register(request("NAMED", 4243))
        with pytest.raises(RegistrationClosed, match=r"registration\.allow"):
            await registry.register(request("STRANGER"))

        assert [one.ae_title for one in registry.candidates()] == ["LISTED", "NAMED"]


@pytest.mark.parametrize(
    "body",
    [
        {"aet": "ROUTER", "host": "writer", "port": 4242},
        {"aet": "XRAY", "host": "localhost", "port": 11112},
    ],
)
async def test_the_router_is_no_candidate_of_itself(
    start: StartRegistry, body: dict[str, object]
) -> None:
    async with start() as registry:
        with pytest.raises(RegistrationClosed, match="the router itself"):
            await registry.register(RegistrationRequest.model_validate(body))


async def test_the_router_is_no_candidate_of_itself_over_tls_either(
    start: StartRegistry, tmp_path: Path
) -> None:
    made = make_identity(tmp_path, "router")
    files = f"certificate: {made.certificate}, key: {made.key}"
    async with start(f"tls: {{listen: 0.0.0.0:2762, {files}}}") as registry:
        with pytest.raises(RegistrationClosed, match="the router itself"):
            await registry.register(
                RegistrationRequest.model_validate(
                    {"aet": "XRAY", "host": "localhost", "port": 2762}
                )
            )


async def test_heartbeats_keep_a_writer_live(
    start: StartRegistry, clock: ManualClock, neighbours: Neighbours
) -> None:
    async with start() as registry:
        await registry.register(request())
        await clock.asleep_until(LEASE_S)
        for beat in range(1, 5):
            clock.advance(LEASE_S * 0.9)
            await registry.heartbeat("XRAY")
            await clock.asleep_until(LEASE_S * 0.9 * beat + LEASE_S)

        (candidate,) = registry.candidates()
        assert candidate.state is CandidateState.LIVE
        assert neighbours.probed == []


async def test_a_writer_that_never_sends_heartbeats_is_asked_and_stays_live(
    start: StartRegistry, clock: ManualClock, neighbours: Neighbours
) -> None:
    neighbours.present.add("XRAY")
    async with start() as registry:
        await registry.register(request())
        await clock.asleep_until(LEASE_S)
        clock.advance(LEASE_S)
        await clock.asleep_until(2 * LEASE_S)

        (candidate,) = registry.candidates()
        assert candidate.state is CandidateState.LIVE
        assert neighbours.probed == ["XRAY"]


async def test_a_silent_writer_that_does_not_answer_is_lapsed_and_still_a_candidate(
    start: StartRegistry, clock: ManualClock
) -> None:
    async with start() as registry:
        await registry.register(request())
        with capture_logs() as logs:
            await lapse(registry, clock)

        assert [one.ae_title for one in registry.candidates()] == ["XRAY"]
        assert [line["reason"] for line in logs if line["log_level"] == "warning"] == [
            "XRAY does not answer"
        ]


async def test_leases_that_end_during_a_long_probe_are_looked_after_next(
    start: StartRegistry, clock: ManualClock, neighbours: Neighbours
) -> None:
    async with start() as registry:
        await registry.register(request("FIRST"))
        await clock.asleep_until(LEASE_S)
        clock.advance(1)
        await registry.register(request("SECOND", 4243))
        neighbours.takes = lambda: clock.advance(2)
        clock.advance(LEASE_S - 1)

        lapsed = [CandidateState.LAPSED, CandidateState.LAPSED]
        await until(registry, lambda now: [candidate.state for candidate in now] == lapsed)


async def test_a_lapsed_writer_is_live_again_with_its_next_heartbeat(
    start: StartRegistry, clock: ManualClock
) -> None:
    async with start() as registry:
        await registry.register(request())
        await lapse(registry, clock)

        assert (await registry.heartbeat("XRAY")).state is CandidateState.LIVE


async def test_a_lapsed_writer_is_live_again_when_it_answers(
    start: StartRegistry, clock: ManualClock, neighbours: Neighbours
) -> None:
    async with start() as registry:
        await registry.register(request())
        await lapse(registry, clock)
        neighbours.present.add("XRAY")
        await clock.asleep_until(2 * LEASE_S)
        clock.advance(LEASE_S)

        await until(registry, is_(CandidateState.LIVE))


async def test_a_writer_is_forgotten_when_it_was_away_for_too_long(
    start: StartRegistry, clock: ManualClock, ledger: SqlLedger
) -> None:
    async with start() as registry:
        await registry.register(request())
        await lapse(registry, clock)
        await clock.asleep_until(2 * LEASE_S)
        clock.advance(HOLD_S)
        await until(registry, nobody)

        assert await ledger.registrations() == []


async def test_a_writer_with_open_deliveries_is_not_forgotten(
    start: StartRegistry, clock: ManualClock, ledger: SqlLedger
) -> None:
    (key,) = await ledger.record([instance()])
    (delivery,) = await route(ledger, key, decision("XRAY"))
    async with start() as registry:
        await registry.register(request())
        await lapse(registry, clock)
        await clock.asleep_until(2 * LEASE_S)
        clock.advance(HOLD_S)
        await clock.asleep_until(clock.monotonic() + LEASE_S)
        assert [one.ae_title for one in registry.candidates()] == ["XRAY"]

        await ledger.begin_attempt(delivery.id, NOON)
        await ledger.end_attempt(delivery.id, DeliveryState.DEAD, NOON, None, "given up")
        clock.advance(LEASE_S)
        await until(registry, nobody)


async def test_how_long_a_writer_is_held_for_counts_on_over_a_restart(
    start: StartRegistry, clock: ManualClock
) -> None:
    async with start() as registry:
        await registry.register(request())
    clock.advance(HOLD_S + LEASE_S)
    async with start() as registry:
        await clock.asleep_until(clock.monotonic() + LEASE_S)
        clock.advance(LEASE_S)
        await until(registry, nobody)


async def test_a_wall_clock_that_jumps_ends_no_lease(
    start: StartRegistry, clock: ManualClock, neighbours: Neighbours
) -> None:
    async with start() as registry:
        await registry.register(request())
        await clock.asleep_until(LEASE_S)
        clock.jump(timedelta(days=365))
        clock.advance(LEASE_S / 2)
        await registry.heartbeat("XRAY")
        await clock.asleep_until(LEASE_S * 1.5)

        assert registry.candidate("XRAY").state is CandidateState.LIVE
        assert neighbours.probed == []


async def test_a_draining_writer_stays_until_its_lease_ends(
    start: StartRegistry, clock: ManualClock, neighbours: Neighbours
) -> None:
    async with start() as registry:
        await registry.register(request())
        assert (await registry.drain("XRAY")).state is CandidateState.DRAINING
        await clock.asleep_until(LEASE_S)
        clock.advance(LEASE_S)
        await until(registry, nobody)

        assert neighbours.probed == []


async def test_draining_survives_a_restart(start: StartRegistry) -> None:
    async with start() as registry:
        await registry.register(request())
        await registry.drain("XRAY")
    async with start() as registry:
        assert registry.candidate("XRAY").state is CandidateState.DRAINING


async def test_a_draining_writer_that_registers_is_live_again(start: StartRegistry) -> None:
    async with start() as registry:
        await registry.register(request())
        await registry.drain("XRAY")
        assert (await registry.register(request())).state is CandidateState.LIVE


async def test_a_removed_writer_is_gone(start: StartRegistry, ledger: SqlLedger) -> None:
    async with start() as registry:
        await registry.register(request())
        await registry.remove("XRAY")

        assert registry.candidates() == ()
        assert await ledger.registrations() == []


async def test_of_two_writers_with_one_ae_title_the_last_wins_and_it_shows(
    start: StartRegistry,
) -> None:
    async with start() as registry:
        await registry.register(request(port=4242))
        with capture_logs() as logs:
            candidate = await registry.register(request(port=5252))

        assert candidate.port == 5252
        entry = registry.entry("XRAY")
        assert entry is not None
        assert entry.displaced == "writer:4242"
        assert [line["displaced"] for line in logs if line["log_level"] == "warning"] == [
            "writer:4242"
        ]


async def test_a_writer_that_comes_back_elsewhere_after_its_lease_displaces_nobody(
    start: StartRegistry, clock: ManualClock
) -> None:
    async with start() as registry:
        await registry.register(request(port=4242))
        await lapse(registry, clock)
        await registry.register(request(port=5252))

        entry = registry.entry("XRAY")
        assert entry is not None
        assert entry.displaced is None


async def test_listeners_hear_of_changes_and_not_of_heartbeats(start: StartRegistry) -> None:
    async with start() as registry:
        changes = registry.changes()
        assert await next_change(changes) == ()

        await registry.register(request("FIRST"))
        await registry.register(request("SECOND", 4243))
        assert len(await next_change(changes)) == 2

        await registry.heartbeat("FIRST")
        with anyio.move_on_after(0) as waited:
            await anext(changes)
        assert waited.cancelled_caught
        await changes.aclose()


async def test_listeners_hear_of_a_writer_that_registers_anew_with_the_same_words(
    start: StartRegistry, clock: ManualClock
) -> None:
    async with start() as registry:
        await registry.register(request("FIRST"))
        changes = registry.changes()
        (before,) = await next_change(changes)

        clock.advance(1)
        await registry.register(request("FIRST"))  # it was killed, and started again

        (after,) = await next_change(changes)
        assert after.registered_at != before.registered_at
        await changes.aclose()


async def test_heartbeats_are_recorded_now_and_then(
    start: StartRegistry, clock: ManualClock, ledger: SqlLedger
) -> None:
    async with start() as registry:
        await registry.register(request())
        clock.advance(1)
        await registry.heartbeat("XRAY")
        assert [kept.last_seen_at for kept in await ledger.registrations()] == [NOON]

        clock.advance(600)
        await registry.heartbeat("XRAY")
        assert [kept.last_seen_at for kept in await ledger.registrations()] == [clock.now()]
