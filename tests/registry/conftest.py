"""A registry over a real ledger, with a clock and candidates that the test owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio
import pytest

from router.domain.candidate import Candidate
from router.domain.errors import AssociationLost
from router.ledger.ledger import SqlLedger, open_ledger
from router.registry.service import Registry
from router.settings.load import examine_text
from router.settings.models import Settings
from tests.clock import ManualClock


def settings_of(text: str = "") -> Settings:
    """Read a routing YAML."""
    examination = examine_text(text, "router.yaml", Path())
    assert examination.settings is not None, examination.report
    return examination.settings


@dataclass
class Neighbours:
    """The candidates of a test as a C-ECHO sees them: those in ``present`` answer."""

    present: set[str] = field(default_factory=set)
    probed: list[str] = field(default_factory=list)
    takes: Callable[[], None] = lambda: None

    async def probe(self, candidate: Candidate) -> None:
        """Answer, or not."""
        self.probed.append(candidate.ae_title)
        self.takes()
        await anyio.lowlevel.checkpoint()
        if candidate.ae_title not in self.present:
            raise AssociationLost(f"{candidate.ae_title} does not answer")


class StartRegistry(Protocol):
    """Starts a registry over the ledger of the test."""

    def __call__(self, yaml: str = "") -> AbstractAsyncContextManager[Registry]: ...


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    async with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def start(ledger: SqlLedger, clock: ManualClock, neighbours: Neighbours) -> StartRegistry:
    @asynccontextmanager
    async def running(yaml: str = "") -> AsyncIterator[Registry]:
        registry = Registry(settings_of(yaml), ledger, ledger.views, clock, neighbours.probe)
        await registry.restore()
        async with anyio.create_task_group() as tasks:
            await tasks.start(registry.run)
            yield registry
            tasks.cancel_scope.cancel()

    return running
