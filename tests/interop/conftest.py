"""A router in this process between real peers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from pynetdicom import AE

from router.app import running
from router.clock import SystemClock
from router.commitment.awaited import AwaitedReports
from router.delivery.destinations.commitment import CommitmentRequestor
from router.delivery.destinations.dimse import DimseDestination
from router.net.exchange import RequestorTimeouts
from router.settings.load import examine_text
from router.spool.log import LocalSpool
from tests.peers import StoreSCP, dcmtk, storescp
from tests.spool.helpers import a_spool

PATIENCE_S = 60.0
COMPLETION = "{quiet_after: 300ms, stable_after: 5s}"

SETTINGS = """
router: {{dicom: 127.0.0.1:{port}, http: 127.0.0.1:0, data: data}}
completion: {completion}
delivery: {{retry: {{first: 200ms, max: 1s}}}}
candidates: {candidates}
"""


@dataclass(frozen=True)
class LiveRouter:
    """A running router, and its HTTP API as its users see it."""

    port: int
    session: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        """The JSON that the API answers."""
        async with self.session.get(path) as response:
            return await response.json()

    async def until(self, what: str, condition: Callable[[Any], bool], path: str) -> Any:
        """Wait until what the API answers fulfils the condition; the answer."""
        answer: Any = None
        with anyio.move_on_after(PATIENCE_S):
            while not condition(answer := await self.get(path)):
                await asyncio.sleep(0.05)
            return answer
        raise AssertionError(f"not within {PATIENCE_S:g} s: {what}; {path} answers {answer}")

    async def settled(self, studies: int) -> None:
        """Wait until so many studies are there, and all of them settled."""
        await self.until(
            f"{studies} studies are settled",
            lambda answer: (
                len(answer["studies"]) == studies
                and all(study["state"] in ("settled", "reclaimed") for study in answer["studies"])
            ),
            "/studies?limit=1000",
        )


@asynccontextmanager
async def live_router(
    folder: Path,
    candidates: str,
    more: str = "",
    port: str = "0",
    completion: str = COMPLETION,
) -> AsyncIterator[LiveRouter]:
    """A router with static candidates, in YAML, on this port or a free one."""
    folder.mkdir(parents=True, exist_ok=True)
    text = SETTINGS.format(candidates=candidates, port=port, completion=completion) + more
    examination = examine_text(text, "test.yaml", folder)
    assert examination.settings is not None, examination.report
    async with (
        running(examination.settings) as router,
        aiohttp.ClientSession(base_url=router.http_url) as session,
    ):
        yield LiveRouter(router.dicom_port, session)


async def run_blocking(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run what blocks beside the router in this process."""
    return await anyio.to_thread.run_sync(work, *arguments)


async def dcmsend(
    router: LiveRouter, *paths: Path, calling: str = "DCMTK", tuned: bool = True
) -> None:
    """Send files, and all files in folders, with dcmtk; each is acknowledged."""
    to = ("-aec", "ROUTER", "-aet", calling, "127.0.0.1", str(router.port))
    command = ("dcmsend", "+sd", *to, *map(str, paths))
    done = await run_blocking(partial(dcmtk, *command, tuned=tuned))
    assert done.returncode == 0, done.stderr


@contextmanager
def pynetdicom_scp(
    entity: AE, handlers: Mapping[Any, Callable[..., Any]], port: int = 0
) -> Iterator[int]:
    """An SCP of pynetdicom, on this port or a free one; its port."""
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=list(handlers.items())
    )
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Where the router of a test keeps its data."""
    return tmp_path / "router"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[StoreSCP]:
    """A ``storescp`` for the router to deliver to."""
    with storescp(tmp_path / "writer") as started:
        yield started


RouterWith = Callable[..., AbstractAsyncContextManager[LiveRouter]]


@pytest.fixture
def router_with(data_folder: Path, writer: StoreSCP) -> RouterWith:
    """A router of this ``completion``, and ``more`` sections, which sends all to ``writer``."""
    candidates = f"{{BACKUP: {{host: 127.0.0.1, port: {writer.port}}}}}"

    def started(
        completion: str = COMPLETION, more: str = ""
    ) -> AbstractAsyncContextManager[LiveRouter]:
        return live_router(data_folder, candidates, more, completion=completion)

    return started


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[LocalSpool]:
    """An empty spool."""
    async with a_spool(tmp_path / "spool") as made:
        yield made


@pytest.fixture
def destination(spool: LocalSpool) -> DimseDestination:
    """What delivers from ``spool`` over DIMSE, without a router around it."""
    timeouts = RequestorTimeouts(5.0, 10.0, 30.0)
    commitments = CommitmentRequestor("ROUTER", timeouts, AwaitedReports(), 5.0)
    return DimseDestination(spool, "ROUTER", timeouts, commitments, SystemClock())


@pytest.fixture(autouse=True)
def _peers_leave_no_sockets_behind() -> Iterator[None]:
    """Collect what pynetdicom forgets to close while its warnings are still let pass."""
    yield
    gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pass that pynetdicom, in this process, leaves sockets to the garbage collector."""
    ignore = "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(ignore))
