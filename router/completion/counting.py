"""How many instances of a study its source has, compared with what has arrived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

import anyio
import structlog

from router.domain.errors import PeerTimeout, RouterError
from router.ports import Clock

ASK_WITHIN_S = 20.0
LEAVE_ALONE_S = 60.0
"""A source that did not answer is not asked again for so long."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CountSource:
    """A PACS that can be asked about the studies that it sends."""

    host: str
    port: int
    ae_title: str


CountQuery = Callable[[CountSource, str], Awaitable[int]]
"""How many instances of a study the source has; raises a ``RouterError`` if it does not say."""


class SourceCounts:
    """Asks the sources of studies; who does not answer is reported once, and left alone a while."""

    def __init__(
        self,
        sources: Mapping[str, CountSource],
        query: CountQuery,
        arrived: Callable[[str], Awaitable[int]],
        clock: Clock,
    ):
        """``sources`` by calling AE title; ``arrived`` counts the instances of a study here."""
        self._sources = sources
        self._query = query
        self._arrived = arrived
        self._clock = clock
        self._left_alone_until: dict[str, float] = {}

    def knows(self, calling_ae_titles: Collection[str]) -> bool:
        """Whether there is anybody to ask about what these have sent."""
        return not self._sources.keys().isdisjoint(calling_ae_titles)

    async def missing(
        self, study_instance_uid: str, calling_ae_titles: Collection[str]
    ) -> int | None:
        """How many more instances the sources count than have arrived; None: they do not say.

        Of several sources the one that has most counts. Never raises a ``RouterError``.
        """
        counts = [
            await self._count(name, study_instance_uid)
            for name in sorted(self._sources.keys() & set(calling_ae_titles))
        ]
        known = [count for count in counts if count is not None]
        if not known:
            return None
        try:
            return max(known) - await self._arrived(study_instance_uid)
        except RouterError as error:
            log.error("instances that arrived could not be counted", error=str(error))
            return None

    async def _count(self, name: str, study_instance_uid: str) -> int | None:
        if self._left_alone_until.get(name, 0.0) > self._clock.monotonic():
            return None
        source = self._sources[name]
        try:
            count = await self._ask(source, study_instance_uid)
        except RouterError as error:
            self._leave_alone(name, source, str(error))
            return None
        except Exception as error:  # nothing that a source answers may take the router down
            log.exception("asking a source failed unexpectedly", source=name)
            self._leave_alone(name, source, repr(error))
            return None
        if self._left_alone_until.pop(name, None) is not None:
            log.info("the source says again how many instances studies have", source=name)
        return count

    async def _ask(self, source: CountSource, study_instance_uid: str) -> int:
        try:
            with anyio.fail_after(ASK_WITHIN_S):
                return await self._query(source, study_instance_uid)
        except TimeoutError:
            raise PeerTimeout(
                f"{source.ae_title} did not answer C-FIND within {ASK_WITHIN_S:g} s"
            ) from None

    def _leave_alone(self, name: str, source: CountSource, error: str) -> None:
        if name not in self._left_alone_until:
            log.warning(
                "the source does not say how many instances studies have: they wait for the timers;"
                " check its address in completion.sources, and that it lets the router ask",
                source=name,
                ae_title=source.ae_title,
                address=f"{source.host}:{source.port}",
                error=error,
            )
        self._left_alone_until[name] = self._clock.monotonic() + LEAVE_ALONE_S
