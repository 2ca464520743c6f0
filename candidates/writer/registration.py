"""Keeps a writer registered with its router: registers, heartbeats, registers again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

import aiohttp
import anyio
import structlog
import tenacity
from pydantic import BaseModel, ConfigDict, Field, ValidationError

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=10)

log = structlog.get_logger(__name__)


class RegistrationFailed(Exception):
    """The router is not there, or does not answer sensibly: worth another try."""


class RegistrationRefused(Exception):
    """The router understood and said no; trying again without a change is of no use."""


class NotRegistered(Exception):
    """The router does not know this writer (any more)."""


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Lease(BaseModel):
    """What the router answers to a registration, as far as a writer needs it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lease_s: Seconds
    heartbeat_s: Seconds


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a writer says of itself."""

    ae_title: str
    host: str
    port: int
    criteria: str | None  # ATTRIBUTE|OPERATOR|VALUE; None registers a backup writer
    commitment: bool = False  # to be asked for storage commitment of each study

    def body(self) -> dict[str, str | int]:
        """The JSON body of ``POST /candidates``."""
        body: dict[str, str | int] = {"aet": self.ae_title, "host": self.host, "port": self.port}
        if self.criteria:
            body["routingCriteria"] = self.criteria
        if self.commitment:
            body["commitment"] = True
        return body


class Registrar:
    """Speaks to the router's HTTP API for one writer.

    A router that is away is asked again for ever, with growing pauses: a writer may start before
    its router, and outlive it.
    """

    def __init__(self, router_url: str, announcement: Announcement, token: str | None = None):
        self._url = router_url.rstrip("/") + "/candidates"
        self._announcement = announcement
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def run(self) -> None:
        """Stay registered until cancelled. Raises ``RegistrationRefused``."""
        async with aiohttp.ClientSession(headers=self._headers, timeout=REQUEST_TIMEOUT) as session:
            while True:
                lease = await self._register(session)
                await self._heartbeat_while_known(session, lease)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(RegistrationFailed),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=10),
        before_sleep=lambda state: log.warning(
            "the router cannot be reached; trying again",
            attempt=state.attempt_number,
            error=str(state.outcome.exception()) if state.outcome else "",
        ),
        sleep=anyio.sleep,
    )
    async def _register(self, session: aiohttp.ClientSession) -> Lease:
        try:
            answer = await self._post(session, self._url, self._announcement.body())
            lease = Lease.model_validate_json(answer)
        except NotRegistered as error:  # a proxy whose router is away, maybe
            raise RegistrationFailed(str(error)) from error
        except ValidationError as error:
            raise RegistrationFailed(f"{self._url} is not a router's: {error}") from error
        log.info("registered", router=self._url, lease_s=lease.lease_s)
        return lease

    async def _heartbeat_while_known(self, session: aiohttp.ClientSession, lease: Lease) -> None:
        url = f"{self._url}/{quote(self._announcement.ae_title, safe='')}/heartbeat"
        while True:
            await anyio.sleep(lease.heartbeat_s)
            try:
                await self._post(session, url, None)
            except NotRegistered:
                log.info("the router has forgotten this writer; registering again")
                return
            except RegistrationFailed as error:
                log.warning("heartbeat failed", error=str(error))

    async def _post(
        self, session: aiohttp.ClientSession, url: str, body: dict[str, str | int] | None
    ) -> bytes:
        try:
            async with session.post(url, json=body) as response:
                text = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RegistrationFailed(f"{url}: {str(error) or type(error).__name__}") from error
        explanation = f"{url}: {response.status} {text.decode(errors='replace')[:500]}"
        if response.status == 404:
            raise NotRegistered(explanation)
        if response.status in (400, 401, 403, 422):
            raise RegistrationRefused(explanation)
        if response.status >= 300:
            raise RegistrationFailed(explanation)
        return text
