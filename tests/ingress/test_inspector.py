"""The inspector scans off the loop, a bounded number, and outlives whatever it looks at."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import anyio
import pytest
from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from router.dicom import uids
from router.dicom.scanner import ScanLimits, ScanPlan, ScanResult
from router.domain.attributes import BASE_ATTRIBUTES
from router.domain.errors import RouterError, SpoolFailed, SpoolFull
from router.ingress import inspector as inspector_module
from router.ingress.inspector import WORKERS, Inspector
from router.ports import SpoolWriter
from tests.ingress.doorway import STUDY, attributes, encoded

DEFLATED = uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
DATA = encoded(attributes(), DEFLATED)


class Written:
    """What the inspector sees of a spool writer."""

    def __init__(self, data: bytes = DATA, before: Callable[[], object] = lambda: None):
        self._data = data
        self._before = before
        self.data_set_bytes = len(data)

    def read(self, offset: int, size: int) -> bytes:
        self._before()
        return self._data[offset : offset + size]

    def as_writer(self) -> SpoolWriter:
        return cast(SpoolWriter, self)


class Results:
    """What was called back."""

    def __init__(self) -> None:
        self.all: list[ScanResult | RouterError] = []
        self._more = anyio.Event()

    def __call__(self, result: ScanResult | RouterError) -> None:
        self.all.append(result)
        self._more.set()
        self._more = anyio.Event()

    async def first(self, count: int) -> list[ScanResult | RouterError]:
        with anyio.fail_after(10):
            while len(self.all) < count:
                await self._more.wait()
        return self.all[:count]


def failing() -> None:
    """As a disk does."""
    raise SpoolFailed("input/output error")


@asynccontextmanager
async def inspecting() -> AsyncIterator[Inspector]:
    inspector = Inspector(ScanPlan.compile(BASE_ATTRIBUTES), ScanLimits())
    async with anyio.create_task_group() as tasks:
        await tasks.start(inspector.run)
        yield inspector
        tasks.cancel_scope.cancel()


async def test_a_deflated_data_set_is_read() -> None:
    results = Results()
    async with inspecting() as inspector:
        inspector.submit(Written().as_writer(), DEFLATED, results)
        [result] = await results.first(1)
    assert isinstance(result, ScanResult)
    assert result.facts["StudyInstanceUID"] == (STUDY,)


async def test_many_are_read_a_few_at_a_time() -> None:
    results = Results()
    async with inspecting() as inspector:
        for _ in range(100):
            inspector.submit(Written().as_writer(), DEFLATED, results)
        found = await results.first(100)
    assert all(isinstance(result, ScanResult) for result in found)


async def test_a_spool_that_cannot_be_read_is_the_fault_of_that_instance() -> None:
    results = Results()
    async with inspecting() as inspector:
        inspector.submit(Written(before=failing).as_writer(), DEFLATED, results)
        inspector.submit(Written().as_writer(), DEFLATED, results)
        found = await results.first(2)
    assert "input/output error" in map(str, found)
    assert any(isinstance(result, ScanResult) for result in found)


async def test_a_data_set_that_the_scanner_cannot_stand_is_the_fault_of_that_instance() -> None:
    results = Results()
    with capture_logs() as logs:
        async with inspecting() as inspector:
            broken = Written(before=lambda: 1 // 0)
            inspector.submit(broken.as_writer(), DEFLATED, results)
            inspector.submit(Written().as_writer(), DEFLATED, results)
            found = await results.first(2)
    assert [isinstance(result, RouterError) for result in found].count(True) == 1
    assert [line["log_level"] for line in logs] == ["error"]


async def test_when_too_many_wait_the_next_one_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inspector_module, "MAX_WAITING", 3)
    results, go_on = Results(), threading.Event()
    async with inspecting() as inspector:
        for _ in range(WORKERS):
            slow = Written(before=lambda: go_on.wait(10))
            inspector.submit(slow.as_writer(), DEFLATED, results)
            await checkpoint()
        for _ in range(3):
            inspector.submit(Written().as_writer(), DEFLATED, results)
        with pytest.raises(SpoolFull, match="send again later"):
            inspector.submit(Written().as_writer(), DEFLATED, results)
        go_on.set()
        await results.first(WORKERS + 3)


async def test_when_it_has_stopped_senders_are_told_to_come_back() -> None:
    async with inspecting() as inspector:
        pass
    with pytest.raises(SpoolFull, match="stopping"):
        inspector.submit(Written().as_writer(), DEFLATED, Results())
