"""Objects in an S3-compatible store: each appears whole, and the manifest of a study comes last.

The client (obstore) is loaded when the first candidate of this kind is delivered to.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from router.delivery.destinations.outcomes import (
    STORED,
    Spoiled,
    outcome_of_failure,
    spoiling,
)
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.parallel import side_by_side
from router.delivery.destinations.publication import (
    PUBLISHING,
    SUCCESS,
    Names,
    by_study,
    manifest,
    names_of,
    read_manifest,
)
from router.delivery.destinations.secrets import read_secret, tls_for
from router.delivery.destinations.streams import FileStream, Paced, digests, file_length, patient
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport
from router.domain.delivery import Delivery, DeliveryItem, Outcome
from router.domain.errors import CandidateUnavailable, PeerTimeout, SpoolFailed
from router.domain.reach import S3Reach, TlsFiles
from router.net.exchange import RequestorTimeouts
from router.ports import Clock, Spool

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

PART_BYTES = 8 * 1024**2
"""Larger objects are uploaded in parts of this size, and completed after the last of them."""
AT_ONCE = 2
"""So many parts of an object are under way at a time."""
SLOWEST_BYTES_PER_S = 1e6
"""What is under way may take so much longer than a request."""
EXCERPT = 300  # characters of an error that are shown to a person

_PERFORMING = re.compile(
    r"^.*Error performing ([A-Z]+ \S+) in \S+(?:, after [^-]*)? +- ", re.DOTALL
)
_UNTRUSTED = re.compile(r"InvalidCertificate\(\s*(\w+)")
_UNCONNECTED = re.compile(r'kind: Connect\b.*?(?:message|error): "([^"]+)"', re.DOTALL)


class S3Destination:
    """Implements :class:`router.ports.RevisionDestination` for candidates of kind ``s3``."""

    is_divisible = False

    def __init__(self, spool: Spool, clock: Clock, timeouts: RequestorTimeouts):
        self._spool = spool
        self._paces = Paces(clock)
        self._timeouts = timeouts

    async def transfer(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> Sequence[Outcome]:
        """Publish a revision; see the port. Nothing is sent unless everything is intact."""
        reach = _reach(candidate)
        try:
            sums = await digests(self._spool, items, "sha256")
            names = await names_of(self._spool, reach.files, delivery, items)
            bucket = await self._bucket(candidate)
            paced = partial(self._paces.paced, candidate)
            studies = by_study(reach.files, names, sums)
            former = {study: await _begin(bucket, study) for study in studies}
            objects = _Objects(self._spool, bucket, items, names, paced)
            await side_by_side(range(len(items)), candidate.associations, objects.put)
        except Spoiled as spoiled:
            return spoiled.outcomes(items)
        except SpoolFailed as error:
            return [outcome_of_failure(error)] * len(items)
        for study, new in studies.items():
            await _end(bucket, study, {**former[study], **new})
        return [STORED] * len(items)

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Raises ``CandidateUnavailable``: an object store answers when an object is safe."""
        raise CandidateUnavailable(f"{candidate.ae_title}: s3 has no storage commitment")

    async def probe(self, candidate: Candidate) -> None:
        """Ask for a list; see the port. A store that may not be listed is there, too."""
        bucket = await self._bucket(candidate)
        await bucket.look()

    async def _bucket(self, candidate: Candidate) -> _Bucket:
        """The bucket, with the credentials of this moment."""
        reach = _reach(candidate)
        who = f"{candidate.ae_title} at {reach.address}"
        store = await anyio.to_thread.run_sync(_open, who, reach, self._timeouts)
        return _Bucket(store, who, self._timeouts.response_s)


class _Bucket:
    """Puts and gets objects, and says what went wrong in words."""

    def __init__(self, store: S3Store, who: str, response_s: float):
        self._store = store
        self._who = who
        self._response_s = response_s

    async def put(self, path: str, body: bytes | AsyncIterator[memoryview], length: int) -> None:
        """Put an object, which appears when it is whole; ``length`` is that of the body.

        A body that is read as it is sent may take as long as reading it does.
        """
        import obstore

        part_s = min(length, AT_ONCE * PART_BYTES) / SLOWEST_BYTES_PER_S
        with self._in_words(part_s) as scope:
            if not isinstance(body, bytes):
                body = patient(body, scope, self._response_s + part_s, 0.0)
            await obstore.put_async(
                self._store, path, body, chunk_size=PART_BYTES, max_concurrency=AT_ONCE
            )

    async def get(self, path: str) -> bytes | None:
        """A short object; None if there is none."""
        import obstore

        with self._in_words():
            try:
                found = await obstore.get_async(self._store, path)
                return bytes(await found.bytes_async())
            except FileNotFoundError:
                return None

    async def delete(self, path: str) -> None:
        """Delete an object; one that is not there is no error."""
        import obstore

        with self._in_words(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, path)

    async def look(self) -> None:
        """Ask for a list that is empty."""
        import obstore
        from obstore.exceptions import PermissionDeniedError

        with self._in_words(), suppress(PermissionDeniedError):
            await obstore.list_with_delimiter_async(self._store, prefix=PUBLISHING)

    @contextmanager
    def _in_words(self, longer_s: float = 0.0) -> Iterator[anyio.CancelScope]:
        """Raises ``CandidateUnavailable`` for what the store answers, but not for the spool's."""
        from obstore.exceptions import BaseError

        limit_s = self._response_s + longer_s
        try:
            with anyio.fail_after(limit_s) as scope:
                yield scope
        except TimeoutError as error:
            raise PeerTimeout(f"{self._who} did not answer within {limit_s:g} s") from error
        except (BaseError, OSError) as error:
            raise CandidateUnavailable(f"{self._who}: {_reason(str(error))}") from error


@dataclass(frozen=True, slots=True)
class _Objects:
    """The objects of a revision, put side by side."""

    spool: Spool
    bucket: _Bucket
    items: Sequence[DeliveryItem]
    names: Names
    paced: Paced

    async def put(self, index: int) -> None:
        """Put one of them; raises ``Spoiled`` if it cannot be read."""
        item, path = self.items[index], "/".join(self.names[index])
        length = file_length(item)
        with spoiling(index), closing(FileStream(self.spool, item, self.paced)) as stream:
            if length <= PART_BYTES:
                whole = b"".join([piece async for piece in stream.pieces()])
                await self.bucket.put(path, whole, length)
            else:
                await self.bucket.put(path, stream.pieces(), length)


def _reach(candidate: Candidate) -> S3Reach:
    assert isinstance(candidate.reach, S3Reach), f"{candidate.ae_title} has no bucket"
    return candidate.reach


def _reason(text: str) -> str:
    """What an error of the client says, for a person.

    Why there is no connection stands only in what it says for programmers.
    """
    said, _, inner = text.partition("\n\nDebug source")
    if found := _UNTRUSTED.search(inner):
        return f"its certificate is not trusted: {found[1]}"
    if found := _UNCONNECTED.search(inner):
        return f"no connection: {found[1]}"
    if "MissingEtag" in inner:
        return "it does not answer as an object store, so url may be the address of something else"
    said = _PERFORMING.sub(r"\1: ", re.sub(r"<[^>]*>", " ", said))
    return " ".join(said.split())[:EXCERPT]


def _open(who: str, reach: S3Reach, timeouts: RequestorTimeouts) -> S3Store:
    """The store, with secret and authority read anew. Raises ``CandidateUnavailable``; blocks."""
    from obstore.store import S3Store

    secret = read_secret(who, reach.credentials.secret)
    trusted: ClientConfig = {}
    if reach.authority:
        tls_for(who, TlsFiles(reach.authority))  # says what is wrong with it
        trusted["root_certificate"] = Path(reach.authority).read_text("utf-8")
    return S3Store(
        reach.bucket,
        config={
            "endpoint": reach.url,
            "region": reach.region,
            "access_key_id": reach.credentials.user,
            "secret_access_key": secret,
            "virtual_hosted_style_request": False,
        },
        client_options={
            "allow_http": reach.url.startswith("http:"),
            "connect_timeout": f"{timeouts.connect_s:g}s",
            "timeout": f"{timeouts.response_s:g}s",
            **trusted,
        },
        retry_config={"max_retries": 1},  # the lane knows better when
    )


async def _begin(bucket: _Bucket, study: Sequence[str]) -> Mapping[str, str]:
    """Set the manifest of a study aside while its objects are changed; what it says."""
    place = "/".join(study)
    content = await bucket.get(f"{place}/{SUCCESS}")
    if content is None:
        content = await bucket.get(f"{place}/{PUBLISHING}") or b""
    else:
        await bucket.put(f"{place}/{PUBLISHING}", content, len(content))
        await bucket.delete(f"{place}/{SUCCESS}")
    return read_manifest(content.decode("ascii", "replace"))


async def _end(bucket: _Bucket, study: Sequence[str], sums: Mapping[str, str]) -> None:
    """Publish the new manifest."""
    place, content = "/".join(study), manifest(sums).encode("ascii")
    await bucket.put(f"{place}/{SUCCESS}", content, len(content))
    await bucket.delete(f"{place}/{PUBLISHING}")
