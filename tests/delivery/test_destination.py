"""What becomes of an instance that the spool cannot give back, before any peer is asked."""

from __future__ import annotations

from typing import cast

import pytest

from router.delivery.destinations.dimse import DimseSession
from router.domain.delivery import OutcomeKind
from router.domain.errors import RecordReclaimed, SpoolFailed
from router.domain.instance import SpoolRef
from router.net.requestor import RequestedAssociation
from router.ports import Spool
from tests.delivery.builders import item


class BrokenSpool:
    """A spool that has one answer."""

    def __init__(self, fault: SpoolFailed):
        self._fault = fault

    def open(self, ref: SpoolRef) -> None:
        raise self._fault


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (SpoolFailed("the disk does not answer"), OutcomeKind.TEMPORARY),
        (RecordReclaimed("its bytes are gone"), OutcomeKind.PERMANENT),
    ],
    ids=["may pass", "is final"],
)
async def test_a_read_error_may_pass_and_bytes_that_are_gone_do_not_come_back(
    fault: SpoolFailed, kind: OutcomeKind
) -> None:
    association = cast(RequestedAssociation, None)  # never reached
    spool = cast(Spool, BrokenSpool(fault))
    session = DimseSession(association, spool, frozenset(), lambda source: source, lambda _: True)

    outcome = await session.send(item(1))

    assert (outcome.kind, outcome.reason) == (kind, str(fault))
