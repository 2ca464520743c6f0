"""Orthanc's REST API: instance by instance, then a look at what Orthanc holds of the study."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio

from router.delivery.destinations.outcomes import STORED, UNREADABLE, outcome_of_failure
from router.delivery.destinations.paced import Paces
from router.delivery.destinations.streams import FileStream, Paced, file_length
from router.delivery.destinations.web import Web, WebAnswer, WebSession
from router.domain.candidate import Candidate
from router.domain.commitment import CommitmentReport, FailureReason, Reference
from router.domain.delivery import Delivery, DeliveryItem, Outcome, OutcomeKind
from router.domain.errors import AssociationLost, CandidateUnavailable, RouterError
from router.ports import Clock, Spool

_HELD = ("Success", "AlreadyStored")
_REFUSED = frozenset({400, 406, 413, 415, 422})  # for an instance that was sent alone
_JSON = "application/json"
_MEANINGS: Mapping[int, str] = {
    FailureReason.NO_SUCH_OBJECT_INSTANCE: "Orthanc does not hold it",
    FailureReason.CLASS_INSTANCE_CONFLICT: "Orthanc keeps another version of it, of another size"
    " (does it overwrite instances?)",
}


class OrthancDestination:
    """Implements :class:`router.ports.InstanceDestination` for candidates of kind ``orthanc-rest``.

    Its commitment is a comparison: what Orthanc lists for the study, with what it was sent.
    """

    def __init__(self, spool: Spool, web: Web, clock: Clock):
        self._spool = spool
        self._web = web
        self._paces = Paces(clock)

    @asynccontextmanager
    async def open(
        self, candidate: Candidate, items: Sequence[DeliveryItem]
    ) -> AsyncIterator[OrthancSession]:
        """A connection that is kept alive; see the port."""
        async with self._web.session(candidate) as session:
            await knock(session)
            yield OrthancSession(session, self._spool, partial(self._paces.paced, candidate))

    async def commit(
        self, candidate: Candidate, delivery: Delivery, items: Sequence[DeliveryItem]
    ) -> CommitmentReport:
        """Compare the sizes of the instances that Orthanc lists; see the port."""
        async with self._web.session(candidate) as session:
            sizes = await _sizes(session, delivery.study_instance_uid)
            failed = {}
            for item in items:
                size, name = sizes.get(item.sop_instance_uid, (None, ""))
                if size is None:
                    failed[Reference.to(item)] = FailureReason.NO_SUCH_OBJECT_INSTANCE
                elif size != file_length(item) and await _syntax(session, name) in (
                    item.transfer_syntax_uid,
                    "",
                ):
                    failed[Reference.to(item)] = FailureReason.CLASS_INSTANCE_CONFLICT
        held = tuple(reference for reference in map(Reference.to, items) if reference not in failed)
        found = tuple((one, int(why)) for one, why in failed.items())
        return CommitmentReport("", held, found, _MEANINGS)

    async def probe(self, candidate: Candidate) -> None:
        """Ask for ``/system``; see the port."""
        async with self._web.session(candidate) as session:
            await knock(session)


class OrthancSession:
    """Implements :class:`router.ports.DestinationSession` over one connection."""

    def __init__(self, session: WebSession, spool: Spool, paced: Paced):
        """``paced`` gives each source the rate that the candidate may be sent to."""
        self._session = session
        self._spool = spool
        self._paced = paced

    def carries(self, item: DeliveryItem) -> bool:
        """Always: Orthanc takes whatever it is sent."""
        return True

    async def send(self, item: DeliveryItem) -> Outcome:
        """``POST /instances``; see the port."""
        try:
            body = FileBody(self._spool, item, self._paced)
        except UNREADABLE as error:
            return outcome_of_failure(error)
        try:
            answer = await self._session.ask(
                "POST", "/instances", body=body, headers={"Content-Type": "application/dicom"}
            )
            return _outcome(self._session, answer)
        except CandidateUnavailable as error:
            return Outcome(OutcomeKind.TEMPORARY, None, str(error))
        except AssociationLost:
            if body.failure is None:
                raise
            return outcome_of_failure(body.failure)
        finally:
            body.close()


class FileBody:
    """The file of one instance as the body of a request."""

    def __init__(self, spool: Spool, item: DeliveryItem, paced: Paced):
        """Raises ``SpoolFailed``."""
        self._file = FileStream(spool, item, paced)
        self.length = file_length(item)
        """Bytes in all."""
        self.failure: RouterError | None = None
        """Why it could not be read to its end."""

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        try:
            async for piece in self._file.pieces():
                yield piece
        except UNREADABLE as error:
            self.failure = error
            raise

    def close(self) -> None:
        """Release the segment."""
        self._file.close()


async def knock(session: WebSession) -> None:
    """Ask an Orthanc whether it is there; raises ``CandidateUnavailable`` if it is not."""
    answer = await session.knock("/system", accept=_JSON)
    if answer is None or "Version" not in _object(session, answer):
        raise CandidateUnavailable(f"{session.who} is no Orthanc: /system does not say a version")


def _outcome(session: WebSession, answer: WebAnswer) -> Outcome:
    if answer.status in _REFUSED:
        return Outcome(OutcomeKind.PERMANENT, None, f"Orthanc answered {answer}")
    status = _object(session, session.judge(answer)).get("Status")
    if status in _HELD:
        return STORED
    return Outcome(OutcomeKind.PERMANENT, None, f"Orthanc did not store it: {answer}")


async def _sizes(session: WebSession, study_instance_uid: str) -> dict[str, tuple[int, str]]:
    """SOP Instance UID to size and Orthanc's identifier, of all that it holds of a study.

    Orthanc takes a study under two patients for two: all of them are looked at, series by series.
    """
    found: dict[str, tuple[int, str]] = {}
    for study in await _ask(session, "POST", "/tools/lookup", study_instance_uid.encode("ascii")):
        if study.get("Type") != "Study":
            continue
        for series in await _ask(session, "GET", f"/studies/{study['ID']}/series"):
            for held in await _ask(session, "GET", f"/series/{series['ID']}/instances"):
                uid = held["MainDicomTags"]["SOPInstanceUID"]
                found[uid] = (held["FileSize"], held["ID"])
    return found


async def _syntax(session: WebSession, instance: str) -> str:
    """The transfer syntax in which Orthanc keeps an instance; empty: it does not say.

    An Orthanc that transcodes what comes in keeps files of other sizes.
    """
    answer = await session.ask("GET", f"/instances/{instance}/metadata/TransferSyntax")
    return answer.content.decode("ascii", "replace").strip() if answer.status == 200 else ""


async def _ask(session: WebSession, method: str, path: str, body: bytes | None = None) -> Any:
    answer = session.judge(await session.ask(method, path, body=body))
    return await anyio.to_thread.run_sync(json.loads, answer.content)


def _object(session: WebSession, answer: WebAnswer) -> dict[str, Any]:
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise AssociationLost(f"{session.who} does not answer as Orthanc does ({answer})")
    return document
