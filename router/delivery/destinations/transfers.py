"""Orthanc's transfers accelerator, push mode: the study appears whole or not at all.

A transaction is opened with the sizes and MD5 sums of all instances, filled by parallel requests,
and committed; Orthanc checks each sum before it takes the first instance. The protocol is that of
the source of Orthanc's plugin (``Framework/PushMode``).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import anyio

from router.delivery.destinations.buckets import Bucket, plan_buckets
from router.delivery.destinations.orthanc import OrthancDestination
from router.delivery.destinations.outcomes import STORED, Spoiled
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.parallel import Limiters, side_by_side
from router.delivery.destinations.streams import Paced, digests, file_length, read_range
from router.delivery.destinations.web import LONGER_FOR_EACH_S, Web, WebSession
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import CandidateUnavailable, RouterError
from router.domain.reach import WebReach
from router.ports import Clock, Spool

DISCARD_WITHIN_S = 5.0
GZIP_LEVEL = 3

_TRANSACTION = re.compile(r"/transfers/push/[A-Za-z0-9-]{1,64}")
_JSON = {"Content-Type": "application/json"}
_BYTES = {"Content-Type": "application/octet-stream"}


class TransfersDestination:
    """Implements :class:`router.ports.RevisionDestination` for kind ``orthanc-transfers``."""

    is_divisible = False

    def __init__(self, spool: Spool, web: Web, clock: Clock, orthanc: OrthancDestination):
        """``orthanc`` compares what was taken with what was sent."""
        self._spool = spool
        self._web = web
        self._paces = Paces(clock)
        self._orthanc = orthanc
        self._limiters = Limiters()  # for all transactions with a candidate
        self._turns: dict[str, anyio.Lock] = {}  # Orthanc drops the oldest of too many transactions

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """One transaction; see the port. Nothing is sent unless everything is intact.

        One that is refused is tried once more: a byte may have changed on the way.
        """
        try:
            sums = await digests(self._spool, items, "md5")
        except Spoiled as spoiled:
            return spoiled.outcomes(items)
        async with self._web.session(candidate) as session:
            transaction = _Transaction(
                session,
                self._spool,
                items,
                partial(self._paces.paced, candidate),
                self._limiters.of(candidate),
                compresses=isinstance(candidate.reach, WebReach) and candidate.reach.gzip,
            )
            async with self._turns.setdefault(candidate.ae_title, anyio.Lock()):
                refusal = await transaction.run(sums) and await transaction.run(sums)
        return [refusal or STORED] * len(items)

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Compare what Orthanc lists, as for ``orthanc-rest``; see the port."""
        return await self._orthanc.commit(candidate, delivery, items)

    async def probe(self, candidate: Candidate) -> None:
        """Ask whether the plugin is there; see the port."""
        async with self._web.session(candidate) as session:
            answer = await session.knock("/plugins", accept="application/json")
            if answer is None or b'"transfers"' not in answer.content:
                raise CandidateUnavailable(f"{session.who} has no transfers accelerator plugin")


class _Transaction:
    """One transaction from its opening to its end."""

    def __init__(
        self,
        session: WebSession,
        spool: Spool,
        items: Sequence[DeliveryItem],
        paced: Paced,
        limiter: anyio.CapacityLimiter,
        *,
        compresses: bool,
    ):
        self._session = session
        self._spool = spool
        self._items = items
        self._paced = paced
        self._limiter = limiter
        self._compresses = compresses
        self._names = _names(items)

    async def run(self, sums: Sequence[str]) -> Outcome | None:
        """Open, fill, commit; discard it if anything fails. What Orthanc says if it refuses it."""
        buckets = plan_buckets([file_length(item) for item in self._items])
        path = await self._open(sums, buckets)
        is_over = False
        try:
            await self._fill(path, buckets)
            refusal = await self._commit(path)
            is_over = refusal is None
            return refusal
        finally:
            if not is_over:  # one that was refused, too, stays there until it is discarded
                with anyio.move_on_after(DISCARD_WITHIN_S, shield=True), suppress(RouterError):
                    await self._session.ask("DELETE", path)

    async def _open(self, sums: Sequence[str], buckets: Sequence[Bucket]) -> str:
        request = {
            "Instances": [
                {"ID": name, "Size": str(file_length(item)), "MD5": md5}
                for name, item, md5 in zip(self._names, self._items, sums, strict=True)
            ],
            "Buckets": [
                [
                    {
                        "ID": self._names[piece.index],
                        "Offset": str(piece.offset),
                        "Size": str(piece.size),
                    }
                    for piece in bucket
                ]
                for bucket in buckets
            ],
            "Compression": "gzip" if self._compresses else "none",
        }
        body = await anyio.to_thread.run_sync(lambda: json.dumps(request).encode("ascii"))
        answer = self._session.judge(
            await self._session.ask("POST", "/transfers/push", body=body, headers=_JSON)
        )
        try:
            path = json.loads(answer.content)["Path"]
        except (ValueError, KeyError, TypeError):
            path = None
        if not isinstance(path, str) or not _TRANSACTION.fullmatch(path):
            raise CandidateUnavailable(
                f"{self._session.who} opened no transaction for a transfer ({answer})"
            )
        return path

    async def _fill(self, path: str, buckets: Sequence[Bucket]) -> None:
        """All buckets, by as many workers as the candidate may have requests at a time."""

        async def put(numbered: tuple[int, Bucket]) -> None:
            number, bucket = numbered
            async with self._limiter:
                await self._put(f"{path}/{number}", bucket)

        await side_by_side(enumerate(buckets), int(self._limiter.total_tokens), put)

    async def _put(self, path: str, bucket: Bucket) -> None:
        body = _BucketBody(self._spool, self._items, bucket, self._paced)
        if self._compresses:
            content = b"".join([piece async for piece in body])
            compressed = await anyio.to_thread.run_sync(gzip.compress, content, GZIP_LEVEL)
            answer = await self._session.ask("PUT", path, body=compressed, headers=_BYTES)
        else:
            answer = await self._session.ask("PUT", path, body=body, headers=_BYTES)
        self._session.judge(answer)

    async def _commit(self, path: str) -> Outcome | None:
        longer_s = LONGER_FOR_EACH_S * len(self._items)
        answer = await self._session.ask("POST", f"{path}/commit", body=b"", longer_s=longer_s)
        if answer.status == 400:  # a sum that differs, or a file that is none
            reason = f"Orthanc refused the transaction: {answer}"
            return Outcome(OutcomeKind.PERMANENT, None, reason)
        self._session.judge(answer)
        return None


@dataclass(frozen=True, slots=True)
class _BucketBody:
    """Implements :class:`router.delivery.destinations.web.Body`.

    What is read here was verified when its MD5 sum was taken, and Orthanc verifies it again.
    """

    spool: Spool
    items: Sequence[DeliveryItem]
    bucket: Bucket
    paced: Paced

    @property
    def length(self) -> int:
        return sum(piece.size for piece in self.bucket)

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for piece in self.bucket:
            item = self.items[piece.index]
            async for read in read_range(self.spool, item, self.paced, piece.offset, piece.size):
                yield read


def _names(items: Sequence[DeliveryItem]) -> Sequence[str]:
    """A name for each instance in its transaction: its SOP Instance UID, told apart if need be."""
    seen: dict[str, int] = {}
    names = []
    for item in items:
        uid = item.sop_instance_uid
        seen[uid] = seen.get(uid, 0) + 1
        names.append(uid if seen[uid] == 1 else f"{uid}#{seen[uid]}")
    return names
