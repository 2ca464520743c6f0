"""The live set of candidates: the static ones of the routing YAML and those that registered.

A registration is in the ledger before it is answered, and takes effect at the next determination.
What becomes of a writer that falls silent is in :mod:`router.registry.keeper`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta

import anyio
import structlog
from anyio.abc import TaskStatus
from pydantic import ValidationError

from router.domain.candidate import Candidate, Registration
from router.domain.errors import RegistrationClosed
from router.ports import Clock, LedgerViews, RegistrationLedger
from router.registry.entry import Entry, Lease
from router.registry.keeper import LeaseKeeper, Probe
from router.registry.request import RegistrationRequest
from router.registry.roster import Roster
from router.settings.checks import is_own_address, is_own_url
from router.settings.models import Settings

RECORDED_EVERY = timedelta(minutes=10)
"""Heartbeats are many: the ledger hears of a writer's only so often."""

log = structlog.get_logger(__name__)


class Registry:
    """Who can receive studies. All methods are for the event loop."""

    def __init__(
        self,
        settings: Settings,
        ledger: RegistrationLedger,
        views: LedgerViews,
        clock: Clock,
        probe: Probe,
    ):
        self._settings = settings
        self._policy = settings.registration
        self._ledger = ledger
        self._clock = clock
        self._roster = Roster(settings.candidates, settings.delivery.associations)
        self._changing = anyio.Lock()
        self._keeper = LeaseKeeper(self._roster, views, clock, probe, self)

    @property
    def lease(self) -> timedelta:
        """How long a writer stays live without a heartbeat."""
        return self._policy.lease

    @property
    def heartbeat_interval(self) -> timedelta:
        """How often a writer is asked to send a heartbeat."""
        return self._policy.heartbeat

    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates by AE title, lapsed and draining ones too; cheap."""
        return self._roster.candidates()

    def candidate(self, ae_title: str) -> Candidate:
        """One candidate; raises ``UnknownCandidate``."""
        return self._roster.candidate(ae_title)

    def entry(self, ae_title: str) -> Entry | None:
        """What a writer said of itself and how it stands; None for a static candidate."""
        return self._roster.find(ae_title)

    def changes(self) -> AsyncGenerator[tuple[Candidate, ...], None]:
        """The candidates now, and after each change of what is sent where, without end.

        Changes between two looks are taken together, so a slow listener misses none and holds
        nobody up. A renewed lease is no such change.
        """
        return self._roster.changes()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look after the leases until cancelled."""
        await self._keeper.run(task_status=task_status)

    async def restore(self) -> None:
        """Take over the registrations in the ledger, each with a new lease.

        Writers could not send heartbeats while the router was away; how long they are held for
        still counts from when they were last seen. Raises ``LedgerFailed``.
        """
        for kept in await self._ledger.registrations():
            try:
                self._roster.put(self._restored(kept))
            except ValidationError as error:
                log.error(
                    "a registration in the ledger cannot be read; the writer must register again",
                    ae_title=kept.ae_title,
                    error=str(error),
                )

    async def register(self, request: RegistrationRequest) -> Candidate:
        """Make a writer known, or renew what is known of it; the candidate that it makes.

        Durable on return. Raises ``RegistrationClosed``, or ``LedgerFailed`` with nothing changed.
        """
        self._authorise(request)
        async with self._changing:
            before = self._roster.find(request.aet)
            entry = self._made(request, displaced=_displaced(before, request))
            await self._ledger.save_registration(entry.registration())
            self._roster.put(entry)
        if entry.displaced and (before is None or before.displaced != entry.displaced):
            log.warning(
                "two writers claim one AE title; the last one gets the studies",
                ae_title=request.aet,
                address=request.address,
                displaced=entry.displaced,
            )
        log.info(
            "candidate registered",
            ae_title=request.aet,
            address=request.address,
            criteria=request.routing_criteria or "every study",
            known_before=before is not None,
        )
        return self.candidate(request.aet)

    async def heartbeat(self, ae_title: str) -> Candidate:
        """The writer is there: renew its lease. Raises ``UnknownCandidate``, ``LedgerFailed``."""
        async with self._changing:
            await self._renew(self._roster.entry(ae_title))
        return self.candidate(ae_title)

    async def drain(self, ae_title: str) -> Candidate:
        """Give the candidate nothing new; what it was given before is finished.

        Raises ``UnknownCandidate``, ``LedgerFailed``, or ``StateConflict`` for a static candidate.
        """
        async with self._changing:
            entry = replace(self._roster.entry(ae_title), draining=True)
            await self._ledger.save_registration(entry.registration())
            self._roster.put(entry)
        log.info("candidate drains", ae_title=ae_title)
        return self.candidate(ae_title)

    async def remove(self, ae_title: str) -> None:
        """Forget a registration. Open deliveries go on; nothing new is determined for it.

        Raises ``UnknownCandidate``, ``LedgerFailed``, or ``StateConflict`` for a static candidate.
        """
        async with self._changing:
            await self._forget(self._roster.entry(ae_title), "it was removed")

    async def answered(self, entry: Entry) -> None:
        """A probe was answered: the lease is renewed, unless the entry has changed meanwhile."""
        async with self._changing:
            if self._roster.find(entry.ae_title) is entry:
                await self._renew(entry)

    async def expired(self, entry: Entry, why: str) -> None:
        """Nobody waits for the entry any more: forget it, unless it has changed meanwhile."""
        async with self._changing:
            if self._roster.find(entry.ae_title) is entry:
                await self._forget(entry, why)

    async def _renew(self, entry: Entry) -> None:
        now = self._clock.now()
        renewed = entry.seen(self._granted(), now, now + self._policy.lease)
        self._roster.put(renewed)
        if entry.lease.lapsed:
            log.info("candidate is back", ae_title=entry.ae_title)
        if now - entry.recorded_at >= RECORDED_EVERY:
            await self._ledger.save_registration(renewed.registration())
            self._roster.put(replace(renewed, recorded_at=now))

    async def _forget(self, entry: Entry, because: str) -> None:
        await self._ledger.remove_registration(entry.ae_title)
        self._roster.drop(entry.ae_title)
        log.info("candidate forgotten", ae_title=entry.ae_title, because=because)

    def _made(self, request: RegistrationRequest, displaced: str | None) -> Entry:
        now = self._clock.now()
        return Entry(
            request=request,
            lease=self._granted(),
            registered_at=now,
            last_seen_at=now,
            lease_expires_at=now + self._policy.lease,
            recorded_at=now,
            displaced=displaced,
        )

    def _restored(self, kept: Registration) -> Entry:
        now = self._clock.now()
        unseen_s = max((now - kept.last_seen_at).total_seconds(), 0.0)
        lease = self._granted()
        return Entry(
            request=RegistrationRequest.model_validate_json(kept.body),
            lease=replace(lease, hold_until=max(lease.look_at, lease.hold_until - unseen_s)),
            registered_at=kept.registered_at,
            last_seen_at=kept.last_seen_at,
            lease_expires_at=now + self._policy.lease,
            recorded_at=kept.last_seen_at,
            draining=kept.draining,
        )

    def _granted(self) -> Lease:
        return Lease.granted(self._clock.monotonic(), self._policy.lease, self._policy.hold_for)

    def _authorise(self, request: RegistrationRequest) -> None:
        router = self._settings.router
        if request.aet == router.ae_title or _is_router(request, self._settings):
            raise RegistrationClosed(
                f"{request.aet} at {request.address} is the router itself; "
                "it would send to itself for ever"
            )
        allowed = {*self._policy.allow, *self._settings.candidates}
        if not self._policy.open and request.aet not in allowed:
            raise RegistrationClosed(
                f"registration is closed and {request.aet} is not on the list: "
                "add it to registration.allow in the routing YAML"
            )


def _is_router(request: RegistrationRequest, settings: Settings) -> bool:
    if request.url is not None:
        return is_own_url(settings, request.url)
    return is_own_address(settings, request.host or "", request.port or 0)


def _displaced(before: Entry | None, request: RegistrationRequest) -> str | None:
    """The address of a writer that is pushed aside although it still counted as there."""
    if before is None or before.lease.lapsed or before.draining:
        return None
    if before.request.address == request.address:
        return before.displaced
    return before.request.address
