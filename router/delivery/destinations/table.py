"""Which class delivers to candidates of which kind: the one table of it."""

from __future__ import annotations

from collections.abc import Mapping

from router.delivery.destinations.chris import ChrisDestination
from router.delivery.destinations.dimse import DimseDestination
from router.delivery.destinations.folder import FolderDestination
from router.delivery.destinations.orthanc import OrthancDestination
from router.delivery.destinations.s3 import S3Destination
from router.delivery.destinations.stow import StowDestination
from router.delivery.destinations.transfers import TransfersDestination
from router.delivery.destinations.web import Web
from router.domain.candidate import Candidate
from router.net.exchange import RequestorTimeouts
from router.ports import Clock, Destination, Spool


def destinations(
    dimse: DimseDestination, spool: Spool, timeouts: RequestorTimeouts, clock: Clock
) -> Mapping[str, Destination]:
    """How to reach candidates, by kind."""
    web = Web(timeouts)
    orthanc = OrthancDestination(spool, web, clock)
    return {
        "dimse": dimse,
        "stow-rs": StowDestination(spool, web, clock),
        "orthanc-rest": orthanc,
        "s3": S3Destination(spool, clock, timeouts),
        "folder": FolderDestination(spool, clock, timeouts.response_s),
        "chris": ChrisDestination(spool, clock, timeouts.response_s),
        "orthanc-transfers": TransfersDestination(spool, web, clock, orthanc),
    }


async def probe(by_kind: Mapping[str, Destination], candidate: Candidate) -> None:
    """Ask whether a candidate is there, as its kind is asked; raises a ``RouterError`` if not."""
    await by_kind[candidate.kind].probe(candidate)
