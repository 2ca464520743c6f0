"""DICOMweb STOW-RS (PS3.18 section 10.5): one request for each revision, from the spool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from uuid import uuid4

import anyio

from router.delivery.destinations.outcomes import UNREADABLE, outcome_of, outcome_of_failure
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.streams import FileStream, Paced, file_length
from router.delivery.destinations.web import LONGER_FOR_EACH_S, Web, WebAnswer, WebSession
from router.dicom.store_response import MEDIA_TYPE, read_store_response
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import AssociationLost, CandidateUnavailable
from router.ports import Clock, Spool


class StowDestination:
    """Implements :class:`router.ports.RevisionDestination` for candidates of kind ``stow-rs``."""

    is_divisible = True

    def __init__(self, spool: Spool, web: Web, clock: Clock):
        self._spool = spool
        self._web = web
        self._paces = Paces(clock)

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """See the port. An instance that cannot be read intact cuts the request short."""
        paced = partial(self._paces.paced, candidate)
        body = StowBody(self._spool, items, paced)
        async with self._web.session(candidate) as session:
            try:
                answer = await session.ask(
                    "POST",
                    "/studies",
                    body=body,
                    headers={"Content-Type": body.content_type, "Accept": MEDIA_TYPE},
                    longer_s=LONGER_FOR_EACH_S * len(items),
                )
                said = {} if body.cut_short else await _read(session, session.judge(answer))
            except AssociationLost:
                if body.cut_short is None:
                    await _knock(session)  # is anything of the request to blame at all?
                    raise
            finally:
                body.close()
            if body.cut_short is not None:
                return _spared(items, *body.cut_short)
        return [_outcome(said, item) for item in items]

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Raises ``CandidateUnavailable``: DICOMweb has no storage commitment for others."""
        raise CandidateUnavailable(f"{candidate.ae_title}: stow-rs has no storage commitment")

    async def probe(self, candidate: Candidate) -> None:
        """Search for one study; see the port."""
        async with self._web.session(candidate) as session:
            await _knock(session)


class StowBody:
    """A multipart/related message of Part 10 files (RFC 2387), read from the spool once.

    Implements :class:`router.delivery.destinations.web.Body`.
    """

    def __init__(self, spool: Spool, items: Sequence[DeliveryItem], paced: Paced):
        self._spool = spool
        self._items = items
        self._paced = paced
        boundary = f"dicom-router-{uuid4().hex}"
        self._delimiter = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode(
            "ascii"
        )
        self._end = f"\r\n--{boundary}--\r\n".encode("ascii")
        self._file: FileStream | None = None
        self.content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        """What the request says that it is."""
        self.cut_short: tuple[int, Outcome] | None = None
        """The index of an instance that could not be read, and its outcome."""

    @property
    def length(self) -> int:
        """Bytes in all."""
        parts = sum(len(self._delimiter) + file_length(item) for item in self._items)
        return parts + len(self._end)

    async def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        for index, item in enumerate(self._items):
            try:
                self._file = FileStream(self._spool, item, self._paced)
                yield self._delimiter
                async for piece in self._file.pieces():
                    yield piece
            except UNREADABLE as error:
                self.cut_short = index, outcome_of_failure(error)
                raise
            finally:
                self.close()
        yield self._end

    def close(self) -> None:
        """Release what is being read."""
        if self._file is not None:
            self._file.close()


async def _knock(session: WebSession) -> None:
    await session.knock("/studies?limit=1", accept=MEDIA_TYPE)


async def _read(session: WebSession, answer: WebAnswer) -> Mapping[str, int]:
    """What the answer says of each instance."""
    try:
        return await anyio.to_thread.run_sync(read_store_response, answer.content)
    except ValueError as error:
        raise AssociationLost(
            f"{session.who} does not say which instances it has stored ({answer}): {error}"
        ) from error


def _outcome(said: Mapping[str, int], item: DeliveryItem) -> Outcome:
    status = said.get(item.sop_instance_uid)
    if status is None:
        return Outcome(OutcomeKind.TEMPORARY, None, "the answer does not mention the instance")
    return outcome_of(status)


def _spared(items: Sequence[DeliveryItem], index: int, outcome: Outcome) -> Sequence[Outcome]:
    """Outcomes of a request that was cut short at an instance: all others are sent again."""
    reason = f"cut short, as instance {items[index].sop_instance_uid} could not be read"
    other = Outcome(OutcomeKind.TEMPORARY, None, reason)
    return [outcome if at == index else other for at in range(len(items))]
