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
from tests.wire.expected import Case, Others, case
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


@pytest.mark.parametrize("each", CASES, ids=[one.name for one in CASES])
def test_wire_case(measured: Measured, each: Case) -> None:
    report = run(each, measured.target)

    assert report.passed, report.failure


def test_after_all_cases_descriptors_and_memory_are_where_they_were(measured: Measured) -> None:
    wait_until(
        lambda: measured.descriptors_now() <= measured.descriptors + SPARE_DESCRIPTORS,
        "the connections of all cases are closed",
    )

    assert measured.router.resident_bytes <= measured.resident_bytes + SPARE_BYTES
    assert "Traceback" not in measured.router.log.read_text()


def test_a_connection_that_brings_nothing_good_is_one_line_in_the_log(measured: Measured) -> None:
    before = len(measured.router.log.read_text().splitlines())

    run(
        case("100 strangers", "hostile", Others((b"GET / HTTP/1.1\r\n\r\n",) * 100)),
        measured.target,
    )

    def lines() -> list[str]:
        return measured.router.log.read_text().splitlines()[before:]

    def of_strangers() -> list[str]:
        return [line for line in lines() if "looks like HTTP" in line]

    wait_until(lambda: len(of_strangers()) >= 100, "all are told")
    assert len(of_strangers()) == 100
    assert all("127.0.0.1" in line for line in of_strangers())
    assert not any("Traceback" in line for line in lines())


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({one.name for one in CASES}) == len(CASES) >= 120
