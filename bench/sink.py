"""Receives over the router's upper layer and discards: ``python -m bench.sink PORT``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import anyio

from router.dicom.dimse import CStoreRQ, Message
from router.dicom.handlers import (
    Answer,
    AssociationEnd,
    AssociationInfo,
    PeerAddress,
    Respond,
)
from router.dicom.negotiation import AcceptancePolicy, AcceptedContext, negotiate
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ
from router.net.acceptor import Acceptor


class Discard:
    """Handler, receiver and reception in one: takes everything, keeps nothing."""

    def requested(self, request: AssociateRQ, peer: PeerAddress) -> AssociateAC | AssociateRJ:
        return negotiate(request, AcceptancePolicy())

    def opened(self, info: AssociationInfo) -> Discard:
        return self

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> Discard:
        return self

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        return False

    def closed(self, how: AssociationEnd) -> None:
        pass

    def write(self, fragments: Sequence[memoryview]) -> None:
        pass

    def finish(self, answer: Answer) -> None:
        answer(0, "")

    def abandon(self) -> None:
        pass


async def main() -> None:
    """Serve until killed."""
    async with Acceptor(Discard(), host="127.0.0.1", port=int(sys.argv[1])):
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main)
