from __future__ import annotations

from router.delivery.health import Health
from router.domain.retry import RetryPolicy


def health() -> Health:
    return Health(RetryPolicy(first_s=2.0, factor=2.0, cap_s=60.0, draw=lambda: 1.0), 4)


def failures_until_left_alone(patient: Health) -> int:
    return next(count for count in range(1, 100) if patient.failed())


def test_one_association_is_tried_before_more_are() -> None:
    patient = health()
    assert patient.associations_allowed(3) == 1
    patient.opened()
    assert patient.associations_allowed(3) == 3


def test_so_many_failures_in_a_row_are_too_many() -> None:
    assert failures_until_left_alone(health()) == 4


def test_an_answer_in_between_begins_the_count_anew() -> None:
    patient = health()
    for _ in range(3):
        patient.failed()
    patient.answered()
    assert failures_until_left_alone(patient) == 4


def test_back_offs_in_a_row_grow_until_an_answer_comes() -> None:
    patient = health()
    assert [patient.back_off(0.0) for _ in range(7)] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    patient.answered()
    assert patient.back_off(0.0) == 2.0


def test_it_is_left_alone_until_the_back_off_is_over_and_then_tried_once() -> None:
    patient = health()
    patient.opened()
    patient.back_off(100.0)
    assert patient.is_left_alone(101.9)
    assert not patient.is_left_alone(102.0)
    assert patient.associations_allowed(3) == 1


def test_a_candidate_gets_no_more_associations_than_it_accepts() -> None:
    patient = health()
    patient.opened()
    patient.limited_to(2)
    assert patient.associations_allowed(5) == 2
    patient.unlimited()
    assert patient.associations_allowed(5) == 5


def test_one_that_wakes_us_is_attempted_at_once_and_in_full() -> None:
    patient = health()
    patient.limited_to(1)
    patient.back_off(0.0)
    patient.back_off(0.0)
    patient.woken()
    assert not patient.is_left_alone(0.1)
    assert patient.associations_allowed(3) == 3
    assert patient.back_off(1.0) == 2.0
