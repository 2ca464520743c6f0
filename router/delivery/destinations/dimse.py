"""C-STORE to a candidate: associations straight from the spool, byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from router.delivery.destinations.commitment import CommitmentRequestor
from router.delivery.destinations.outcomes import UNREADABLE, outcome_of, outcome_of_failure
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.secrets import tls_of
from router.delivery.destinations.streams import Paced
from router.delivery.destinations.transcoding import NotTranscoded, Transcoder
from router.delivery.destinations.verified import VerifiedSource
from router.dicom import statuses, uids
from router.dicom.negotiation import propose
from router.dicom.pdu import MAX_CONTEXTS
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport, Reference
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import AssociationRejected, ContextNotAccepted, SpoolFailed
from router.domain.reach import MODALITY, DimseReach
from router.net.exchange import RequestorTimeouts
from router.net.requestor import RequestedAssociation, associate
from router.ports import Clock, Spool

Pair = tuple[str, str]
"""SOP Class UID and Transfer Syntax UID."""


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
        self._transcoder = Transcoder(spool)

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
        transcoder = self._transcoder if _transcodes(candidate) else None
        proposed, contexts = _proposal(pairs, with_plain=transcoder is not None)
        async with associate(
            candidate.host,
            candidate.port,
            calling,
            candidate.ae_title,
            contexts=propose(contexts),
            timeouts=self._timeouts,
            ssl_context=await tls_of(candidate),
        ) as association:
            yield DimseSession(
                association,
                self._spool,
                frozenset(proposed),
                partial(self._paces.paced, candidate),
                lambda item: self._calling(candidate, item) == calling,
                transcoder,
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
        proposed: frozenset[Pair],
        paced: Paced,
        is_ours: Callable[[DeliveryItem], bool],
        transcoder: Transcoder | None = None,
    ):
        """``paced`` gives each source the rate that the candidate may be sent to.

        ``is_ours``: whether the association has the calling AE title for an instance;
        ``transcoder``: for what the candidate refuses, if it is to be transcoded.
        """
        self._is_ours = is_ours
        self._transcoder = transcoder
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
        if self._transcoder is not None and self._has_to_be_transcoded(item):
            return await self._send_transcoded(item, self._transcoder)
        try:
            source = VerifiedSource(self._spool.open(item.ref), item)
        except SpoolFailed as failure:
            return outcome_of_failure(failure)
        try:
            answer = await self._association.store(
                item.sop_class_uid,
                item.sop_instance_uid,
                item.transfer_syntax_uid,
                self._paced(source),
            )
        except ContextNotAccepted as refusal:
            return Outcome(OutcomeKind.PERMANENT, statuses.SOP_CLASS_NOT_SUPPORTED, str(refusal))
        except UNREADABLE as failure:
            self._association.abort()
            return outcome_of_failure(failure)
        finally:
            source.close()
        return outcome_of(answer.status, answer.error_comment)

    def _has_to_be_transcoded(self, item: DeliveryItem) -> bool:
        accepts, sop_class = self._association.accepts, item.sop_class_uid
        is_refused = not accepts(sop_class, item.transfer_syntax_uid)
        return is_refused and accepts(sop_class, uids.EXPLICIT_VR_LITTLE_ENDIAN)

    async def _send_transcoded(self, item: DeliveryItem, transcoder: Transcoder) -> Outcome:
        """One C-STORE in Explicit VR Little Endian; what was done stands in the outcome."""
        refused = f"transfer syntax {item.transfer_syntax_uid} is refused"
        try:
            async with transcoder.transcoded(item) as source:
                answer = await self._association.store(
                    item.sop_class_uid,
                    item.sop_instance_uid,
                    uids.EXPLICIT_VR_LITTLE_ENDIAN,
                    self._paced(source),
                )
        except UNREADABLE as failure:
            return outcome_of_failure(failure)
        except NotTranscoded as error:
            reason = f"{refused}, and it cannot be transcoded: {error}"
            return Outcome(OutcomeKind.PERMANENT, statuses.SOP_CLASS_NOT_SUPPORTED, reason)
        outcome = outcome_of(answer.status, answer.error_comment)
        said = f"; {outcome.reason}" if outcome.reason else ""
        how = f"{refused}: transcoded to Explicit VR Little Endian{said}"
        return Outcome(outcome.kind, outcome.status, how)


def _proposal(pairs: Iterable[Pair], *, with_plain: bool) -> tuple[Sequence[Pair], Sequence[Pair]]:
    """As many pairs as an association has room for, and the presentation contexts for them.

    ``with_plain``: each SOP class in Explicit VR Little Endian, too.
    """
    proposed: list[Pair] = []
    contexts: dict[Pair, None] = {}
    for pair in pairs:
        plain = (pair[0], uids.EXPLICIT_VR_LITTLE_ENDIAN)
        extended = {**contexts, pair: None, **({plain: None} if with_plain else {})}
        if len(extended) > MAX_CONTEXTS:
            break
        proposed.append(pair)
        contexts = extended
    return proposed, tuple(contexts)


def _transcodes(candidate: Candidate) -> bool:
    return isinstance(candidate.reach, DimseReach) and candidate.reach.transcodes
