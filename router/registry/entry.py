"""One registration while the router runs: the writer's words, its lease, what became of it.

Leases are kept on the monotonic clock, so that a wall clock that is set cannot end one; the wall
times beside them are only shown and recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from router.domain.candidate import CandidateState, Registration
from router.registry.overlay import Standing
from router.registry.request import RegistrationRequest


class Due(Enum):
    """What the end of a lease calls for."""

    PROBE = "probe"  # ask whether the writer is there although it does not say so
    FORGET = "forget"  # its time is over, if no delivery is open for it


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a writer counts as there, and is waited for afterwards (monotonic seconds)."""

    look_at: float
    hold_until: float
    lapsed: bool = False

    @classmethod
    def granted(cls, now: float, lease: timedelta, hold_for: timedelta) -> Lease:
        """A whole lease from now on."""
        end = now + lease.total_seconds()
        return cls(end, end + hold_for.total_seconds())


@dataclass(frozen=True, slots=True)
class Entry:
    """A registration and how it stands."""

    request: RegistrationRequest
    lease: Lease
    registered_at: datetime
    last_seen_at: datetime
    lease_expires_at: datetime
    recorded_at: datetime  # when the ledger last heard of it
    draining: bool = False
    displaced: str | None = None  # the address that another writer of this AE title had

    @property
    def ae_title(self) -> str:
        """The key of the registration."""
        return self.request.aet

    @property
    def state(self) -> CandidateState:
        """Whether the candidate takes part in determination."""
        if self.draining:
            return CandidateState.DRAINING
        return CandidateState.LAPSED if self.lease.lapsed else CandidateState.LIVE

    @property
    def standing(self) -> Standing:
        """How the registration stands, for the candidate that it makes."""
        return Standing(self.state, self.registered_at, self.lease_expires_at)

    def due(self, now: float) -> Due | None:
        """What has to be done about the entry now.

        A draining writer that is silent has probably gone for good, so it is not waited for.
        """
        if now < self.lease.look_at:
            return None
        if self.draining or now >= self.lease.hold_until:
            return Due.FORGET
        return Due.PROBE

    def seen(self, lease: Lease, now: datetime, expires_at: datetime) -> Entry:
        """The writer was heard of: it has a new lease."""
        return replace(self, lease=lease, last_seen_at=now, lease_expires_at=expires_at)

    def silent(self, look_at: float) -> Entry:
        """The writer did not answer a probe: it is lapsed, and looked at again later."""
        return replace(self, lease=replace(self.lease, look_at=look_at, lapsed=True))

    def look_later(self, look_at: float) -> Entry:
        """Nothing is known that was not known before; look again."""
        return replace(self, lease=replace(self.lease, look_at=look_at))

    def registration(self) -> Registration:
        """What the ledger keeps of it."""
        return Registration(
            ae_title=self.request.aet,
            body=self.request.text,
            registered_at=self.registered_at,
            last_seen_at=self.last_seen_at,
            lease_expires_at=self.lease_expires_at,
            draining=self.draining,
        )
