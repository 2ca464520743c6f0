"""How many instances of a study another application entity has, asked by C-FIND as its SCU."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import anyio

from router.dicom import statuses, uids
from router.dicom.pdu import ProposedContext
from router.dicom.query import Match, QueryLevel, read_match, write_identifier
from router.domain.errors import QueryFailed
from router.net.exchange import RequestorTimeouts
from router.net.requestor import RequestedAssociation, associate

MAX_MATCHES = 20_000
MAX_SERIES = 100
"""A peer that counts neither per study nor per series is asked for the instances of so many."""
_SYNTAXES = (uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN)
CONTEXTS = (ProposedContext(1, uids.STUDY_ROOT_FIND, _SYNTAXES),)
TIMEOUTS = RequestorTimeouts(connect_s=5.0, association_s=5.0, response_s=10.0)


async def count_instances(
    host: str,
    port: int,
    ae_title: str,
    calling_ae_title: str,
    study_instance_uid: str,
    timeouts: RequestorTimeouts = TIMEOUTS,
) -> int:
    """How many instances of a study ``ae_title`` has; 0 if it does not know the study.

    Asked for the study, else for each series, else for the instances themselves: return keys of
    counts are optional (PS3.4 tables C.6-5 and C.6-3). Raises ``QueryFailed`` where it counts in
    none of these ways, and as ``associate`` does.
    """
    async with associate(
        host, port, calling_ae_title, ae_title, contexts=CONTEXTS, timeouts=timeouts
    ) as association:
        inquiry = _Inquiry(association, f"{ae_title} at {host}:{port}", study_instance_uid)
        return await inquiry.count()


class _Inquiry:
    """One question, at as many levels as it takes."""

    def __init__(self, association: RequestedAssociation, peer: str, study_instance_uid: str):
        self._association = association
        self._peer = peer
        self._study = study_instance_uid
        self._syntax = association.transfer_syntax(uids.STUDY_ROOT_FIND)

    async def count(self) -> int:
        studies = await self._matches(QueryLevel.STUDY)
        if not studies:
            return 0
        if studies[0].instances is not None:
            return studies[0].instances
        series = await self._matches(QueryLevel.SERIES)
        counts = [one.instances for one in series if one.instances is not None]
        if len(counts) == len(series):
            return sum(counts)
        return await self._count_instances([one.series_instance_uid for one in series])

    async def _count_instances(self, series: Sequence[str]) -> int:
        if len(series) > MAX_SERIES or not all(series):
            raise QueryFailed(f"{self._peer} counts instances neither per study nor per series")
        found: set[str] = set()
        for uid in series:
            matches = await self._matches(QueryLevel.IMAGE, uid)
            found.update(match.sop_instance_uid for match in matches)
        return len(found)

    async def _matches(self, level: QueryLevel, series: str = "") -> list[Match]:
        """All answers that are about the study: some peers answer with others, too."""
        identifier = await anyio.to_thread.run_sync(
            write_identifier, level, self._study, self._syntax, series
        )
        answers: list[bytes] = []
        async with aclosing(self._association.find(uids.STUDY_ROOT_FIND, identifier)) as found:
            async for answer in found:
                status = answer.message.status
                if statuses.category(status) is statuses.StatusCategory.PENDING:
                    answers.append(answer.data or b"")
                elif status != statuses.SUCCESS:
                    raise QueryFailed(
                        f"{self._peer} answered C-FIND with {statuses.describe(status)}"
                    )
                if len(answers) > MAX_MATCHES:
                    raise QueryFailed(f"{self._peer} has more than {MAX_MATCHES} answers")
        return await anyio.to_thread.run_sync(self._read, answers, level)

    def _read(self, answers: Sequence[bytes], level: QueryLevel) -> list[Match]:
        matches = [read_match(data, level, self._syntax) for data in answers]
        return [one for one in matches if one.study_instance_uid in ("", self._study)]
