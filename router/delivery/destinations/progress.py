"""Tells over NATS how far series are, for whoever watches: nothing depends on it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import structlog

from router.delivery.destinations.nats_proof import connect_options
from router.delivery.destinations.secrets import hint_of, tls_fault
from router.domain import lonk
from router.domain.errors import CandidateUnavailable
from router.domain.lonk import SeriesKey
from router.domain.reach import Progress
from router.ports import Clock

if TYPE_CHECKING:
    from nats.aio.client import Client

log = structlog.get_logger(__name__)

INTERVAL_S = 0.5
"""Progress of a series is told no more often; its first and last numbers are told always."""
PATIENCE_S = 5.0
"""A delivery is held up by no more, twice, when NATS does not answer."""
RECONNECT_S = 0.1


class Teller:
    """Tells of the series of one transfer. What cannot be told is not told: nothing is raised."""

    def __init__(self, who: str, root: str, client: Client | None, clock: Clock):
        """Without a client it is silent."""
        self._who = who
        self._root = root
        self._client = client
        self._clock = clock
        self._next_at = 0.0

    async def stored(self, series: SeriesKey, files: int) -> None:
        """So many files of a series are there; left out when another was told just before."""
        now = self._clock.monotonic()
        if files == 1 or now >= self._next_at:
            self._next_at = now + INTERVAL_S
            await self._tell(series, lonk.progress(files))

    async def failed(self, series: SeriesKey, reason: str) -> None:
        """An instance is not stored, and will not be."""
        await self._tell(series, lonk.error(reason))

    async def done(self, series: SeriesKey, files: int) -> None:
        """The series is whole and registered."""
        await self._tell(series, lonk.progress(files))
        await self._tell(series, lonk.DONE)

    async def _tell(self, series: SeriesKey, message: bytes) -> None:
        if self._client is None:
            return
        from nats.errors import Error

        try:
            await self._client.publish(lonk.subject(self._root, series), message)
        except (Error, OSError) as error:
            self._client = None
            _warn(self._who, error)


@asynccontextmanager
async def telling(
    who: str, progress: Progress | None, clock: Clock, patience_s: float
) -> AsyncIterator[Teller]:
    """A teller, connected as long as the block runs; silent if it cannot be connected."""
    patience_s = min(patience_s, PATIENCE_S)
    client = None if progress is None else await _connected(who, progress, patience_s)
    try:
        root = "" if progress is None else progress.subject
        yield Teller(who, root, client, clock)
    finally:
        if client is not None:
            await _close(who, client, patience_s)


async def _connected(who: str, progress: Progress, patience_s: float) -> Client | None:
    from nats.aio.client import Client
    from nats.errors import Error

    heard: list[Exception] = []

    async def hear(error: Exception) -> None:
        """Keep why there is no connection; once there is one, the next message fails by itself."""
        heard[:] = [error]

    try:
        named = f"{who}: NATS {progress.url}"
        options = await anyio.to_thread.run_sync(connect_options, named, progress)
    except CandidateUnavailable as error:
        _warn(who, error)
        return None
    client = Client()
    try:
        with anyio.fail_after(patience_s):
            await client.connect(
                progress.url,
                name="dicom-router",
                error_cb=hear,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # even of the first connection; 0 would be any number
                connect_timeout=max(1, int(patience_s)),
                **{"reconnect_time_wait": RECONNECT_S, **options},
            )
            return client
    except (Error, OSError, TimeoutError) as error:
        is_secured = urlsplit(progress.url).scheme == "tls"
        fault = heard[-1] if heard else error
        _warn(who, fault, hint_of(fault) if is_secured else "")
        if not tls_fault(error):  # which has closed the connection, and the client would wait
            await _close(who, client, patience_s)
        return None


async def _close(who: str, client: Client, patience_s: float) -> None:
    from nats.errors import Error

    with anyio.move_on_after(patience_s, shield=True):
        try:
            if client.is_connected:
                await client.flush(max(1, int(patience_s)))
            await client.close()
        except (Error, OSError, TimeoutError) as error:
            _warn(who, error)


def _warn(who: str, error: Exception, hint: str = "") -> None:
    log.warning(
        "progress cannot be told; what is delivered does not depend on it",
        ae_title=who,
        error=(tls_fault(error) or _reason(error) or type(error).__name__) + hint,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)
