"""What lanes are doing, for those who watch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """What a lane is doing, for those who watch."""

    ae_title: str
    waiting: int  # deliveries that wait for their turn or for their next attempt
    active: int  # deliveries whose attempt is under way
    in_flight: int  # instances being sent
    committing: int  # deliveries that the candidate has stored, and not committed itself to yet
    associations: int  # open at present
    stored: int  # instances, since the router started
    stored_bytes: int
    last_error: str
    left_alone_s: float  # how long nothing will be sent after a failure; 0 while all is well
