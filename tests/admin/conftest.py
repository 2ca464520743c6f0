"""A real server on loopback over a real ledger, and a real client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from router.admin.api import create_app
from router.admin.routes import Api
from router.completion.declaring import Declarations
from router.delivery.interventions import Interventions
from router.domain.candidate import Candidate
from router.http.server import serve_http
from router.ledger.ledger import SqlLedger, open_ledger
from router.registry.service import Registry
from router.settings.load import examine_text
from tests.clock import ManualClock


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    body: Any
    content_type: str
    headers: dict[str, str]


@dataclass
class Arriving:
    """Studies that have something open, and why those that were completed are complete."""

    open: set[str] = field(default_factory=set)
    completed: dict[str, str] = field(default_factory=dict)

    def complete_now(self, study_instance_uid: str, because: str) -> bool:
        """As the completion service does."""
        if study_instance_uid not in self.open:
            return False
        self.completed[study_instance_uid] = because
        return True


@dataclass(frozen=True)
class Client:
    """Speaks to the API as any client does."""

    session: aiohttp.ClientSession
    registry: Registry
    not_ready: list[str] = field(default_factory=list)
    arriving: Arriving = field(default_factory=Arriving)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; the answer's JSON."""
        async with self.session.request(method, path, **options) as response:
            return Answer(
                response.status,
                await response.json(content_type=None),
                response.content_type,
                dict(response.headers),
            )

    async def get(self, path: str, **query: Any) -> Answer:
        """GET."""
        return await self.ask("GET", path, params=query)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        """POST a JSON body."""
        return await self.ask("POST", path, json=body, **options)


class Serve(Protocol):
    """Starts the API."""

    def __call__(
        self, yaml: str = "", token: str | None = None
    ) -> AbstractAsyncContextManager[Client]: ...


async def nobody_answers(candidate: Candidate) -> None:
    """Stand for a C-ECHO that these tests never send."""
    raise AssertionError(f"{candidate.ae_title} was probed")


def nobody_follows(*_changes: object) -> None:
    """Stand for the lanes, which these tests do not run."""


def interventions(registry: Registry, ledger: SqlLedger) -> Interventions:
    """What people decide about deliveries."""
    return Interventions(ledger, ManualClock(), registry.candidate, nobody_follows, nobody_follows)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    async with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def serve(ledger: SqlLedger) -> Serve:
    @asynccontextmanager
    async def serving(yaml: str = "", token: str | None = None) -> AsyncIterator[Client]:
        settings = examine_text(yaml, "router.yaml", Path()).settings
        assert settings is not None
        registry = Registry(settings, ledger, ledger.views, ManualClock(), nobody_answers)
        not_ready: list[str] = []
        arriving = Arriving()
        declarations = Declarations(ledger.views, arriving.complete_now)
        decide = interventions(registry, ledger)
        app = create_app(
            Api(registry, ledger.views, decide, declarations, lambda: not_ready, token)
        )
        async with (
            serve_http(app, "127.0.0.1", 0) as server,
            aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(total=10)) as session,
        ):
            yield Client(session, registry, not_ready, arriving)

    return serving


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[Client]:
    async with serve() as started:
        yield started
