"""The router answers every wire case as the standard says, and an echo after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import RouterProcess, running
from tests.wire.cases import CASES
from tests.wire.expected import Case
from tests.wire.runner import Target, run

SETTINGS = {"router": {"timeouts": {"artim": "2s"}}}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    router = RouterProcess(tmp_path_factory.mktemp("router"), SETTINGS)
    with running(router):
        yield Target("127.0.0.1", router.dicom_port, "ROUTER")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_wire_case(target: Target, case: Case) -> None:
    report = run(case, target)

    assert report.passed, report.failure


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 120
