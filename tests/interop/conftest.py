"""A router in this process between real peers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from router.app import running
from router.settings.load import examine_text

PATIENCE_S = 60.0

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
    completion: str = "{quiet_after: 300ms, stable_after: 5s}",
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


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Where the router of a test keeps its data."""
    return tmp_path / "router"


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
