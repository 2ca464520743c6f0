"""The command ``health``: whether the writer on this machine takes instances in."""

from __future__ import annotations

import anyio

from router.dicom import statuses, uids
from router.dicom.negotiation import propose
from router.domain.errors import AssociationLost, RouterError
from router.net.requestor import associate

CALLING_AE_TITLE = "HEALTH"
WITHIN_S = 4.0


async def ask_health(host: str, port: int, ae_title: str) -> None:
    """Return if the writer there answers C-ECHO (PS3.4 annex A); raise ``RouterError`` if not."""
    pairs = [(uids.VERIFICATION, uids.IMPLICIT_VR_LITTLE_ENDIAN)]
    try:
        with anyio.fail_after(WITHIN_S):
            async with associate(
                host, port, CALLING_AE_TITLE, ae_title, contexts=propose(pairs)
            ) as association:
                status = await association.echo()
    except TimeoutError:
        text = f"{ae_title} at {host}:{port}: no answer within {WITHIN_S:g} s"
        raise AssociationLost(text) from None
    if status != statuses.SUCCESS:
        raise RouterError(f"{ae_title} at {host}:{port}: {statuses.describe(status)}")
