"""Hot and cold: a study that has been quiet for long is removed once an archive has it.

Who has it, the router says. Only named archives count, and they have to keep what they get: two
writers that each rely on the other would both let go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp
import anyio
import structlog
from anyio.abc import TaskStatus
from pydantic import BaseModel, ConfigDict, ValidationError

from candidates.writer.errors import IndexFailed
from candidates.writer.index.index import QuietStudy
from candidates.writer.scp import WriterService
from candidates.writer.settings import CoolingPolicy

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30)
STUDIES_AT_ONCE = 100
LOOKS_WITHIN_HOT = 10
LOOK_EVERY_AT_MOST_S = 3600.0
LOOK_EVERY_AT_LEAST_S = 0.5

log = structlog.get_logger(__name__)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Delivery(_Answer):
    ae_title: str
    state: str
    delivered: int


class _Revision(_Answer):
    instances: int
    deliveries: Sequence[_Delivery]


class _Study(_Answer):
    """What the router says of a study, as far as it is needed here."""

    revisions: Sequence[_Revision]


class Cooler:
    """Removes cold studies."""

    def __init__(self, service: WriterService, router_url: str, policy: CoolingPolicy):
        self._service = service
        self._url = router_url.rstrip("/") + "/studies/"
        self._policy = policy
        wanted_s = policy.hot_for.total_seconds() / LOOKS_WITHIN_HOT
        self._look_every_s = min(max(wanted_s, LOOK_EVERY_AT_LEAST_S), LOOK_EVERY_AT_MOST_S)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look again and again until cancelled."""
        async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session:
            task_status.started()
            while True:
                try:
                    await self.look(session)
                except IndexFailed as error:
                    log.error("cold studies have to stay", error=str(error))
                except (aiohttp.ClientError, TimeoutError) as error:
                    log.warning("the router does not say who has cold studies", error=str(error))
                await anyio.sleep(self._look_every_s)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Remove what is cold now.

        Raises ``IndexFailed``, and what aiohttp raises for a router that is not there.
        """
        before, last = datetime.now(UTC) - self._policy.hot_for, 0
        index = self._service.archive.index
        while quiet := await anyio.to_thread.run_sync(
            index.quiet_studies, before, last, STUDIES_AT_ONCE
        ):
            for study in quiet:
                last = study.id
                if await self._is_meant(study):
                    archive = await self._holder(session, study)
                    if archive:
                        await self._remove(study, archive, before)

    async def _is_meant(self, study: QuietStudy) -> bool:
        criteria = self._policy.criteria
        if criteria is None:
            return True
        index = self._service.archive.index
        return criteria.matches(await anyio.to_thread.run_sync(index.facts_of, study.id))

    async def _holder(self, session: aiohttp.ClientSession, study: QuietStudy) -> str:
        """An archive that has all of a study; empty: there is none."""
        async with session.get(self._url + quote(study.study_instance_uid, safe="")) as response:
            if response.status == 404:
                return ""  # the router has never seen it
            try:
                response.raise_for_status()
                known = _Study.model_validate_json(await response.read())
            except (aiohttp.ClientResponseError, ValidationError) as error:
                log.warning(
                    "the router does not say who has a cold study",
                    study_instance_uid=study.study_instance_uid,
                    error=str(error),
                )
                return ""
        return next(
            (
                archive
                for archive in sorted(self._policy.archives)
                if _holds(archive, known, study.instances)
            ),
            "",
        )

    async def _remove(self, study: QuietStudy, archive: str, before: datetime) -> None:
        removed = await self._service.remove_study(study.study_instance_uid, before)
        if removed:
            log.info(
                "a cold study was removed",
                study_instance_uid=study.study_instance_uid,
                attachments=removed,
                held_by=archive,
            )


def _holds(archive: str, study: _Study, instances: int) -> bool:
    """Whether every revision was delivered whole, and they come to all that there is here."""
    routed = sum(revision.instances for revision in study.revisions)
    return routed >= instances and all(
        any(
            delivery.ae_title == archive
            and delivery.state == "delivered"
            and delivery.delivered >= revision.instances
            for delivery in revision.deliveries
        )
        for revision in study.revisions
    )
