"""What can be said about instances that somebody asks to be safe, and what was said about ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.commitment import (
    CommitmentPolicy,
    CommitmentReport,
    FailureReason,
    Holding,
    Reference,
    describe_failure,
    judge,
    uncommitted,
)
from router.domain.delivery import DeliveryState, ItemState, is_settled

CT = "1.2.840.10008.5.1.4.1.1.2"
PENDING = (DeliveryState.ACTIVE, ItemState.DELIVERED)
COMMITTING = (DeliveryState.COMMITTING, ItemState.DELIVERED)
DELIVERED = (DeliveryState.DELIVERED, ItemState.DELIVERED)
DEAD = (DeliveryState.DEAD, ItemState.PENDING)
DISMISSED = (DeliveryState.DISMISSED, ItemState.PENDING)

uids = st.integers(1, 9).map(lambda number: f"1.2.{number}")


def reference(uid: str) -> Reference:
    return Reference(CT, uid)


def report(committed: set[str], failed: dict[str, int]) -> CommitmentReport:
    return CommitmentReport(
        "2.25.1",
        tuple(map(reference, sorted(committed))),
        tuple((reference(uid), reason) for uid, reason in failed.items()),
    )


@pytest.mark.parametrize(
    ("required", "verdict"),
    [
        ((DELIVERED, PENDING), None),
        ((DELIVERED, COMMITTING), None),
        ((DELIVERED, DEAD), FailureReason.PROCESSING_FAILURE),
        ((DELIVERED, DELIVERED), True),
        ((DELIVERED, DISMISSED), True),
        ((PENDING, DISMISSED), None),
        ((DISMISSED,), FailureReason.PROCESSING_FAILURE),
    ],
)
def test_an_instance_is_safe_when_all_have_it_that_nobody_excused(
    required: tuple[tuple[DeliveryState, ItemState], ...], verdict: object
) -> None:
    holding = Holding(CT, is_accepted=True, required=required)
    assert judge(reference("1.2.3"), holding, CommitmentPolicy.DELIVERED) is verdict


@given(st.sets(uids), st.sets(uids), st.dictionaries(uids, st.just(0x0112)))
def test_only_what_a_report_lists_as_committed_and_not_as_failed_is_committed(
    asked: set[str], committed: set[str], failed: dict[str, int]
) -> None:
    lost = uncommitted(report(committed, failed), map(reference, asked))
    assert set(lost) == asked - (committed - set(failed))
    assert all(lost[uid] == failed.get(uid, 0x0110) for uid in lost)


def test_a_failure_reason_is_told_in_words_and_with_its_number() -> None:
    assert describe_failure(0x0112) == "not committed: no such object instance (0112)"
    assert describe_failure(0xBEEF) == "not committed: unknown reason (BEEF)"


def test_a_comparison_has_words_of_its_own() -> None:
    found = CommitmentReport("", (), (), {0x0119: "it holds another version"})

    assert found.describe(0x0119) == "it holds another version"
    assert found.describe(0x0112) == describe_failure(0x0112)


@pytest.mark.parametrize(
    ("fates", "settled"),
    [
        ([(DeliveryState.DELIVERED, True), (DeliveryState.RETRYING, False)], True),
        ([(DeliveryState.DELIVERED, True), (DeliveryState.DEAD, True)], False),
        ([(DeliveryState.DELIVERED, True), (DeliveryState.COMMITTING, True)], False),
        ([(DeliveryState.DELIVERED, True), (DeliveryState.DISMISSED, True)], True),
        ([(DeliveryState.DELIVERED, False), (DeliveryState.RETRYING, False)], False),
        ([(DeliveryState.DISMISSED, True), (DeliveryState.RETRYING, False)], False),
        ([(DeliveryState.DISMISSED, True)], True),
    ],
)
def test_a_revision_is_settled_when_all_that_it_depends_on_is_delivered(
    fates: list[tuple[DeliveryState, bool]], settled: bool
) -> None:
    assert is_settled(fates) is settled
