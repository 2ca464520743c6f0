"""The order within one candidate's queue: urgent first, then small, and nothing starves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from router.domain.candidate import Priority
from router.domain.delivery import Delivery, DeliveryState
from router.domain.schedule import order_key, succession_key

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
XRAY_BYTES, CT_BYTES = 20 * 10**6, 2 * 10**9

DELIVERY = Delivery(
    id=1,
    revision_id=1,
    study_instance_uid="1.2.3",
    revision_number=1,
    ae_title="WRITER",
    state=DeliveryState.PENDING,
    priority=Priority.NORMAL,
    required=True,
    created_at=NOON,
    attempts=0,
    next_attempt_at=None,
    reason="",
    instances=1,
    delivered=0,
    refused=0,
    total_bytes=CT_BYTES,
    remaining_bytes=CT_BYTES,
)
CT = DELIVERY
XRAY = replace(DELIVERY, id=2, remaining_bytes=XRAY_BYTES)


def in_order(*deliveries: Delivery) -> list[int]:
    return [delivery.id for delivery in sorted(deliveries, key=order_key)]


def test_of_two_that_came_together_the_smaller_goes_first() -> None:
    assert in_order(CT, XRAY) == [2, 1]


def test_what_has_been_sent_already_does_not_count() -> None:
    almost_done = replace(CT, remaining_bytes=XRAY_BYTES // 2)
    assert in_order(XRAY, almost_done) == [1, 2]


def test_an_xray_does_not_wait_behind_a_ct_that_came_minutes_before() -> None:
    later = replace(XRAY, created_at=NOON + timedelta(minutes=40))
    assert in_order(CT, later) == [2, 1]


def test_a_ct_is_not_overtaken_for_ever_by_xrays() -> None:
    much_later = replace(XRAY, created_at=NOON + timedelta(hours=1))
    assert in_order(CT, much_later) == [1, 2]


def test_an_urgent_study_goes_before_a_normal_one_and_that_before_a_low_one() -> None:
    deliveries = [
        replace(CT, id=3, priority=Priority.LOW, remaining_bytes=1),
        replace(CT, id=2, priority=Priority.NORMAL, remaining_bytes=10**9),
        replace(CT, id=1, priority=Priority.URGENT, remaining_bytes=10**12),
    ]
    assert in_order(*deliveries) == [1, 2, 3]


def test_of_two_alike_the_older_goes_first() -> None:
    assert in_order(replace(CT, id=8), replace(CT, id=7)) == [7, 8]


_BYTES = st.integers(0, 10**15)
_PRIORITIES = st.sampled_from(Priority)


@given(_BYTES, _BYTES, _PRIORITIES, _PRIORITIES)
def test_whoever_came_long_enough_before_goes_first(
    one: int, other: int, priority: Priority, other_priority: Priority
) -> None:
    old = replace(CT, remaining_bytes=one, priority=priority)
    new = replace(
        XRAY,
        remaining_bytes=other,
        priority=other_priority,
        created_at=NOON + timedelta(days=1),
    )
    assert in_order(new, old) == [old.id, new.id]


@given(_BYTES, _PRIORITIES, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_the_passing_of_time_changes_no_order(
    size: int, priority: Priority, passed: timedelta
) -> None:
    other = replace(XRAY, remaining_bytes=size, priority=priority)
    moved = [replace(one, created_at=one.created_at + passed) for one in (CT, other)]
    gap = abs(order_key(CT)[0] - order_key(other)[0])
    assert gap < 0.001 or in_order(CT, other) == in_order(*moved)


def test_of_one_study_the_older_revision_goes_first_even_if_it_is_sent_again() -> None:
    first = DELIVERY
    second = replace(DELIVERY, id=2, revision_number=2)
    first_again = replace(DELIVERY, id=3)

    order = sorted([second, first_again, first], key=succession_key)

    assert order == [first, first_again, second]
