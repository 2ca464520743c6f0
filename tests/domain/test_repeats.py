"""What becomes of an instance whose name is known, as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.instance import Disposition, Instance
from router.domain.repeats import Content, Copy, OnConflict, judge
from tests.ledger.builders import instance, later

FIRST, LAST, BOTH = OnConflict.KEEP_FIRST, OnConflict.KEEP_LAST, OnConflict.KEEP_BOTH
ACCEPTED, SUPERSEDED = Disposition.ACCEPTED, Disposition.SUPERSEDED


def copy_of(arrival: Instance, *, is_open: bool = True) -> Copy:
    return Copy(Content.of(arrival), arrival.provenance.received_at, is_open)


def arrival(letter: str, at: datetime) -> Instance:
    return instance(0, checksum=letter * 16, at=at)


@pytest.mark.parametrize("policy", OnConflict)
def test_the_same_bytes_are_a_duplicate_whatever_the_policy(policy: OnConflict) -> None:
    verdict = judge(arrival("a", later(1)), [copy_of(arrival("a", later(0)))], policy)
    assert verdict.disposition is Disposition.DUPLICATE
    assert verdict.conflicts_with is None


def test_the_same_bytes_in_another_transfer_syntax_are_others() -> None:
    first = arrival("a", later(0))
    other = replace(first, identity=replace(first.identity, transfer_syntax_uid="1.2"))
    assert judge(other, [copy_of(first)], LAST).conflicts_with is not None


@pytest.mark.parametrize(
    ("policy", "seconds", "is_open", "disposition", "supersedes"),
    [
        (LAST, 1, True, ACCEPTED, True),
        (LAST, 1, False, ACCEPTED, True),
        (LAST, -1, True, SUPERSEDED, False),
        (FIRST, 1, True, SUPERSEDED, False),
        (FIRST, -1, True, ACCEPTED, True),
        (FIRST, -1, False, SUPERSEDED, False),
        (BOTH, 1, True, ACCEPTED, False),
        (BOTH, -1, False, ACCEPTED, False),
    ],
)
def test_what_is_found_out_of_order_is_judged_by_policy_and_time_of_reception(
    policy: OnConflict, seconds: int, is_open: bool, disposition: Disposition, supersedes: bool
) -> None:
    held = copy_of(arrival("a", later(0)), is_open=is_open)
    verdict = judge(arrival("b", later(seconds)), [held], policy, in_order=False)
    assert (verdict.disposition, verdict.supersedes_open) == (disposition, supersedes)
    assert verdict.conflicts_with == held
    assert "a" * 16 in verdict.reason
    assert "b" * 16 in verdict.reason


@pytest.mark.parametrize("seconds", [1, -3600])
def test_what_arrives_is_the_last_whatever_the_clock_says(seconds: int) -> None:
    held = [copy_of(arrival("a", later(0)))]
    new = arrival("b", later(seconds))
    assert judge(new, held, LAST).disposition is ACCEPTED
    assert judge(new, held, FIRST).disposition is SUPERSEDED


def test_what_came_back_after_a_conflict_is_compared_to_the_last_copy() -> None:
    held = [
        copy_of(arrival("a", later(0)), is_open=False),
        copy_of(arrival("b", later(1)), is_open=False),
    ]
    again = arrival("a", later(2))
    assert judge(again, held, LAST).disposition is ACCEPTED
    assert judge(again, held, FIRST).disposition is Disposition.DUPLICATE
    assert judge(again, held, BOTH).disposition is Disposition.DUPLICATE


@given(st.permutations(range(5)), st.sampled_from([FIRST, LAST]))
def test_the_order_of_asking_does_not_decide_which_bytes_are_kept(
    order: list[int], policy: OnConflict
) -> None:
    kept: list[Copy] = []
    for number in order:
        new = arrival("abcde"[number], later(number))
        verdict = judge(new, kept, policy, in_order=False) if kept else None
        if verdict is not None and verdict.supersedes_open:
            kept.clear()
        if verdict is None or verdict.disposition is ACCEPTED:
            kept.append(copy_of(new))
    assert [copy.content.checksum[0] for copy in kept] == ["a" if policy is FIRST else "e"]
