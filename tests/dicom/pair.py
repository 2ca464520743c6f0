"""Two associations wired together in memory, so that every test sees both sides."""

from __future__ import annotations

from collections.abc import Sequence

from router.dicom.association import Association
from router.dicom.events import AssociationEvent, DataFragments
from router.dicom.negotiation import AcceptancePolicy, negotiate
from router.dicom.pdu import (
    AssociateAC,
    AssociateRQ,
    ProposedContext,
    UserInformation,
)

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"

ECHO_CONTEXT, CT_CONTEXT = 1, 3


def association_request(max_length: int = 16384) -> AssociateRQ:
    return AssociateRQ(
        called_ae_title="ROUTER",
        calling_ae_title="MODALITY",
        contexts=(
            ProposedContext(ECHO_CONTEXT, VERIFICATION, (IMPLICIT,)),
            ProposedContext(CT_CONTEXT, CT_IMAGE, (IMPLICIT,)),
        ),
        user=UserInformation(max_length=max_length, implementation_class_uid="1.2.3"),
    )


def acceptance(request: AssociateRQ, max_length: int = 16384) -> AssociateAC:
    answer = negotiate(request, AcceptancePolicy(max_length=max_length))
    assert isinstance(answer, AssociateAC)
    return answer


def receive(
    association: Association, pieces: Sequence[bytes], now: float = 0.0
) -> list[AssociationEvent]:
    """What the pieces bring about; the receive buffer is overwritten after each of them.

    Runs of data fragments are joined into one event with one fragment, so that the result does
    not depend on how the bytes were split.
    """
    events: list[AssociationEvent] = []
    for piece in pieces:
        buffer = bytearray(piece)
        consumed = association.receive(memoryview(buffer), now)
        assert consumed == len(buffer) or association.owed
        for event in association.take_events():
            if isinstance(event, DataFragments):
                data = b"".join(event.fragments)
                if events and isinstance(previous := events[-1], DataFragments):
                    data = bytes(previous.fragments[0]) + data
                    events.pop()
                event = DataFragments([memoryview(data)])
            events.append(event)
        buffer[:] = b"\xee" * len(buffer)
    return events


class ConnectionPair:
    """A requestor and an acceptor with a connection between them that tests can hold up."""

    def __init__(self, request: AssociateRQ | None = None):
        self.request = request or association_request()
        self.requestor = Association.requesting(self.request, 0.0)
        self.acceptor = Association.accepting(0.0)

    @classmethod
    def established(
        cls, requestor_max_length: int = 16384, acceptor_max_length: int = 16384
    ) -> ConnectionPair:
        """A pair that has exchanged request and acceptance."""
        pair = cls(association_request(requestor_max_length))
        pair.to_acceptor()
        pair.acceptor.accept(acceptance(pair.request, acceptor_max_length), 0.0)
        pair.to_requestor()
        return pair

    def to_acceptor(self) -> list[AssociationEvent]:
        """Carry what the requestor has to send."""
        return receive(self.acceptor, [self.requestor.data_to_send()])

    def to_requestor(self) -> list[AssociationEvent]:
        """Carry what the acceptor has to send."""
        return receive(self.requestor, [self.acceptor.data_to_send()])
