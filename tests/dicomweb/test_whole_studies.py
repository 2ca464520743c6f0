"""A ledger that cannot be asked whether a request held a whole study holds up nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import pytest

from router.dicomweb import completing
from router.dicomweb.completing import Completes, WholeStudies
from router.dicomweb.results import Result
from router.dicomweb.storing import Outcome
from router.domain.errors import LedgerFailed


@dataclass
class ToAnyStudy:
    """A request without a UID in its URL."""

    study_instance_uid: str = ""


async def concluded(
    arrived: Callable[[str], Awaitable[int]], caught_up: Callable[[], Awaitable[None]]
) -> list[str]:
    """The studies that are said to be complete."""
    complete: list[str] = []

    def complete_now(study_uid: str, _because: str) -> bool:
        complete.append(study_uid)
        return True

    whole = WholeStudies(Completes.WHOLE, arrived, caught_up, complete_now)
    with anyio.fail_after(30):
        await whole.conclude(ToAnyStudy(), Outcome([Result("", "1.2.3", 0, "", "1.2")]))
    return complete


async def one(_study_uid: str) -> int:
    return 1


async def nothing() -> None:
    return


async def test_what_the_ledger_knows_nothing_else_of_is_whole() -> None:
    assert await concluded(one, nothing) == ["1.2"]


async def test_a_ledger_that_fails_completes_nothing() -> None:
    async def fail(_study_uid: str) -> int:
        raise LedgerFailed("it is locked")

    assert await concluded(fail, nothing) == []


async def test_a_recorder_that_does_not_catch_up_completes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(completing, "CAUGHT_UP_WITHIN_S", 0.05)

    assert await concluded(one, anyio.sleep_forever) == []
