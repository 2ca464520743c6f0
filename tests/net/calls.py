"""Associations that tests request of peers that follow a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from router.dicom.dimse import CStoreRSP
from router.net.exchange import Reported, RequestorTimeouts
from router.net.requestor import RequestedAssociation, associate
from tests.net.raw import Script, listening, message_bytes
from tests.net.service import CONTEXTS, CT_CONTEXT, CT_IMAGE, IMPLICIT, BytesSource

LARGE = 32 * 1024 * 1024
"""More than the kernel buffers for both ends of a connection."""
INSTANCE = "1.2.3.1"


@asynccontextmanager
async def associated(
    script: Script,
    timeouts: RequestorTimeouts | None = None,
    reported: Reported | None = None,
) -> AsyncIterator[RequestedAssociation]:
    """An association with a peer that follows the script."""
    async with (
        listening(script) as port,
        associate(
            "127.0.0.1",
            port,
            "ROUTER",
            "WRITER",
            contexts=CONTEXTS,
            timeouts=timeouts,
            reported=reported,
        ) as association,
    ):
        yield association


async def store(association: RequestedAssociation, size: int = 1000) -> CStoreRSP:
    """Send an instance of so many bytes."""
    return await association.store(CT_IMAGE, INSTANCE, IMPLICIT, BytesSource(bytes(size)))


def store_answer(status: int, message_id: int = 1) -> bytes:
    """What a peer answers to it."""
    return message_bytes(CT_CONTEXT, CStoreRSP(message_id, CT_IMAGE, INSTANCE, status))
