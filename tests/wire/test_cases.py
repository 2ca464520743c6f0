"""The router answers every wire case as the standard says, and an echo after each.

After all of them it is as it was before: the tests of this file run in its order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest

from tests.e2e.stack import RouterProcess, running, wait_until
from tests.wire.cases import CASES
from tests.wire.expected import Case
from tests.wire.runner import Target, run

SETTINGS = {"router": {"timeouts": {"artim": "2s"}}}


PATIENCE_S = 20.0  # a machine that does much else at the same time is not measured here
SPARE_DESCRIPTORS = 16  # segments that are being written, threads that have begun
SPARE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """The router, and how it was before the first case."""

    router: RouterProcess
    descriptors: int
    resident_bytes: int

    @property
    def target(self) -> Target:
        """Where the cases find it."""
        return Target("127.0.0.1", self.router.dicom_port, "ROUTER", PATIENCE_S, PATIENCE_S)

    def descriptors_now(self) -> int:
        """Open descriptors of the router's process."""
        return psutil.Process(self.router.child.pid).num_fds()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    router = RouterProcess(tmp_path_factory.mktemp("router"), SETTINGS)
    with running(router):
        process = psutil.Process(router.child.pid)
        yield Measured(router, process.num_fds(), router.resident_bytes)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_wire_case(measured: Measured, case: Case) -> None:
    report = run(case, measured.target)

    assert report.passed, report.failure


def test_after_all_cases_descriptors_and_memory_are_where_they_were(measured: Measured) -> None:
    wait_until(
        lambda: measured.descriptors_now() <= measured.descriptors + SPARE_DESCRIPTORS,
        "the connections of all cases are closed",
    )

    assert measured.router.resident_bytes <= measured.resident_bytes + SPARE_BYTES


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 120
