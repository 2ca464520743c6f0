"""C-STORE to a candidate: associations straight from the spool, byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from router.delivery.destinations.commitment import CommitmentRequestor
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.secrets import tls_of
from router.delivery.destinations.verified import VerifiedSource
from router.dicom import statuses, uids
from router.dicom.negotiation import propose
from router.dicom.pdu import MAX_CONTEXTS
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport, Reference
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import (
    AssociationRejected,
    ContextNotAccepted,
    CorruptRecord,
    RecordReclaimed,
    SpoolFailed,
)
from router.domain.reach import MODALITY, DimseReach
from router.net.exchange import RequestorTimeouts
from router.net.requestor import DataSource, RequestedAssociation, associate
from router.ports import Clock, Spool


class DimseDestination:
    """Implements :class:`router.ports.Destination` for candidates of kind ``dimse``."""

    def __init__(
        self,
        spool: Spool,
        ae_title: str,
        timeouts: RequestorTimeouts,
        commitments: CommitmentRequestor,
        clock: Clock,
    ):
        """``ae_title`` is the calling AE title that candidates see."""
        self._spool = spool
        self._ae_title = ae_title
        self._timeouts = timeouts
        self._commitments = commitments
        self._paces = Paces(clock)

    @asynccontextmanager
    async def open(
        self, candidate: Candidate, items: Sequence[DeliveryItem]
    ) -> AsyncIterator[DimseSession]:
        """An association that proposes what the items are, the most important first.

        What goes beyond its presentation contexts, or comes from another modality where the
        candidate sees those, needs another one.
        """
        calling = self._calling(candidate, items[0]) if items else self._ae_title
        pairs = dict.fromkeys(
            (item.sop_class_uid, item.transfer_syntax_uid)
            for item in items
            if self._calling(candidate, item) == calling
        )
        proposed = list(pairs)[:MAX_CONTEXTS]
        async with associate(
            candidate.host,
            candidate.port,
            calling,
            candidate.ae_title,
            contexts=propose(proposed),
            timeouts=self._timeouts,
            ssl_context=await tls_of(candidate),
        ) as association:
            yield DimseSession(
                association,
                self._spool,
                frozenset(proposed),
                partial(self._paces.paced, candidate),
                lambda item: self._calling(candidate, item) == calling,
            )

    def _calling(self, candidate: Candidate, item: DeliveryItem) -> str:
        """The calling AE title that the candidate sees for an instance."""
        reach = candidate.reach
        passes = isinstance(reach, DimseReach) and reach.calling == MODALITY
        return (item.calling_ae_title if passes else "") or self._ae_title

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Storage commitment; see the port."""
        references = tuple(dict.fromkeys(map(Reference.to, items)))
        return await self._commitments.ask(candidate, references)

    async def probe(self, candidate: Candidate) -> None:
        """C-ECHO; returns if it is answered with success, raises if not."""
        async with associate(
            candidate.host,
            candidate.port,
            self._ae_title,
            candidate.ae_title,
            contexts=propose([(uids.VERIFICATION, uids.IMPLICIT_VR_LITTLE_ENDIAN)]),
            timeouts=self._timeouts,
            ssl_context=await tls_of(candidate),
        ) as association:
            status = await association.echo()
        if status != statuses.SUCCESS:
            raise AssociationRejected(
                f"{candidate.ae_title} answered C-ECHO with {statuses.describe(status)}"
            )


class DimseSession:
    """Implements :class:`router.ports.DestinationSession` over one association."""

    def __init__(
        self,
        association: RequestedAssociation,
        spool: Spool,
        proposed: frozenset[tuple[str, str]],
        paced: Callable[[DataSource], DataSource],
        is_ours: Callable[[DeliveryItem], bool],
    ):
        """``paced`` gives each source the rate that the candidate may be sent to.

        ``is_ours``: whether the association has the calling AE title for an instance.
        """
        self._is_ours = is_ours
        self._paced = paced
        self._association = association
        self._spool = spool
        self._proposed = proposed

    def carries(self, item: DeliveryItem) -> bool:
        """Whether the item's SOP class and transfer syntax were proposed, accepted or not."""
        pair = item.sop_class_uid, item.transfer_syntax_uid
        return self._association.is_open and pair in self._proposed and self._is_ours(item)

    async def send(self, item: DeliveryItem) -> Outcome:
        """One C-STORE; see the port.

        What the spool cannot give back intact never reaches the candidate: a read error may pass,
        a checksum that disagrees is final, and so is that the bytes are gone.
        """
        try:
            source = VerifiedSource(self._spool.open(item.ref), item)
        except SpoolFailed as failure:
            return _not_read(failure)
        try:
            answer = await self._association.store(
                item.sop_class_uid,
                item.sop_instance_uid,
                item.transfer_syntax_uid,
                self._paced(source),
            )
        except ContextNotAccepted as refusal:
            return Outcome(OutcomeKind.PERMANENT, statuses.SOP_CLASS_NOT_SUPPORTED, str(refusal))
        except SpoolFailed as failure:
            self._association.abort()
            return _not_read(failure)
        except CorruptRecord as corruption:
            self._association.abort()
            return Outcome(OutcomeKind.PERMANENT, None, str(corruption))
        finally:
            source.close()
        return outcome_of(answer.status, answer.error_comment)


def _not_read(failure: SpoolFailed) -> Outcome:
    is_gone = isinstance(failure, RecordReclaimed)
    kind = OutcomeKind.PERMANENT if is_gone else OutcomeKind.TEMPORARY
    return Outcome(kind, None, str(failure))


def outcome_of(status: int, comment: str = "") -> Outcome:
    """What a candidate's answer to C-STORE means for the delivery (PS3.4 table B.2-1)."""
    reason = statuses.describe(status) + (f": {comment}" if comment else "")
    if statuses.is_stored(status):
        return Outcome(OutcomeKind.STORED, status, "" if status == statuses.SUCCESS else reason)
    kind = OutcomeKind.TEMPORARY if statuses.is_temporary(status) else OutcomeKind.PERMANENT
    return Outcome(kind, status, reason)
