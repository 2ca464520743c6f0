"""The router's side of every association: policy at the door, a reception per instance."""

from __future__ import annotations

import secrets
from typing import Protocol

import structlog

from router.dicom.dimse import CStoreRQ, Message
from router.dicom.handlers import AssociationEnd, AssociationInfo, Operation, PeerAddress, Respond
from router.dicom.negotiation import AcceptancePolicy, AcceptedContext, negotiate
from router.dicom.pdu import AssociateAC, AssociateRJ, AssociateRQ
from router.domain.instance import Identity
from router.ingress.store import Arrivals, Door, Reception, Source

log = structlog.get_logger(__name__)


class AssociationWatch(Arrivals, Protocol):
    """Who wants to know of associations, too: the completion service."""

    def associated(self, association_id: str) -> None:
        """An association may bring instances from now on."""
        ...

    def disassociated(self, association_id: str, *, released: bool) -> None:
        """The association is over: released, so that its sender had finished, or broken off."""
        ...


class Ingress:
    """Implements the acceptor's handler for the router's one AE title."""

    def __init__(
        self,
        door: Door,
        watch: AssociationWatch,
        acceptance: AcceptancePolicy,
        others: Operation,
    ):
        self._door = door
        self._watch = watch
        self._acceptance = acceptance
        self._others = others

    def requested(self, request: AssociateRQ, peer: PeerAddress) -> AssociateAC | AssociateRJ:
        """Negotiate by policy; a rejection is logged with who and why."""
        answer = negotiate(request, self._acceptance)
        if isinstance(answer, AssociateRJ):
            log.warning(
                "association rejected",
                calling_ae_title=request.calling_ae_title,
                called_ae_title=request.called_ae_title,
                address=str(peer),
                source=answer.source,
                reason=answer.reason,
            )
        return answer

    def opened(self, info: AssociationInfo) -> IngressAssociation:
        """The receiver of a new association."""
        source = Source(
            calling_ae_title=info.calling_ae_title,
            called_ae_title=info.called_ae_title,
            address=info.peer.host,
            association_id=secrets.token_hex(6),
        )
        self._watch.associated(source.association_id)
        return IngressAssociation(self._door, self._watch, source, info, self._others)


class IngressAssociation:
    """One association that brings instances."""

    def __init__(
        self,
        door: Door,
        watch: AssociationWatch,
        source: Source,
        info: AssociationInfo,
        others: Operation,
    ):
        self._door = door
        self._watch = watch
        self._source = source
        self._info = info
        self._others = others

    def begin_store(self, request: CStoreRQ, context: AcceptedContext) -> Reception:
        """An instance begins to arrive."""
        announced = Identity(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            study_instance_uid="",
            series_instance_uid="",
            transfer_syntax_uid=context.transfer_syntax,
        )
        return Reception(self._door, self._source, announced)

    def request(
        self, message: Message, context: AcceptedContext, data: bytes | None, respond: Respond
    ) -> bool:
        """Another operation; see ``Operation``."""
        return self._others.request(self._info, message, context, data, respond)

    def closed(self, how: AssociationEnd) -> None:
        """The association is over: its studies may be complete soon."""
        released = how is AssociationEnd.RELEASED
        self._watch.disassociated(self._source.association_id, released=released)
